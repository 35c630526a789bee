"""What operator and governor say about lanes and the intake: how it is read, and every change of it.

Each change is a conditional `Write` on the record that its docstring names. One that would change nothing does not
hold: a `StaleWriteError` then says that it is so already.

The governor keeps what it decides on the lane's record. The throttle of a rate is copied from there to the account's,
where the workers see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from functions.core.lanes.records import SETTINGS, lane_field
from functions.core.writes import Above, AllOf, AnyOf, AtMost, Condition, Lacks, Missing, Value, Write, equals

CLIMB_SECONDS = 45
"""A lane climbs at most once in so long: a tick that is delivered twice is one tick."""

ACCEPTED_SECONDS = 3600
"""For so long after somebody has resumed the intake, it is not stopped for the same lane's price again: until the hour
that the price is compared with has it, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A lane's record. None: nobody has said anything.

    `workers_limit` and `workers_throttle`: the most workers at a time, by the operator and by the governor.
    `rate_throttle`: the most images a minute, by the governor. `halved_at`: when it throttled last (epoch ms).
    `quoted_at`: when the provider last said a price that could be believed (epoch ms). `notice`: what the operator is
    still to be told.
    """

    workers_limit: int | None = None
    workers_throttle: int | None = None
    rate_throttle: Decimal | None = None
    halved_at: int = 0
    quoted_at: int = 0
    notice: str = ""

    @property
    def throttled(self) -> bool:
        """Whether the governor holds the lane back."""
        return self.workers_throttle is not None or self.rate_throttle is not None


def control_of(record: Mapping[str, Any]) -> Control:
    """Read a lane's record."""

    def whole(name: str) -> int | None:
        return int(record[name]) if name in record else None

    return Control(
        workers_limit=whole("workers_limit"),
        workers_throttle=whole("workers_throttle"),
        rate_throttle=Decimal(record["rate_throttle"]) if "rate_throttle" in record else None,
        halved_at=int(record.get("halved_at", 0)),
        quoted_at=int(record.get("quoted_at", 0)),
        notice=str(record.get("notice", "")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The intake's record. `paused`: why it is, empty if it is not; `paused_at`: since when (epoch ms).

    `dear`: the model whose price it was stopped for, empty if it was paused for something else. `notice`: what the
    operator is still to be told.
    """

    paused: str = ""
    paused_at: int = 0
    dear: str = ""
    notice: str = ""


def intake_of(record: Mapping[str, Any]) -> Intake:
    """Read the intake's record."""
    return Intake(
        paused=str(record.get("paused", "")),
        paused_at=int(record.get("paused_at", 0)),
        dear=str(record.get("dear", "")),
        notice=str(record.get("notice", "")),
    )


# The operator's.


def account_rate(per_minute: int | None) -> Write:
    """The images a minute of a whole account, in place of its plan's; None: the plan's again. Account's record."""
    return _set("account_rate", "rate_per_minute", per_minute, adds={SETTINGS: 1})


def ceiling(calls: int | None) -> Write:
    """The most calls that an account may have in flight; None: as many as its plan allows. Account's record."""
    return _set("ceiling", "ceiling", calls, adds={SETTINGS: 1})


def limit(model: str, per_minute: int | None) -> Write:
    """The most images a minute of a lane; None: as many as it finds. Account's record."""
    return _set("limit", lane_field("limit", model), per_minute, adds={SETTINGS: 1})


def forget_rate(model: str) -> Write:
    """What a lane has found of its limit is forgotten: it begins anew. Account's record; if it has found anything."""
    found = tuple(
        lane_field(name, model) for name in ("rate", "found", "step", "noise", "probe_s", "tuned_us", "cut_us")
    )
    return Write(name="forget_rate", when=Above(found[0], 0), removes=found, adds={SETTINGS: 1})


def workers_limit(workers: int | None) -> Write:
    """The most workers of a lane at a time; None: as many as the catalog says. Lane's record."""
    return _set("workers_limit", "workers_limit", workers)


def pause(model: str, why: str) -> Write:
    """No call leaves the lane. While it is not paused: the first reason stays. Account's record."""
    paused = lane_field("paused", model)
    return Write(name="pause_lane", when=Missing(paused), sets={paused: why}, adds={SETTINGS: 1})


def resume(model: str) -> Write:
    """The lane goes on. On an account about which something was said: a record is not made by it. Account's record."""
    return Write(
        name="resume_lane",
        when=Above(SETTINGS, 0),
        removes=(lane_field("paused", model),),
        adds={SETTINGS: 1},
    )


def pause_intake(why: str, now_ms: int) -> Write:
    """No new files are taken in. While they are: the first reason stays. Intake's record."""
    return Write(name="pause_intake", when=Missing("paused"), sets={"paused": why, "paused_at": now_ms})


def resume_intake(seen: Intake, now_ms: int) -> Write:
    """New files are taken in again. While the intake is paused as it was seen. Intake's record.

    If it was stopped for the price of a lane, that price is accepted, for `ACCEPTED_SECONDS`.
    """
    return Write(
        name="resume_intake",
        when=equals("paused_at", seen.paused_at),
        sets={lane_field("accepted_at", seen.dear): now_ms} if seen.dear else {},
        removes=("paused", "paused_at", "dear"),
    )


# The governor's.


def halve(
    *,
    workers: int | None = None,
    rate: Decimal | None = None,
    notice: str,
    change: str = "",
    interval_ms: int,
    now_ms: int,
) -> Write:
    """The lane gets fewer workers, or images a minute, than it has: at most once in an interval. Lane's record.

    `change`: the alarm's change of state that it is for, if it is for one, and then only once for each.
    """
    conditions: list[Condition] = [AnyOf((Missing("halved_at"), AtMost("halved_at", now_ms - interval_ms)))]
    sets: dict[str, Value] = {"halved_at": now_ms, "notice": notice}
    if change:
        conditions.append(Lacks("change", change))
        sets["change"] = frozenset({change})
    if workers is not None:
        sets["workers_throttle"] = workers
    if rate is not None:
        sets["rate_throttle"] = rate
    return Write(name="halve", when=AllOf(tuple(conditions)), sets=sets)


def climb(seen: Control, *, workers: int | None, rate: Decimal | None, now_ms: int) -> Write:
    """A throttled lane gets more, or is no longer throttled where it is None. Lane's record.

    While it is throttled as it was seen, and not twice within `CLIMB_SECONDS`.
    """
    bounds: Mapping[str, int | Decimal | None] = {"workers_throttle": workers, "rate_throttle": rate}
    long_ago = AtMost("climbed_at", now_ms - CLIMB_SECONDS * 1000)
    return Write(
        name="climb",
        when=AllOf((equals("halved_at", seen.halved_at), AnyOf((Missing("climbed_at"), long_ago)))),
        sets={"climbed_at": now_ms} | {name: bound for name, bound in bounds.items() if bound is not None},
        removes=tuple(name for name, bound in bounds.items() if bound is None),
    )


def throttle_rate(model: str, per_minute: Decimal | None, *, seen: Decimal | None) -> Write:
    """The workers see the throttle of the lane's rate, None for none. While it is as it was seen. Account's record."""
    return _replace("throttle_rate", lane_field("throttled", model), per_minute, seen)


def quote(model: str, price_usd: Decimal | None, *, seen: Decimal | None) -> Write:
    """What the provider asks for a picture; None: nobody knows, and the catalog's price counts.

    While it is as it was seen. Account's record.
    """
    return _replace("quote", lane_field("price_usd", model), price_usd, seen)


def quoted(now_ms: int) -> Write:
    """The provider has said its price. Whoever asked later has the word. Lane's record."""
    return Write(
        name="quoted",
        when=AnyOf((Missing("quoted_at"), AtMost("quoted_at", now_ms))),
        sets={"quoted_at": now_ms},
    )


def stop_intake(model: str, why: str, *, notice: str, change: str, now_ms: int) -> Write:
    """No new files are taken in, because a lane became dear. Intake's record.

    Once for each change of its alarm, and not within `ACCEPTED_SECONDS` of somebody's accepting the lane's price.
    """
    changed, accepted = lane_field("change", model), lane_field("accepted_at", model)
    long_ago = AtMost(accepted, now_ms - ACCEPTED_SECONDS * 1000)
    return Write(
        name="stop_intake",
        when=AllOf((Missing("paused"), Lacks(changed, change), AnyOf((Missing(accepted), long_ago)))),
        sets={"paused": why, "paused_at": now_ms, "dear": model, "notice": notice, changed: frozenset({change})},
    )


def told(notice: str) -> Write:
    """The operator was told. Unless there is something else to be told meanwhile. Lane's or intake's record."""
    return Write(name="told", when=equals("notice", notice), removes=("notice",))


def _set(name: str, attribute: str, value: int | None, adds: Mapping[str, int] | None = None) -> Write:
    if value is None:
        return Write(name=name, when=Above(attribute, 0), removes=(attribute,), adds=adds or {})
    other = AnyOf((Missing(attribute), Above(attribute, value), AtMost(attribute, value - 1)))
    return Write(name=name, when=other, sets={attribute: value}, adds=adds or {})


def _replace(name: str, attribute: str, value: Decimal | None, seen: Decimal | None) -> Write:
    return Write(
        name=name,
        when=Missing(attribute) if seen is None else equals(attribute, seen),
        sets={} if value is None else {attribute: value},
        removes=(attribute,) if value is None else (),
        adds={SETTINGS: 1},
    )
