"""When a lane's rate changes, and to what."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from functions.core.catalog import START_PER_MINUTE, Model
from functions.core.lanes import tuning
from functions.core.lanes.pacing import Slot
from functions.core.lanes.records import Pace, lane_field, pace_of
from functions.core.writes import StaleWriteError, Write, apply
from tests.fakes.lane import SCHNELL

SECOND = 1_000_000
WINDOW = 29_833_334
NOW = (WINDOW * 60 + 30) * SECOND
"""Half a minute into the provider's window."""

UNKNOWN = replace(SCHNELL, account=replace(SCHNELL.account, plan="", images_per_minute=None, concurrency=None))
FOUND = Pace(
    settings=7, rate=Decimal(495), found=Decimal(500), probe_s=240, tuned_us=NOW - 20 * SECOND, cut_us=NOW - 20 * SECOND
)


def record_of(pace: Pace, model: Model = UNKNOWN) -> dict[str, Any]:
    """An account's record that says this."""
    names = ("rate", "found", "step", "probe_s", "tuned_us", "cut_us", "window", "sent", "refused")
    values = {name: getattr(pace, name) for name in names}
    lane = {lane_field(name, model.name): value for name, value in values.items() if value}
    return {**lane, **({"settings": pace.settings} if pace.settings else {})}


def after(write: Write | None, pace: Pace) -> Pace:
    assert write is not None
    return pace_of(apply(write, record_of(pace)), UNKNOWN)


def refused_at(number: int, window: int = WINDOW) -> Slot:
    return Slot(NOW, window, number)


def test_a_lane_whose_limit_is_known_begins_there_and_needs_no_climbing() -> None:
    assert Pace().lane_per_minute(SCHNELL) == 500
    assert tuning.climb(Pace(), SCHNELL, NOW) is None


def test_one_whose_limit_is_not_known_begins_low_or_where_the_catalog_says() -> None:
    assert Pace().lane_per_minute(UNKNOWN) == START_PER_MINUTE
    assert Pace().lane_per_minute(replace(UNKNOWN, start_per_minute=200)) == 200
    assert Pace().lane_per_minute(replace(SCHNELL, start_per_minute=200)) == 200


def test_the_rate_doubles_each_window_while_no_limit_was_met() -> None:
    begun = after(tuning.climb(Pace(), UNKNOWN, NOW), Pace())
    assert (begun.rate, begun.tuned_us) == (Decimal(START_PER_MINUTE), NOW)
    assert tuning.climb(begun, UNKNOWN, NOW + 9 * SECOND) is None
    assert after(tuning.climb(begun, UNKNOWN, NOW + 10 * SECOND), begun).rate == 2 * START_PER_MINUTE


@pytest.mark.parametrize("bound", ["limit", "throttled", "account_rate"])
def test_it_climbs_to_what_operator_and_governor_allow(bound: str) -> None:
    bounds: dict[str, Any] = {bound: Decimal(100)}
    pace = replace(Pace(), **bounds, rate=Decimal(60), tuned_us=NOW - 20 * SECOND)
    assert tuning.climb(pace, replace(UNKNOWN, start_per_minute=60), NOW) is not None
    assert tuning.climb(replace(pace, rate=Decimal(100)), UNKNOWN, NOW) is None
    assert pace.most_per_minute(UNKNOWN) == 100


def test_a_spent_quota_sets_the_rate_to_what_was_taken() -> None:
    doubling = Pace(rate=Decimal(3840), tuned_us=NOW - 3 * SECOND, window=WINDOW, sent=540, refused=3)
    lowered = after(tuning.spent(doubling, UNKNOWN, refused_at(501), NOW), doubling)
    assert (lowered.found, lowered.rate, lowered.cut_us) == (Decimal(500), Decimal("495.000"), NOW)


def test_the_quota_of_a_second_is_taken_by_the_minute() -> None:
    model = replace(UNKNOWN, account=replace(UNKNOWN.account, window_seconds=1))
    pace = Pace(rate=Decimal(900), window=NOW // SECOND, sent=12, refused=3)
    lowered = tuning.spent(pace, model, Slot(NOW, NOW // SECOND, 11), NOW)
    assert lowered is not None
    assert lowered.sets[lane_field("found", model.name)] == 600


def test_what_was_found_falls_by_half_at_most_at_a_time() -> None:
    pace = replace(FOUND, window=WINDOW, sent=30, refused=3)
    assert after(tuning.spent(pace, UNKNOWN, refused_at(11), NOW), pace).found == Decimal("247.5")


@pytest.mark.parametrize(
    "pace",
    [
        replace(FOUND, window=WINDOW, sent=400, refused=20),
        replace(FOUND, window=WINDOW, sent=400, refused=3, cut_us=NOW - 9 * SECOND),
    ],
    ids=["refusals were scattered", "just cut"],
)
def test_a_run_of_refusals_is_no_spent_quota_where(pace: Pace) -> None:
    assert tuning.spent(pace, UNKNOWN, refused_at(381), NOW) is None


def test_a_run_of_refusals_of_a_window_that_is_over_says_nothing() -> None:
    pace = replace(FOUND, window=WINDOW, sent=400, refused=3)
    assert tuning.spent(pace, UNKNOWN, refused_at(381, WINDOW - 1), NOW) is None


def test_beyond_a_limit_that_was_found_it_is_felt_for_in_growing_steps() -> None:
    assert tuning.climb(replace(FOUND, tuned_us=NOW - 239 * SECOND), UNKNOWN, NOW) is None
    waited = replace(FOUND, tuned_us=NOW - 240 * SECOND)
    first = after(tuning.climb(waited, UNKNOWN, NOW), waited)
    assert (first.rate, first.step) == (Decimal("504.900"), Decimal("0.04"))
    assert tuning.climb(first, UNKNOWN, NOW + 59 * SECOND) is None, "it has to hold for a window of the provider's"
    second = after(tuning.climb(first, UNKNOWN, NOW + 60 * SECOND), first)
    assert (second.rate, second.step) == (Decimal("525.096"), Decimal("0.08"))


def test_a_step_that_met_the_same_limit_is_tried_half_as_often() -> None:
    pace = replace(FOUND, rate=Decimal(505), step=Decimal("0.04"), window=WINDOW, sent=510, refused=3)
    lowered = after(tuning.spent(pace, UNKNOWN, refused_at(501), NOW), pace)
    assert (lowered.probe_s, lowered.step) == (480, None)


def test_a_storm_lowers_the_rate_and_it_comes_back_a_little_each_window() -> None:
    stormy = replace(FOUND, window=WINDOW, sent=100, refused=10)
    lowered = after(tuning.storm(stormy, UNKNOWN, NOW), stormy)
    assert (lowered.rate, lowered.found) == (Decimal("346.500"), Decimal(500))
    assert tuning.climb(lowered, UNKNOWN, NOW + 10 * SECOND) is None, "the window is still stormy"
    calm = replace(lowered, window=WINDOW + 1, sent=10, refused=0)
    assert after(tuning.climb(calm, UNKNOWN, NOW + 60 * SECOND), calm).rate == Decimal("371.500")


@pytest.mark.parametrize(("sent", "refused"), [(100, 9), (19, 19), (0, 0)])
def test_fewer_refusals_are_no_storm(sent: int, refused: int) -> None:
    assert tuning.storm(replace(FOUND, window=WINDOW, sent=sent, refused=refused), UNKNOWN, NOW) is None


def test_a_plan_that_a_storm_has_lowered_is_reached_again() -> None:
    pace = Pace(window=WINDOW, sent=100, refused=30)
    lowered = tuning.storm(pace, SCHNELL, NOW)
    assert lowered is not None
    record = apply(lowered, {lane_field("window", SCHNELL.name): WINDOW})
    for seconds in range(10, 1200, 10):
        write = tuning.climb(pace_of(record, SCHNELL), SCHNELL, NOW + seconds * SECOND)
        record = apply(write, record) if write else record
    assert pace_of(record, SCHNELL).lane_per_minute(SCHNELL) == 500


@pytest.mark.parametrize("changed", [{"settings": 8}, {"tuned_us": NOW}])
def test_a_rate_that_somebody_has_changed_meanwhile_is_left_alone(changed: dict[str, Any]) -> None:
    pace = replace(FOUND, window=WINDOW, sent=400, refused=3)
    write = tuning.spent(pace, UNKNOWN, refused_at(381), NOW)
    assert write is not None
    with pytest.raises(StaleWriteError):
        apply(write, record_of(replace(pace, **changed)))


def test_refusals_are_counted_in_their_own_window_alone() -> None:
    pace = replace(FOUND, window=WINDOW, sent=400)
    assert after(tuning.refused(pace, UNKNOWN, 2), pace).refused == 2
    with pytest.raises(StaleWriteError):
        apply(tuning.refused(pace, UNKNOWN, 2), record_of(replace(pace, window=WINDOW + 1)))
