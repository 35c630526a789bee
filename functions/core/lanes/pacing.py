"""Pace: one token bucket per provider account, shared by every worker.

The bucket is the generic cell rate algorithm (GCRA, ITU-T I.371): the account's record holds the theoretical arrival
time of the next call. Reserving n calls moves that time by n intervals in one conditional write, whose answer says when
each of the n calls may leave. A write has two forms, since a condition cannot compute a maximum: the bucket is ahead of
now (work is queued up behind it) or behind now (idle).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from functions.core.catalog import Account
from functions.core.ports import RecordStore
from functions.core.writes import (
    Above,
    AllOf,
    AnyOf,
    AtMost,
    Condition,
    Missing,
    StaleWriteError,
    Write,
    equals,
)

HORIZON_SECONDS = 30.0
"""How far ahead a reservation may begin; its last slot may lie as far again behind its first."""

_MOST_ATTEMPTS = 5  # each lost race means that another worker got its slots


def account_record(account: str) -> str:
    """Name of an account's record in the lanes table."""
    return f"account#{account}"


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls per minute, as exact as it is stored. `stored` is false while the record leaves it to the catalog."""

    per_minute: int | Decimal
    stored: bool

    def fitting(self, seconds: float) -> int:
        """How many calls fit into so much time."""
        return int(float(self.per_minute) * seconds / 60)

    def spacing_us(self, calls: int) -> int:
        """Microseconds that so many calls take up."""
        return round(calls * 60_000_000 / float(self.per_minute))


def reserve_ahead(rate: Rate, calls: int, now_us: int) -> Write:
    """Reserve behind work that is already queued up, unless that reaches beyond the horizon."""
    horizon_us = now_us + round(HORIZON_SECONDS * 1_000_000)
    return Write(
        name="reserve_ahead",
        when=AllOf((Above("arrival_us", now_us), AtMost("arrival_us", horizon_us), _rate_is(rate))),
        adds={"arrival_us": rate.spacing_us(calls)},
    )


def reserve_now(rate: Rate, calls: int, now_us: int) -> Write:
    """Reserve from this moment on: the bucket is idle."""
    return Write(
        name="reserve_now",
        when=AllOf((AnyOf((Missing("arrival_us"), AtMost("arrival_us", now_us))), _rate_is(rate))),
        sets={"arrival_us": now_us + rate.spacing_us(calls)},
    )


def slots_us(rate: Rate, calls: int, arrival_us: int) -> tuple[int, ...]:
    """When each of the reserved calls may leave (epoch microseconds), from the arrival time after the write."""
    start = arrival_us - rate.spacing_us(calls)
    return tuple(start + rate.spacing_us(index) for index in range(calls))


@dataclass(frozen=True, slots=True)
class Reservation:
    """When calls may leave, in epoch microseconds. Calls without a slot come back after `wait_seconds`."""

    slots_us: tuple[int, ...]
    wait_seconds: float


class Bucket:
    """The shared bucket of one account, seen from one worker.

    It remembers what it met last, so that a reservation usually costs one write and no read.
    """

    def __init__(self, records: RecordStore, account: Account) -> None:
        self._records = records
        self._key = account_record(account.name)
        self._catalog_rate = Rate(account.images_per_minute, stored=False)
        self._rate = self._catalog_rate
        self._arrival_us = 0

    def reserve(self, calls: int, now_us: int) -> Reservation:
        """Reserve slots for as many of the calls as fit before the horizon."""
        for _ in range(_MOST_ATTEMPTS):
            if self._rate.per_minute <= 0:
                self._rate = self._catalog_rate  # the next reservation meets the stored one again
                return Reservation((), HORIZON_SECONDS)
            fitting = max(1, min(calls, self._rate.fitting(HORIZON_SECONDS)))
            form = reserve_ahead if self._arrival_us > now_us else reserve_now
            try:
                self._learn(self._records.write(self._key, form(self._rate, fitting, now_us)))
            except StaleWriteError as stale:
                self._learn(stale.record)
            else:
                return Reservation(slots_us(self._rate, fitting, self._arrival_us), HORIZON_SECONDS)
            beyond_us = self._arrival_us - now_us - round(HORIZON_SECONDS * 1_000_000)
            if beyond_us > 0:
                return Reservation((), beyond_us / 1_000_000 + 1)
        return Reservation((), 1.0)

    def _learn(self, record: Mapping[str, Any]) -> None:
        stored = record.get("rate_per_minute")
        self._rate = self._catalog_rate if stored is None else Rate(stored, stored=True)
        self._arrival_us = int(record.get("arrival_us", 0))


def _rate_is(rate: Rate) -> Condition:
    return equals("rate_per_minute", rate.per_minute) if rate.stored else Missing("rate_per_minute")
