"""Pace: the rate and the calls in flight of a provider account, shared by every worker of its lanes.

The rate is kept by the generic cell rate algorithm (GCRA, ITU-T I.371): a record holds the theoretical arrival time of
the next call. Reserving n calls moves that time by n intervals in one conditional write, whose answer says when each of
the n calls may leave. A write has two forms, since a condition cannot compute a maximum: the bucket is ahead of now
(work is queued up behind it) or behind now (idle). A lane that may go less fast than its account has an arrival time
of its own besides, and its calls leave at the later of their two slots.

Calls in flight are counted with their slots and given back as they end. Each is held until a second that whoever holds
it moves on: what a worker held that died is swept when that second has passed. Counts of all seconds sum up to
`in_flight`, since every write changes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any

from functions.core.catalog import Model
from functions.core.lanes.records import (
    SETTINGS,
    Pace,
    account_record,
    bucket_field,
    held_until,
    holdings_of,
    lane_field,
    pace_of,
)
from functions.core.ports import RecordStore
from functions.core.writes import Above, AllOf, AnyOf, AtMost, Condition, Missing, StaleWriteError, Value, Write, equals

MARGIN = 0.998
"""Share of the rate at which slots are spaced: a call that leaves late may fall into the provider's next window."""

HOLD_SECONDS = 30
"""For how long a worker holds its calls without saying so again: three heartbeats."""

HOLD_STEP = 10
"""Seconds between two moments until which calls are held, so that few attributes count them."""

SKEW_SECONDS = 10
"""By how much the clock of whoever sweeps may differ from that of whoever held."""

LONGEST_WAIT_SECONDS = 30.0
"""After this a worker that waits for slots asks again: the rate may have been raised meanwhile."""

CEILING_WAIT_SECONDS = 1.0

SLOWER = 2.0
"""How many times longer than it used to a call may take before the rate is raised no further."""

_LATELY, _SO_FAR = 0.1, 0.01
"""Weights of the next call in two moving averages of the latency: what it is, and what it used to be."""

BUCKET_US = 10_000_000
"""How long the buckets are in which a lane's calls are counted, in microseconds."""

_BUCKETS_KEPT = 13  # two minutes, and the one that has begun
_MOST_ATTEMPTS = 8  # each lost race means that another worker got its slots


class Priority(Enum):
    """How far ahead of now slots may be reserved, in seconds: express work finds room behind the bulk's last slot."""

    BULK = 5.0
    EXPRESS = 30.0


@dataclass(frozen=True, slots=True)
class Slot:
    """When a call may leave, in epoch microseconds. `number`: how many calls of its lane were reserved in the same ten
    seconds by then, itself included."""

    at_us: int
    number: int

    @property
    def bucket(self) -> int:
        """The number of its ten seconds since the epoch."""
        return self.at_us // BUCKET_US


@dataclass(frozen=True, slots=True)
class Reservation:
    """The slots of calls; those without one ask again after `wait_seconds`.

    `paused`: the lane is, and none gets one. `saturated`: work was queued up behind the rate.
    """

    slots: tuple[Slot, ...]
    wait_seconds: float = 0.0
    paused: bool = False
    saturated: bool = False


@dataclass(slots=True)
class Holding:
    """The calls that one invocation of a worker has in flight: so many are counted until a second, as far as it knows.

    `uncounted`: calls that were swept meanwhile, and that the next write counts anew.
    """

    calls: int = 0
    until: int = 0
    uncounted: int = 0

    def swept(self) -> None:
        """Somebody took this worker for dead."""
        self.uncounted += self.calls
        self.calls = 0


@dataclass(slots=True)
class _Changes:
    """What a write is put together from."""

    when: list[Condition] = field(default_factory=list)
    sets: dict[str, Value] = field(default_factory=dict)
    adds: dict[str, int] = field(default_factory=dict)
    removes: list[str] = field(default_factory=list)

    def add(self, attribute: str, amount: int) -> None:
        self.adds[attribute] = self.adds.get(attribute, 0) + amount

    def write(self, name: str) -> Write:
        adds = {attribute: amount for attribute, amount in self.adds.items() if amount}
        return Write(name=name, when=AllOf(tuple(self.when)), sets=self.sets, removes=tuple(self.removes), adds=adds)


class Bucket:
    """The bucket of one lane and its account, seen from one worker.

    It remembers what it met last (`pace`), so that a reservation usually costs one write and no read.
    """

    def __init__(self, records: RecordStore, model: Model) -> None:
        self._records = records
        self._model = model
        self._key = account_record(model.account.name)
        self.pace = Pace()
        self._latency = dict.fromkeys((_LATELY, _SO_FAR), 0.0)

    def reserve(
        self, calls: int, now_us: int, holding: Holding, *, ended: int = 0, priority: Priority = Priority.BULK
    ) -> Reservation:
        """Reserve slots for as many of the calls as fit before the horizon and under the ceiling.

        `ended`: calls of the holding that are over, and given back by the same write.
        """
        for attempt in range(_MOST_ATTEMPTS):
            pace = self.pace
            beyond_us = self._latest_arrival(pace) - now_us - round(priority.value * 1_000_000)
            if beyond_us > 0:
                return Reservation((), wait_seconds=min(LONGEST_WAIT_SECONDS, beyond_us / 1_000_000))
            if attempt and pace.paused:
                return Reservation((), paused=True)
            room = self._room(ended, holding)
            if attempt and room < 1:
                if self._sweep(now_us):
                    continue
                return Reservation((), wait_seconds=CEILING_WAIT_SECONDS)
            fitting = max(1, min(calls, room, self._fitting(priority.value)))
            try:
                self.pace = self._written(self._reserve(fitting, now_us, holding, ended, priority))
            except StaleWriteError as stale:
                self._learn(stale.record, holding)
            else:
                _held(holding, fitting - ended, now_us)
                return Reservation(self._slots(fitting), saturated=self._latest_arrival(pace) > now_us)
        return Reservation((), wait_seconds=CEILING_WAIT_SECONDS)

    def settle(self, holding: Holding, now_us: int, *, ended: int, left: Mapping[int, int]) -> None:
        """Give back calls that ended, and leave others to themselves (so many until a second); renews the rest."""
        leaving = sum(left.values())
        for _ in range(_MOST_ATTEMPTS):
            changes = _Changes()
            _flight(changes, holding, -(ended + leaving), now_us)
            changes.add("in_flight", leaving)
            for until, calls in left.items():
                changes.add(held_until(until), calls)
            if not any(changes.adds.values()):
                return
            try:
                self.pace = self._written(changes.write("settle"))
            except StaleWriteError as stale:
                self._learn(stale.record, holding)
            else:
                _held(holding, -(ended + leaving), now_us)
                return

    def took(self, seconds: float) -> None:
        """A picture was there so long after its submit."""
        for weight, average in self._latency.items():
            self._latency[weight] = average + weight * (seconds - average) if average else seconds

    @property
    def is_slow(self) -> bool:
        """Whether calls take much longer than they used to: more of them would only wait at the provider."""
        return self._latency[_LATELY] > SLOWER * self._latency[_SO_FAR] > 0

    def carry_out(self, write: Write) -> bool:
        """Carry out a change of the account's pace; False if it is not as it was seen any more."""
        try:
            self.pace = self._written(write)
        except StaleWriteError as stale:
            self.pace = pace_of(stale.record, self._model)
            return False
        return True

    def _written(self, write: Write) -> Pace:
        return pace_of(self._records.write(self._key, write), self._model)

    def _learn(self, record: Mapping[str, Any], holding: Holding) -> None:
        self.pace = pace_of(record, self._model)
        if holding.calls and self.pace.holdings.get(holding.until, 0) < holding.calls:
            holding.swept()

    def _sweep(self, now_us: int) -> bool:
        """Give back what the dead held; whether that made room."""
        write = _sweep(self.pace.holdings, now_us)
        if write is None:
            return False
        before = self.pace.in_flight
        return self.carry_out(write) and self.pace.in_flight < before

    def _room(self, ended: int, holding: Holding) -> int:
        """Calls that may be added to those in flight."""
        ceiling = self.pace.most_in_flight(self._model)
        if ceiling is None:
            return _UNLIMITED
        return ceiling - self.pace.in_flight - holding.uncounted + ended

    def _fitting(self, seconds: float) -> int:
        return int(float(self.pace.lane_per_minute(self._model)) * seconds / 60)

    def _reserve(self, calls: int, now_us: int, holding: Holding, ended: int, priority: Priority) -> Write:
        pace, lane = self.pace, self._model.name
        changes = _Changes()
        changes.when.append(_as_seen(SETTINGS, pace.settings))
        changes.when.append(Missing(lane_field("paused", lane)))
        for attribute, arrival_us, per_minute in self._buckets(pace):
            spacing_us = _spacing_us(per_minute, calls)
            if arrival_us > now_us:
                horizon_us = now_us + round(priority.value * 1_000_000)
                changes.when += [Above(attribute, now_us), AtMost(attribute, horizon_us)]
                changes.add(attribute, spacing_us)
            else:
                changes.when.append(AnyOf((Missing(attribute), AtMost(attribute, now_us))))
                changes.sets[attribute] = now_us + spacing_us
        self._count(changes, calls, max(now_us, self._latest_arrival(pace)))
        ceiling = pace.most_in_flight(self._model)
        if ceiling is not None:
            most = ceiling - calls - holding.uncounted + ended
            changes.when.append(AnyOf((Missing("in_flight"), AtMost("in_flight", most))))
        _flight(changes, holding, calls - ended, now_us)
        return changes.write("reserve")

    def _count(self, changes: _Changes, calls: int, first_us: int) -> None:
        """Count the calls in the ten seconds of the first, and forget what is minutes old."""
        lane, bucket = self._model.name, first_us // BUCKET_US
        changes.add(bucket_field("sent", lane, bucket), calls)
        for name, counts in (("sent", self.pace.sent), ("refused", self.pace.refused)):
            changes.removes += [bucket_field(name, lane, old) for old in counts if old <= bucket - _BUCKETS_KEPT]

    def _buckets(self, pace: Pace) -> list[tuple[str, int, Decimal]]:
        """Attribute, arrival time and rate of the account's bucket, and of the lane's if that is slower."""
        account, own = pace.account_per_minute(self._model), pace.lane_per_minute(self._model)
        buckets = [("arrival_us", pace.arrival_us, account)]
        if own < account:
            buckets.append((lane_field("arrival_us", self._model.name), pace.lane_arrival_us, own))
        return buckets

    def _latest_arrival(self, pace: Pace) -> int:
        return max(arrival_us for _, arrival_us, _ in self._buckets(pace))

    def _slots(self, calls: int) -> tuple[Slot, ...]:
        """The slots that were reserved last."""
        pace = self.pace
        series = [
            [arrival_us - _spacing_us(per_minute, calls - index) for index in range(calls)]
            for _, arrival_us, per_minute in self._buckets(pace)
        ]
        moments = [max(slots) for slots in zip(*series, strict=True)]
        before = pace.sent.get(moments[0] // BUCKET_US, calls) - calls
        return tuple(Slot(at_us, before + index) for index, at_us in enumerate(moments, start=1))


def landed(until: int, calls: int) -> Write:
    """Calls that were left to themselves have ended, before the second until which they were held.

    Unconditional: they may have ended before the worker that left them has said so. Not to be written once that second
    is near, since whoever sweeps it gives back what is counted then.
    """
    return Write(name="landed", when=AllOf(()), adds={"in_flight": -calls, held_until(until): -calls})


def moved(old: int, new: int, now_us: int) -> Write:
    """A call that was left to itself until one second goes on until another. One that was swept is counted anew."""
    if old > now_us // 1_000_000 + SKEW_SECONDS:
        return Write(name="moved", when=AllOf(()), adds={held_until(old): -1, held_until(new): 1})
    return Write(name="moved", when=AllOf(()), adds={"in_flight": 1, held_until(new): 1})


def sweep(record: Mapping[str, Any], now_us: int) -> Write | None:
    """Give back the calls of an account's record that nobody holds any more; None if there is nothing to sweep."""
    return _sweep(holdings_of(record), now_us)


def hold_back(until_us: int, hold_s: int) -> Write:
    """No call leaves the account before a moment: the provider refuses all until then. `hold_s`: see `Pace`."""
    free = AnyOf((Missing("arrival_us"), AtMost("arrival_us", until_us)))
    return Write(name="hold_back", when=free, sets={"arrival_us": until_us, "held_us": until_us, "hold_s": hold_s})


def left_until(now_ms: int, seconds: float) -> int:
    """The second until which a call is held that is left to itself for so long, on the grid that holdings have."""
    return _grid(now_ms / 1000 + seconds)


_UNLIMITED = 1_000_000


def _sweep(holdings: Mapping[int, int], now_us: int) -> Write | None:
    over = {until: calls for until, calls in holdings.items() if until + SKEW_SECONDS <= now_us // 1_000_000}
    if not over:
        return None
    total = sum(over.values())
    return Write(
        name="sweep",
        when=AllOf(tuple(equals(held_until(until), calls) for until, calls in over.items())),
        removes=tuple(held_until(until) for until in over),
        adds={"in_flight": -total} if total else {},
    )


def _flight(changes: _Changes, holding: Holding, change: int, now_us: int) -> None:
    """So many more calls in flight (fewer if below 0), and all that are held from now on as long as the new ones."""
    until, change = _grid(now_us / 1_000_000 + HOLD_SECONDS), change + holding.uncounted
    changes.add("in_flight", change)
    changes.add(held_until(until), holding.calls + change)
    if holding.calls:
        changes.when.append(Above(held_until(holding.until), holding.calls - 1))
        changes.add(held_until(holding.until), -holding.calls)


def _held(holding: Holding, change: int, now_us: int) -> None:
    """What is held after `_flight` was written."""
    holding.calls += change + holding.uncounted
    holding.uncounted = 0
    holding.until = _grid(now_us / 1_000_000 + HOLD_SECONDS)


def _grid(second: float) -> int:
    return -int(-second // HOLD_STEP) * HOLD_STEP


def _spacing_us(per_minute: Decimal, calls: int) -> int:
    """Microseconds that so many calls take up."""
    return round(calls * 60_000_000 / (float(per_minute) * MARGIN))


def _as_seen(attribute: str, number: int) -> Condition:
    return equals(attribute, number) if number else Missing(attribute)
