"""What the jobs table's stream tells of lanes: their minutes, their metrics and the places of calls in flight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from functions.core.batches.counting import Change
from functions.core.batches.tracking import LaneTracker
from functions.core.catalog import Catalog
from functions.core.lanes.measures import Measures, total
from functions.core.lanes.pacing import SKEW_SECONDS
from functions.core.lanes.records import account_record, held_until, minute_record
from functions.core.writes import Write
from tests.fakes import records
from tests.fakes.batches import ManualClock
from tests.fakes.lane import MODEL, Records
from tests.fakes.records import Record, seen
from tests.fakes.virtual_time import START_MS

SECOND = MODEL.account.name + "-2"
CATALOG = Catalog(
    accounts={},
    models={
        MODEL.name: MODEL,
        "twin": replace(MODEL, name="twin"),
        "abroad": replace(MODEL, name="abroad", account=replace(MODEL.account, name=SECOND)),
    },
)
NOW = START_MS // 1000
UNTIL = NOW + 60


class Lanes(Records):
    """The lanes table; refuses to write the records that are out of order, and counts writes."""

    def __init__(self) -> None:
        super().__init__()
        self.out_of_order: set[str] = set()
        self.written: list[str] = []

    def write(self, key: str, write: Write) -> dict[str, Any]:
        self.written.append(key)
        if key in self.out_of_order:
            raise ConnectionError(key)
        return super().write(key, write)


class Follower:
    """A lane tracker and what it has to do with."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.published: list[Mapping[str, Measures]] = []
        self.tracker = LaneTracker(
            lanes=self.lanes, catalog=CATALOG, clock=ManualClock(), publish=self.published.append
        )

    def follow(self, *changes: Change) -> None:
        self.tracker.follow(iter(changes))

    def in_flight(self, account: str = MODEL.account.name) -> Record:
        return self.lanes.records.get(account_record(account), {})


@pytest.fixture
def follower() -> Follower:
    return Follower()


def minute(model: str = MODEL.name) -> str:
    return minute_record(model, START_MS // 60_000)


def success(model: str = MODEL.name) -> Change:
    return Change(seen({**records.accepted(), "model": model}), seen({**records.succeeded(), "model": model}))


def flown(before: int, after: int, model: str = MODEL.name) -> Change:
    """A job's change by which its place in flight, held until a second, becomes another one; 0: none."""
    until = [{"flight_until": second} if second else {} for second in (before, after)]
    stored = {**records.accepted(), "model": model}
    return Change(seen({**stored, **until[0]}), seen({**stored, **until[1]}))


def test_a_stream_batch_is_one_write_for_each_lane_and_is_published_once(follower: Follower) -> None:
    follower.follow(success(), success("twin"), success())
    assert sorted(follower.lanes.written) == sorted([minute(), minute("twin")])
    done = total([follower.lanes.records[minute()]])
    assert (done.pictures, done.expected_usd) == (2, 2 * MODEL.price_usd)
    (published,) = follower.published
    assert {model: one.attempts for model, one in published.items()} == {MODEL.name: 2, "twin": 1}


def test_the_stream_batches_of_a_minute_add_up_in_its_record(follower: Follower) -> None:
    follower.follow(success())
    follower.follow(success())
    assert total([follower.lanes.records[minute()]]).pictures == 2


def test_what_measures_nothing_is_not_written(follower: Follower) -> None:
    job = seen(records.accepted())
    follower.follow(Change(job, job), Change(None, job))
    assert follower.lanes.written == []


def test_a_model_that_the_catalog_does_not_have_any_more_is_measured_without_a_price(follower: Follower) -> None:
    follower.follow(success("gone"), flown(UNTIL, 0, "gone"))
    done = total([follower.lanes.records[minute("gone")]])
    assert (done.pictures, done.cost_ratio) == (1, None)


@pytest.mark.parametrize("after", [0, None])
def test_a_place_is_given_back_when_the_job_does_not_wait_for_it_any_more(
    follower: Follower, after: int | None
) -> None:
    change = flown(UNTIL, 0)
    follower.follow(change if after == 0 else replace(change, after=None))
    assert follower.in_flight() == {"in_flight": -1, held_until(UNTIL): -1}


def test_places_that_were_held_until_the_same_second_are_given_back_in_one_write(follower: Follower) -> None:
    follower.follow(flown(UNTIL, 0), flown(UNTIL, 0, "twin"), flown(UNTIL + 10, 0), flown(UNTIL, 0, "abroad"))
    assert len(follower.lanes.written) == 3
    assert follower.in_flight() == {"in_flight": -3, held_until(UNTIL): -2, held_until(UNTIL + 10): -1}
    assert follower.in_flight(SECOND) == {"in_flight": -1, held_until(UNTIL): -1}


@pytest.mark.parametrize(
    ("before", "after"),
    [(UNTIL, UNTIL), (UNTIL, UNTIL + 60), (0, UNTIL), (0, 0), (NOW + SKEW_SECONDS - 1, 0), (NOW - 60, 0)],
    ids=["kept", "moved", "taken", "never had one", "swept soon", "swept"],
)
def test_other_places_stay_as_they_are(follower: Follower, before: int, after: int) -> None:
    follower.follow(flown(before, after))
    assert follower.in_flight() == {}


@pytest.mark.parametrize("broken", [minute(), minute("twin"), account_record(SECOND)])
def test_a_write_that_fails_stops_no_other(follower: Follower, broken: str) -> None:
    follower.lanes.out_of_order = {broken}
    with pytest.raises(ExceptionGroup) as failed:
        follower.follow(success(), success("twin"), flown(UNTIL, 0, "abroad"), flown(UNTIL, 0))
    assert failed.group_contains(ConnectionError, match=broken, depth=2)
    assert len(follower.published) == 1
    everything = {minute(), minute("twin"), account_record(SECOND), account_record(MODEL.account.name)}
    assert follower.lanes.records.keys() == everything - {broken}


def test_metrics_that_fail_stop_no_write(follower: Follower) -> None:
    def fail(measures: Mapping[str, Measures]) -> None:
        raise OSError("no log")

    tracker = replace(follower.tracker, publish=fail)
    with pytest.raises(ExceptionGroup) as failed:
        tracker.follow([success(), flown(UNTIL, 0)])
    assert failed.group_contains(OSError)
    assert follower.lanes.records.keys() == {minute(), account_record(MODEL.account.name)}
