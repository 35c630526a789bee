"""The shared bucket: however many workers reserve, calls leave at the rate, and no more are in flight than may be."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.catalog import Model, load_catalog
from functions.core.lanes.pacing import (
    HOLD_SECONDS,
    HOLD_STEP,
    MARGIN,
    SKEW_SECONDS,
    Bucket,
    Holding,
    Priority,
    hold_back,
    landed,
    left_until,
    moved,
    sweep,
)
from functions.core.lanes.records import account_record, holdings_of, lane_field
from functions.core.writes import StaleWriteError, Write, apply

SCHNELL = load_catalog().models["flux-schnell"]
START_US = 1_790_000_000_000_000
SECOND_US = 1_000_000
ACCOUNT = account_record("wavespeed")


def lane(per_minute: int | None = 600, concurrency: int | None = None, **model: Any) -> Model:
    account = replace(SCHNELL.account, images_per_minute=per_minute, concurrency=concurrency)
    return replace(SCHNELL, account=account, **model)


class Lanes:
    """A lanes table in memory, which counts its writes."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {ACCOUNT: {}}
        self.writes = 0

    def write(self, key: str, write: Write) -> Mapping[str, Any]:
        self.writes += 1
        self.records[key] = apply(write, self.records.get(key, {}))
        return self.records[key]

    @property
    def account(self) -> dict[str, Any]:
        return self.records[ACCOUNT]

    def say(self, **attributes: Any) -> None:
        """As the operator does."""
        self.records[ACCOUNT] = {**self.account, **attributes, "settings": self.account.get("settings", 0) + 1}


def spacing_us(per_minute: float) -> float:
    return 60 * SECOND_US / (per_minute * MARGIN)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 10), st.integers(0, 3 * SECOND_US), st.booleans()), max_size=60
    )
)
def test_no_two_calls_are_closer_than_the_rate(reservations: list[tuple[int, int, int, bool]]) -> None:
    lanes = Lanes()
    workers = [(Bucket(lanes, lane()), Holding()) for _ in range(3)]
    now_us, slots = START_US, []
    for worker, calls, pause_us, express in reservations:
        now_us += pause_us
        bucket, holding = workers[worker]
        priority = Priority.EXPRESS if express else Priority.BULK
        given_out = [slot.at_us for slot in bucket.reserve(calls, now_us, holding, priority=priority).slots]
        assert all(now_us <= slot <= now_us + 2 * priority.value * SECOND_US for slot in given_out)
        slots += given_out
    assert all(later - earlier >= int(spacing_us(600)) for earlier, later in itertools.pairwise(sorted(slots)))


def test_reserving_for_a_whole_worker_batch_is_one_write_while_work_is_queued_up() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane())
    bucket.reserve(10, START_US, holding)
    before = lanes.writes
    reservation = bucket.reserve(10, START_US + 1, holding)
    assert (len(reservation.slots), reservation.saturated) == (10, True)
    assert lanes.writes == before + 1


def test_reserving_from_an_idle_bucket_is_one_write_within_a_window() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane())
    for pause in range(5):
        reservation = bucket.reserve(10, START_US + 2 * pause * SECOND_US, holding)
        assert (len(reservation.slots), reservation.saturated) == (10, False)
    assert lanes.writes == 5


def test_beyond_the_horizon_nothing_is_reserved_and_the_wait_is_told() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane())
    while (reservation := bucket.reserve(10, START_US, holding)).slots:
        assert reservation.slots[-1].at_us <= START_US + (Priority.BULK.value + 1.1) * SECOND_US
    assert 0 < reservation.wait_seconds < 1.1


def test_express_work_has_room_where_bulk_has_none() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane())
    while bucket.reserve(10, START_US, holding).slots:
        pass
    express = bucket.reserve(2, START_US, holding, priority=Priority.EXPRESS).slots
    assert len(express) == 2
    assert express[0].at_us <= START_US + (Priority.BULK.value + 1.1) * SECOND_US


def test_a_slow_account_gives_only_the_slots_that_fit() -> None:
    bucket = Bucket(Lanes(), lane(2))
    assert len(bucket.reserve(10, START_US, Holding()).slots) == 1


def test_a_rate_in_the_accounts_record_is_followed_from_the_next_reservation_on() -> None:
    lanes, holding = Lanes(), Holding()
    workers = [Bucket(lanes, lane()) for _ in range(2)]
    for worker in workers:
        worker.reserve(5, START_US, holding)
    lanes.say(rate_per_minute=60)
    slots = [slot.at_us for worker in workers for slot in worker.reserve(3, START_US + SECOND_US, Holding()).slots]
    gaps = [later - earlier for earlier, later in itertools.pairwise(slots)]
    assert gaps == pytest.approx([spacing_us(60)] * 5, abs=2)


def test_a_lane_with_a_lower_limit_keeps_it_and_takes_its_slots_from_the_account() -> None:
    lanes = Lanes()
    slow, fast = Bucket(lanes, lane(images_per_minute=60, name="slow")), Bucket(lanes, lane(name="fast"))
    of_slow = slow.reserve(3, START_US, Holding()).slots
    of_fast = fast.reserve(3, START_US, Holding()).slots
    assert [slot.at_us - START_US for slot in of_slow] == pytest.approx([n * spacing_us(60) for n in range(3)], abs=3)
    assert [slot.at_us - START_US for slot in of_fast] == pytest.approx([n * spacing_us(600) for n in (3, 4, 5)], abs=3)
    again = slow.reserve(1, START_US, Holding()).slots
    assert again[0].at_us - START_US == pytest.approx(3 * spacing_us(60), abs=3)


def test_no_more_calls_are_in_flight_than_the_plan_lets() -> None:
    lanes, first, second = Lanes(), Holding(), Holding()
    model = lane(concurrency=12)
    one, other = Bucket(lanes, model), Bucket(lanes, model)
    assert len(one.reserve(10, START_US, first).slots) == 10
    assert len(other.reserve(10, START_US, second).slots) == 2
    assert other.reserve(8, START_US, second).slots == ()
    one.settle(first, START_US + SECOND_US, ended=4, left={})
    later = [len(other.reserve(8, START_US + SECOND_US, second).slots) for _ in range(3)]
    assert (sum(later), lanes.account["in_flight"]) == (4, 12)


def test_calls_that_ended_make_room_in_the_write_that_reserves_again() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane(concurrency=3))
    bucket.reserve(3, START_US, holding)
    before = lanes.writes
    assert len(bucket.reserve(5, START_US, holding, ended=2).slots) == 2
    assert (lanes.writes, lanes.account["in_flight"], holding.calls) == (before + 1, 3, 3)


def test_what_a_dead_worker_held_is_there_again_within_a_minute() -> None:
    lanes, dead, alive = Lanes(), Holding(), Holding()
    model = lane(concurrency=10)
    Bucket(lanes, model).reserve(10, START_US, dead)
    bucket = Bucket(lanes, model)
    assert bucket.reserve(1, START_US + SECOND_US, alive).slots == ()
    later_us = START_US + (HOLD_SECONDS + HOLD_STEP + SKEW_SECONDS) * SECOND_US
    assert later_us - START_US < 60 * SECOND_US
    assert len(bucket.reserve(10, later_us, alive).slots) == 10
    assert lanes.account["in_flight"] == 10


def test_a_worker_that_was_taken_for_dead_counts_its_calls_anew() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane(concurrency=10))
    bucket.reserve(6, START_US, holding)
    later_us = START_US + 300 * SECOND_US
    lanes.write(ACCOUNT, sweep(lanes.account, later_us) or pytest.fail("nothing was swept"))
    assert lanes.account["in_flight"] == 0
    bucket.settle(holding, later_us, ended=1, left={})
    assert (lanes.account["in_flight"], holding.calls, holding.uncounted) == (5, 5, 0)
    bucket.settle(holding, later_us, ended=5, left={})
    assert lanes.account["in_flight"] == 0


def test_a_call_that_is_left_to_itself_stays_in_flight_until_it_lands() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane(concurrency=2))
    bucket.reserve(2, START_US, holding)
    until = left_until(START_US // 1000, 240)
    bucket.settle(holding, START_US, ended=1, left={until: 1})
    assert (lanes.account["in_flight"], holding.calls) == (1, 0)
    assert len(bucket.reserve(2, START_US + SECOND_US, holding).slots) == 1
    lanes.write(ACCOUNT, landed(until, 1))
    assert (lanes.account["in_flight"], lanes.account[f"until_{until}"]) == (1, 0)


def test_a_paused_lane_gives_no_slots_until_it_goes_on() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane())
    lanes.say(**{lane_field("paused", SCHNELL.name): "by the operator"})
    assert bucket.reserve(1, START_US, holding).paused
    assert bucket.reserve(1, START_US, holding).paused
    del lanes.account[lane_field("paused", SCHNELL.name)]
    lanes.say()
    assert len(bucket.reserve(1, START_US, holding).slots) == 1


def test_an_account_that_is_held_back_lets_no_call_leave_before() -> None:
    lanes, holding = Lanes(), Holding()
    bucket = Bucket(lanes, lane())
    lanes.write(ACCOUNT, hold_back(START_US + 20 * SECOND_US, 0))
    assert bucket.reserve(1, START_US, holding).wait_seconds == pytest.approx(15)
    (slot,) = bucket.reserve(1, START_US + 16 * SECOND_US, holding).slots
    assert slot.at_us == START_US + 20 * SECOND_US
    with pytest.raises(StaleWriteError):
        lanes.write(ACCOUNT, hold_back(START_US, 0))


def test_the_price_that_the_provider_asks_for_comes_with_a_reservation() -> None:
    lanes = Lanes()
    bucket = Bucket(lanes, lane())
    lanes.say(**{lane_field("price_usd", SCHNELL.name): Decimal("0.005")})
    bucket.reserve(1, START_US, Holding())
    assert bucket.pace.price_usd == Decimal("0.005")


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(("reserve", "settle", "leave", "land", "move", "sweep", "die"))),
    max_size=60,
)


class Crowd:
    """Three workers and the calls that were left to themselves."""

    def __init__(self, ceiling: int) -> None:
        self.lanes, model = Lanes(), lane(6000, concurrency=ceiling)
        self.buckets = [Bucket(self.lanes, model) for _ in range(3)]
        self.holdings = [Holding() for _ in range(3)]
        self.left: list[int] = []
        self.now_us = START_US

    def step(self, worker: int, step: str) -> None:
        holding = self.holdings[worker]
        if step == "die":
            self.holdings[worker] = Holding()
        elif step == "reserve":
            self.buckets[worker].reserve(4, self.now_us, holding)
        elif step == "settle":
            self.buckets[worker].settle(holding, self.now_us, ended=min(1, holding.calls), left={})
        elif step == "leave" and holding.calls:
            self.left.append(left_until(self.now_us // 1000, 100))
            self.buckets[worker].settle(holding, self.now_us, ended=0, left={self.left[-1]: 1})
        elif step in ("land", "move", "sweep"):
            self.write(step)

    def write(self, step: str) -> None:
        write: Write | None = None
        if step == "sweep":
            write = sweep(self.lanes.account, self.now_us)
        elif step == "land" and self.left and self.left[-1] > self.now_us // SECOND_US + SKEW_SECONDS:
            write = landed(self.left.pop(), 1)
        elif step == "move" and self.left:
            until = left_until(self.now_us // 1000, 100)
            write = moved(self.left.pop(), until, self.now_us)
            self.left.append(until)
        if write is not None:
            self.lanes.write(ACCOUNT, write)


@given(STEPS, st.integers(1, 20), st.lists(st.integers(0, 40), min_size=60, max_size=60))
def test_calls_in_flight_are_what_is_held_and_never_above_the_ceiling(
    steps: list[tuple[int, str]], ceiling: int, pauses: list[int]
) -> None:
    """Whatever workers do, die of or are late with: both counts agree, and in the end nothing is left."""
    crowd = Crowd(ceiling)
    for (worker, step), pause in zip(steps, pauses, strict=False):
        crowd.now_us += pause * SECOND_US
        before = crowd.lanes.account.get("in_flight", 0)
        crowd.step(worker, step)
        after = crowd.lanes.account.get("in_flight", 0)
        assert after == sum(holdings_of(crowd.lanes.account).values())
        assert after <= max(before, ceiling) or step in ("settle", "leave", "move"), (
            "which may count anew what was swept"
        )
    crowd.now_us += 3600 * SECOND_US
    crowd.write("sweep")
    assert crowd.lanes.account.get("in_flight", 0) == 0
    assert not holdings_of(crowd.lanes.account)
