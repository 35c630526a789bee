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


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A lane's record. None: nobody has said anything.

    `workers_limit` and `workers_throttle`: the most workers at a time, by the operator and by the governor.
    `rate_throttle`: the most images a minute, by the governor. `halved_at`: when it throttled last (epoch ms).
    `notice`: what the operator is still to be told.
    """

    workers_limit: int | None = None
    workers_throttle: int | None = None
    rate_throttle: Decimal | None = None
    halved_at: int = 0
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
        notice=str(record.get("notice", "")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """The intake's record. `paused`: why it is, empty if it is not; `paused_at`: since when (epoch ms).

    `notice`: what the operator is still to be told.
    """

    paused: str = ""
    paused_at: int = 0
    notice: str = ""


def intake_of(record: Mapping[str, Any]) -> Intake:
    """Read the intake's record."""
    return Intake(
        paused=str(record.get("paused", "")),
        paused_at=int(record.get("paused_at", 0)),
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


def resume_intake() -> Write:
    """New files are taken in again. Intake's record."""
    return Write(name="resume_intake", when=Above("paused_at", 0), removes=("paused", "paused_at"))


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
    throttled = lane_field("throttled", model)
    return Write(
        name="throttle_rate",
        when=_as_seen(throttled, seen),
        sets={} if per_minute is None else {throttled: per_minute},
        removes=(throttled,) if per_minute is None else (),
        adds={SETTINGS: 1},
    )


def quote(model: str, price_usd: Decimal, *, seen: Decimal | None) -> Write:
    """What the provider asks for a picture has changed. While it is as it was seen. Account's record."""
    price = lane_field("price_usd", model)
    return Write(name="quote", when=_as_seen(price, seen), sets={price: price_usd}, adds={SETTINGS: 1})


def stop_intake(model: str, why: str, *, notice: str, change: str, now_ms: int) -> Write:
    """No new files are taken in, because a lane became dear. Once for each change of its alarm. Intake's record."""
    changed = lane_field("change", model)
    return Write(
        name="stop_intake",
        when=AllOf((Missing("paused"), Lacks(changed, change))),
        sets={"paused": why, "paused_at": now_ms, "notice": notice, changed: frozenset({change})},
    )


def told(notice: str) -> Write:
    """The operator was told. Unless there is something else to be told meanwhile. Lane's or intake's record."""
    return Write(name="told", when=equals("notice", notice), removes=("notice",))


def _set(name: str, attribute: str, value: int | None, adds: Mapping[str, int] | None = None) -> Write:
    if value is None:
        return Write(name=name, when=Above(attribute, 0), removes=(attribute,), adds=adds or {})
    other = AnyOf((Missing(attribute), Above(attribute, value), AtMost(attribute, value - 1)))
    return Write(name=name, when=other, sets={attribute: value}, adds=adds or {})


def _as_seen(attribute: str, value: Decimal | None) -> Condition:
    return Missing(attribute) if value is None else equals(attribute, value)
