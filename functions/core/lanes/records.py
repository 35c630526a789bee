"""The lanes table: what accounts and lanes share between workers, what they did, and what holds them back.

    account#ACCOUNT     the pace of a provider account and of its lanes; workers reserve here, many times a second
    lane#MODEL          how many workers a lane may have: what the operator and the governor say; when its price was had
    lane#MODEL#MINUTE   what a lane did in one minute (epoch minutes); see `functions.core.lanes.measures`
    intake              whether files are taken in, and why not; for which lanes a person has accepted what they cost

An account's record holds its lanes' attributes too, so that one conditional write sees all that a reservation depends
on. Whoever changes how fast an account or a lane may go adds 1 to its `settings`: a worker that went by older ones
learns of it by the condition of its next reservation, without reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from functions.core.catalog import MOST_PER_MINUTE, START_PER_MINUTE, Model

INTAKE = "intake"
SETTINGS = "settings"
HELD_UNTIL = "until_"
"""How the attributes begin that count calls in flight by the second until which they are held."""


def account_record(account: str) -> str:
    """Name of an account's record."""
    return f"account#{account}"


def lane_record(model: str) -> str:
    """Name of a lane's control record."""
    return f"lane#{model}"


def minute_record(model: str, minute: int) -> str:
    """Name of the record of what a lane did in a minute since the epoch."""
    return f"lane#{model}#{minute}"


def lane_field(name: str, model: str) -> str:
    """The attribute of an account's record that is one lane's.

    Of the characters that the placeholders of an update expression may have, and another one for each model.
    """
    return f"{name}_{placeholder(model)}"


def placeholder(text: str) -> str:
    """A text as a part of an attribute's name: letters and digits as they are, others by their code."""
    return re.sub(r"[^0-9A-Za-z]", lambda sign: f"_{ord(sign[0]):x}_", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What an account's record says, as one of its lanes reads it.

    Rates are images a minute; `account_rate` and `ceiling` (calls in flight) are the operator's, None where he said
    nothing. `limit` and `throttled`: the most that operator and governor let the lane have. Arrival times, GCRA's, are
    the moments from which slots are free, in epoch microseconds. `holdings`: calls in flight by the epoch second until
    which they are held. `paused`: why the lane is, empty if it is not. `price_usd`: what the provider asks for a
    picture now. `sent` and `refused`: the lane's calls of the last minutes, and those that met a 429, by the number of
    the bucket of ten seconds since the epoch in which their slots lie.

    Of its self-tuning (`functions.core.lanes.tuning`): `rate`, None before it began; `found`, the limit that was met,
    if one was; `step`, by which share it goes beyond that, after `probe_s` seconds; `noise`, the share of refusals that
    another rate has not lessened; `tuned_us` and `cut_us`, when the rate was changed and lowered last; `held_us` and
    `hold_s`, until when the account was held back last, and for how long if that was not to the turn of the provider's
    window.
    """

    settings: int = 0
    arrival_us: int = 0
    in_flight: int = 0
    holdings: Mapping[int, int] = field(default_factory=dict)
    account_rate: Decimal | None = None
    ceiling: int | None = None
    lane_arrival_us: int = 0
    rate: Decimal | None = None
    limit: Decimal | None = None
    throttled: Decimal | None = None
    sent: Mapping[int, int] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    tuned_us: int = 0
    cut_us: int = 0
    held_us: int = 0
    hold_s: int = 0
    found: Decimal | None = None
    step: Decimal | None = None
    noise: Decimal | None = None
    probe_s: int = 0
    paused: str = ""
    price_usd: Decimal | None = None

    def account_per_minute(self, model: Model) -> Decimal:
        """Images a minute of the whole account."""
        if self.account_rate is not None:
            return self.account_rate
        return Decimal(model.account.images_per_minute or MOST_PER_MINUTE)

    def most_per_minute(self, model: Model) -> Decimal:
        """Images a minute that the lane may reach by itself."""
        bounds = [self.account_per_minute(model), self.limit, self.throttled]
        if model.images_per_minute is not None:
            bounds.append(Decimal(model.images_per_minute))
        return min(bound for bound in bounds if bound is not None)

    def lane_per_minute(self, model: Model) -> Decimal:
        """Images a minute of the lane now."""
        most = self.most_per_minute(model)
        return min(most, self._first(model, most) if self.rate is None else self.rate)

    def knows_limit(self, model: Model) -> bool:
        """Whether somebody has said what the account lets through."""
        return self.account_rate is not None or model.account.images_per_minute is not None

    def most_in_flight(self, model: Model) -> int | None:
        """Calls that the account may have under way; None where nobody knows."""
        return self.ceiling if self.ceiling is not None else model.account.concurrency

    def _first(self, model: Model, most: Decimal) -> Decimal:
        if model.start_per_minute is not None:
            return Decimal(model.start_per_minute)
        known = self.knows_limit(model) or model.images_per_minute is not None
        return most if known else Decimal(START_PER_MINUTE)


_NUMBERS_OF_LANE = ("tuned_us", "cut_us", "probe_s")
_DECIMALS_OF_LANE = ("rate", "limit", "throttled", "found", "step", "noise", "price_usd")


def pace_of(record: Mapping[str, Any], model: Model) -> Pace:
    """Read an account's record for one of its lanes."""

    def number(name: str) -> int:
        return int(record.get(name, 0))

    def exact(name: str) -> Decimal | None:
        return Decimal(record[name]) if name in record else None

    lane = model.name
    numbers: dict[str, Any] = {name: number(lane_field(name, lane)) for name in _NUMBERS_OF_LANE}
    decimals: dict[str, Any] = {name: exact(lane_field(name, lane)) for name in _DECIMALS_OF_LANE}
    return Pace(
        settings=number(SETTINGS),
        arrival_us=number("arrival_us"),
        in_flight=number("in_flight"),
        holdings=holdings_of(record),
        account_rate=exact("rate_per_minute"),
        ceiling=number("ceiling") if "ceiling" in record else None,
        lane_arrival_us=number(lane_field("arrival_us", lane)),
        sent=_buckets(record, lane_field("sent", lane)),
        refused=_buckets(record, lane_field("refused", lane)),
        held_us=number("held_us"),
        hold_s=number("hold_s"),
        paused=str(record.get(lane_field("paused", lane), "")),
        **numbers,
        **decimals,
    )


def bucket_field(name: str, model: str, bucket: int) -> str:
    """The attribute of an account's record that counts a lane's calls of ten seconds."""
    return f"{lane_field(name, model)}_{bucket}"


def _buckets(record: Mapping[str, Any], name: str) -> dict[int, int]:
    numbered = ((attribute.removeprefix(f"{name}_"), count) for attribute, count in record.items())
    return {int(bucket): int(count) for bucket, count in numbered if bucket.isdecimal()}


def holdings_of(record: Mapping[str, Any]) -> dict[int, int]:
    """Calls in flight by the epoch second until which they are held."""
    return {
        int(name.removeprefix(HELD_UNTIL)): int(count) for name, count in record.items() if name.startswith(HELD_UNTIL)
    }


def held_until(second: int) -> str:
    """The attribute that counts the calls that are held until a second since the epoch."""
    return f"{HELD_UNTIL}{second}"
