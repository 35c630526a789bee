"""The shared token bucket: however many workers reserve, calls leave at the rate."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.catalog import load_catalog
from functions.core.jobs.pacing import HORIZON_SECONDS, Bucket
from functions.core.writes import Write, apply

ACCOUNT = replace(load_catalog().accounts["wavespeed"], images_per_minute=600)
MINUTE_US = 60_000_000


class Lanes:
    """A lanes table in memory, which counts its writes."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.writes = 0

    def write(self, key: str, write: Write) -> Mapping[str, Any]:
        self.writes += 1
        self.records[key] = apply(write, self.records.get(key, {}))
        return self.records[key]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 10), st.integers(0, 3_000_000)), max_size=60))
def test_no_minute_sees_more_calls_than_the_rate(reservations: list[tuple[int, int, int]]) -> None:
    lanes = Lanes()
    workers = [Bucket(lanes, ACCOUNT) for _ in range(3)]
    now_us = 1_000_000_000
    slots: list[int] = []
    for worker, calls, pause_us in reservations:
        now_us += pause_us
        given_out = workers[worker].reserve(calls, now_us).slots_us
        assert all(slot >= now_us for slot in given_out)
        slots += given_out
    assert all(
        later - earlier >= MINUTE_US // 600 for earlier, later in zip(sorted(slots), sorted(slots)[1:], strict=False)
    )


def test_reserving_for_a_whole_worker_batch_is_one_write_while_work_is_queued_up() -> None:
    lanes = Lanes()
    bucket = Bucket(lanes, ACCOUNT)
    bucket.reserve(10, 0)
    before = lanes.writes
    assert len(bucket.reserve(10, 1).slots_us) == 10
    assert lanes.writes == before + 1


def test_reserving_from_an_idle_bucket_is_one_write_too() -> None:
    lanes = Lanes()
    bucket = Bucket(lanes, ACCOUNT)
    for minute in range(5):
        assert len(bucket.reserve(10, minute * MINUTE_US).slots_us) == 10
    assert lanes.writes == 5


def test_beyond_the_horizon_nothing_is_reserved_and_the_wait_is_told() -> None:
    lanes = Lanes()
    bucket = Bucket(lanes, ACCOUNT)
    while (reservation := bucket.reserve(10, 0)).slots_us:
        assert reservation.slots_us[-1] <= (HORIZON_SECONDS + 1) * 1_000_000
    assert 0 < reservation.wait_seconds < 5


def test_a_slow_account_gives_only_the_slots_that_fit() -> None:
    bucket = Bucket(Lanes(), replace(ACCOUNT, images_per_minute=2))
    assert len(bucket.reserve(10, 0).slots_us) == 1


def test_a_rate_in_the_accounts_record_is_followed_from_the_next_reservation_on() -> None:
    lanes = Lanes()
    bucket = Bucket(lanes, ACCOUNT)
    bucket.reserve(1, 0)
    lanes.records["account#wavespeed"]["rate_per_minute"] = 60
    slots = bucket.reserve(3, MINUTE_US).slots_us
    assert [later - earlier for earlier, later in itertools.pairwise(slots)] == [1_000_000, 1_000_000]
    del lanes.records["account#wavespeed"]["rate_per_minute"]
    slots = bucket.reserve(2, 2 * MINUTE_US).slots_us
    assert slots[1] - slots[0] == 100_000


@pytest.mark.parametrize("now_us", [1, MINUTE_US], ids=["queued up", "idle"])
def test_calls_reserved_right_after_a_change_of_the_rate_keep_the_new_one(now_us: int) -> None:
    lanes = Lanes()
    workers = [Bucket(lanes, ACCOUNT) for _ in range(2)]
    for worker in workers:
        worker.reserve(5, 0)
    lanes.records["account#wavespeed"]["rate_per_minute"] = 60
    slots = [slot for worker in workers for slot in worker.reserve(3, now_us).slots_us]
    assert [later - earlier for earlier, later in itertools.pairwise(slots)] == [1_000_000] * 5
    assert slots[0] >= now_us
