"""What the operator lets a lane and its provider account have. It is kept in the lanes table: no deploy resets it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from functions.adapters.mappings import EventSourceMappings
from functions.core.catalog import MOST_PER_MINUTE, Model
from functions.core.governing.workers import FEWEST_WORKERS, workers_needed
from functions.core.lanes import control
from functions.core.lanes.records import account_record, lane_record
from functions.core.writes import StaleWriteError, Write
from ops.errors import UsageError
from ops.lanes import Lane

if TYPE_CHECKING:
    from ops.stack import Stack

AUTO = "auto"

MOST_IN_FLIGHT = 100_000
"""Ten times the largest plan that we know of."""

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


class Limit(StrEnum):
    """What can be set, by the option that sets it. The last two hold for all lanes of the provider account."""

    RATE = "--rate"
    WORKERS = "--workers"
    IN_FLIGHT = "--in-flight"
    ACCOUNT_RATE = "--account-rate"

    @property
    def of_account(self) -> bool:
        """Whether it holds for all lanes of the provider account."""
        return self in (Limit.IN_FLIGHT, Limit.ACCOUNT_RATE)


Wanted = Mapping[Limit, int | None]
"""What is to be set; None leaves it to the catalog and to what the lane finds by itself."""


@dataclass(frozen=True, slots=True)
class Change:
    """A limit as it was set before and as it is now, None where it is left to catalog and lane. Rates are images a
    minute. `at_once`: it was carried out; else workers learn of it within half a minute, or the governor carries it out
    within a minute.
    """

    limit: Limit
    before: int | None
    after: int | None
    at_once: bool = False


def parse(limit: Limit, text: str, model: str) -> int | None:
    """What an option says: a whole number above 0, or None for `auto`.

    Raises:
        UsageError: when it says anything else.
    """
    said = text.strip().lower()
    if said == AUTO:
        return None
    if not _NUMBER.fullmatch(said):
        raise UsageError(f"{limit} takes a whole number above 0, or '{AUTO}' to take back what was set; not '{text}'.")
    if int(said) == 0:
        raise UsageError(f"{limit} 0 would be a pause, which is: imagebatch pause --lane {model}")
    return int(said)


def check(lane: Lane, wanted: Wanted) -> None:
    """See that these limits can hold, and do something.

    Raises:
        UsageError: when one cannot; nothing was changed.
    """
    for limit, number in wanted.items():
        if number is None:
            continue
        if limit is Limit.RATE:
            _check_rate(lane, number, wanted)
        elif limit is Limit.WORKERS:
            _check_workers(lane.model, number)
        elif number > (most := MOST_IN_FLIGHT if limit is Limit.IN_FLIGHT else MOST_PER_MINUTE):
            raise UsageError(f"{limit} is {most:,} at most, which is more than any provider's plan.")


def warnings(lane: Lane, wanted: Wanted) -> Iterator[str]:
    """What the provider will refuse, a sentence each."""
    account = lane.model.account
    plans = {
        Limit.ACCOUNT_RATE: (account.images_per_minute, "images a minute"),
        Limit.IN_FLIGHT: (account.concurrency, "calls in flight"),
    }
    for limit, (most, what) in plans.items():
        number = wanted.get(limit)
        if number is not None and most is not None and number > most:
            yield (
                f"{account.name}'s plan '{account.plan}' allows {most:,} {what}, says the catalog. The provider will "
                f"refuse what is beyond, unless the plan is another one by now: {limit} {number:,}."
            )


def change(stack: Stack, lane: Lane, wanted: Wanted) -> list[Change]:
    """Set limits. So many workers as the lane then needs and may have are let work at once."""
    table, model = stack.lanes(), lane.model
    account, own = account_record(model.account.name), lane_record(model.name)
    for limit, number in wanted.items():
        with suppress(StaleWriteError):  # it is so already
            table.write(own if limit is Limit.WORKERS else account, _write(limit, model, number))
        if limit is Limit.RATE and number is None:
            with suppress(StaleWriteError):  # it has found nothing yet
                table.write(account, control.forget_rate(model.name))
    at_once = Limit.WORKERS in wanted and _employ(stack, lane, wanted[Limit.WORKERS])
    return [
        Change(limit, _before(lane, limit), number, at_once and limit is Limit.WORKERS)
        for limit, number in wanted.items()
    ]


def record(lane: Lane, changes: Sequence[Change]) -> dict[str, Any]:
    """Changes as `imagebatch lanes set --json` prints them."""
    return {
        "model": lane.model.name,
        "account": lane.model.account.name,
        "changes": [
            {"limit": one.limit.name.lower(), "before": one.before, "after": one.after, "at_once": one.at_once}
            for one in changes
        ],
    }


def _check_rate(lane: Lane, number: int, wanted: Wanted) -> None:
    model, account = lane.model, lane.model.account
    if model.images_per_minute is not None and number > model.images_per_minute:
        raise UsageError(
            f"--rate {number:,} is beyond the {model.images_per_minute:,} images a minute that the catalog allows the "
            f"lane (images_per_minute of models.{model.name}). Change it in functions/catalog.toml and deploy."
        )
    here = wanted.get(Limit.ACCOUNT_RATE, lane.pace.account_rate)
    most = here if here is not None else account.images_per_minute or MOST_PER_MINUTE
    if number > most:
        raise UsageError(
            f"--rate {number:,} is beyond the {most:,} images a minute that all lanes of the account {account.name} "
            "may do together. If its plan allows more, raise that: --account-rate N."
        )


def _check_workers(model: Model, number: int) -> None:
    if number < FEWEST_WORKERS:
        raise UsageError(
            f"--workers is {FEWEST_WORKERS} at least, since AWS takes no fewer. To go slower, lower the rate: "
            f"imagebatch lanes set {model.name} --rate N"
        )
    if number > model.workers:
        raise UsageError(
            f"--workers is {model.workers} at most: so many are reserved (workers of models.{model.name} in "
            "functions/catalog.toml). Change it there and deploy."
        )


def _write(limit: Limit, model: Model, number: int | None) -> Write:
    match limit:
        case Limit.RATE:
            return control.limit(model.name, number)
        case Limit.WORKERS:
            return control.workers_limit(number)
        case Limit.IN_FLIGHT:
            return control.ceiling(number)
        case Limit.ACCOUNT_RATE:
            return control.account_rate(number)


def _before(lane: Lane, limit: Limit) -> int | None:
    found = {
        Limit.RATE: lane.pace.limit,
        Limit.WORKERS: lane.control.workers_limit,
        Limit.IN_FLIGHT: lane.pace.ceiling,
        Limit.ACCOUNT_RATE: lane.pace.account_rate,
    }[limit]
    return None if found is None else int(found)


def _employ(stack: Stack, lane: Lane, most: int | None) -> bool:
    """Let the workers work that the lane needs; False if AWS is at work on another change of the mapping."""
    limited = replace(lane.control, workers_limit=most)
    workers = workers_needed(lane.model, lane.pace, limited, lane.lately.mean_ms)
    mapping = stack.lane_mappings[lane.model.name]
    return EventSourceMappings(stack.lambda_()).change(mapping, enabled=True, workers=workers)
