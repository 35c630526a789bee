"""When a lane's rate changes, and to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from functions.core.catalog import START_PER_MINUTE, Model
from functions.core.lanes import tuning
from functions.core.lanes.pacing import BUCKET_US, Slot
from functions.core.lanes.records import Pace, lane_field, pace_of
from functions.core.writes import StaleWriteError, Write, apply
from tests.fakes.lane import SCHNELL

SECOND = 1_000_000
MINUTE = 29_833_334
NOW = (MINUTE * 60 + 30) * SECOND
"""Half a minute into the provider's window."""

BUCKET = NOW // BUCKET_US

UNKNOWN = replace(SCHNELL, account=replace(SCHNELL.account, plan="", images_per_minute=None, concurrency=None))
FOUND = Pace(
    settings=7, rate=Decimal(495), found=Decimal(500), probe_s=240, tuned_us=NOW - 20 * SECOND, cut_us=NOW - 20 * SECOND
)


def record_of(pace: Pace, model: Model = UNKNOWN) -> dict[str, Any]:
    """An account's record that says this."""
    names = ("rate", "found", "step", "noise", "probe_s", "tuned_us", "cut_us")
    values = {name: getattr(pace, name) for name in names}
    lane = {lane_field(name, model.name): value for name, value in values.items() if value}
    return {**lane, **({"settings": pace.settings} if pace.settings else {})}


def lately(**counts: Mapping[int, int]) -> dict[str, Any]:
    """Calls by how many tens of seconds ago they were."""
    return {name: {BUCKET - ago: calls for ago, calls in ages.items()} for name, ages in counts.items()}


def evenly(calls: int) -> dict[int, int]:
    """So many calls in each ten seconds of two minutes."""
    return dict.fromkeys(range(12), calls)


def after(write: Write | None, pace: Pace) -> Pace:
    assert write is not None
    return pace_of(apply(write, record_of(pace)), UNKNOWN)


def refused_at(number: int, seconds_ago: float = 0.0) -> Slot:
    return Slot(NOW - round(seconds_ago * SECOND), number)


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


def test_a_spent_quota_sets_the_rate_to_what_was_taken_in_the_last_window() -> None:
    """Half a minute old by the clock, it has let 80, 180 and 240 calls through."""
    doubling = Pace(
        rate=Decimal(3840),
        tuned_us=NOW - 3 * SECOND,
        **lately(sent={5: 20, 4: 40, 3: 80, 2: 180, 1: 240, 0: 100}, refused={0: 3}),
    )
    lowered = after(tuning.spent(doubling, UNKNOWN, refused_at(1), NOW), doubling)
    assert (lowered.found, lowered.rate, lowered.cut_us) == (Decimal(500), Decimal("495.000"), NOW)


def test_windows_that_do_not_turn_with_the_clocks_are_as_long_as_they_are() -> None:
    pace = Pace(rate=Decimal(960), hold_s=5, held_us=NOW - 50 * SECOND, **lately(sent=evenly(70)))
    assert after(tuning.spent(pace, UNKNOWN, refused_at(1), NOW), pace).found == 420


def test_a_rate_that_was_refused_though_no_more_was_taken_than_it_gives_is_a_little_too_high() -> None:
    pace = replace(FOUND, rate=Decimal(510), hold_s=5, **lately(sent=evenly(85)))
    assert after(tuning.spent(pace, UNKNOWN, refused_at(1), NOW), pace).found == Decimal("494.700")


def test_a_step_too_far_is_taken_back_to_what_held() -> None:
    pace = replace(FOUND, rate=Decimal(525), step=Decimal("0.08"), **lately(sent=evenly(40)))
    assert after(tuning.spent(pace, UNKNOWN, refused_at(1), NOW), pace).found == 500


def test_what_was_found_falls_by_half_at_most_at_a_time() -> None:
    pace = replace(FOUND, **lately(sent={0: 30}))
    assert after(tuning.spent(pace, UNKNOWN, refused_at(11), NOW), pace).found == Decimal("247.5")


@pytest.mark.parametrize(
    "pace",
    [
        replace(FOUND, **lately(sent=evenly(80), refused={4: 3, 3: 3, 2: 3, 0: 3})),
        replace(FOUND, cut_us=NOW - 9 * SECOND, **lately(sent=evenly(80), refused={0: 3})),
    ],
    ids=["refusals were scattered", "just cut"],
)
def test_a_run_of_refusals_is_no_spent_quota_where(pace: Pace) -> None:
    assert tuning.spent(pace, UNKNOWN, refused_at(81), NOW) is None


def test_a_spent_account_is_held_back_to_the_turn_of_the_window() -> None:
    assert tuning.hold_seconds(FOUND, UNKNOWN, refused_at(1), NOW) == (30, 0)


def test_one_that_is_refused_right_after_that_has_windows_of_its_own() -> None:
    held = replace(FOUND, held_us=NOW - 5 * SECOND)
    assert tuning.hold_seconds(held, UNKNOWN, refused_at(1), NOW) == (5, 5)
    assert tuning.hold_seconds(replace(held, hold_s=5), UNKNOWN, refused_at(1), NOW) == (10, 10)
    assert tuning.hold_seconds(replace(held, hold_s=40), UNKNOWN, refused_at(1), NOW) == (60, 60)
    assert tuning.hold_seconds(replace(held, hold_s=40), UNKNOWN, refused_at(1, seconds_ago=6), NOW) == (5, 5)


def test_beyond_a_limit_that_was_found_it_is_felt_for_in_growing_steps() -> None:
    assert tuning.climb(replace(FOUND, tuned_us=NOW - 239 * SECOND), UNKNOWN, NOW) is None
    waited = replace(FOUND, tuned_us=NOW - 240 * SECOND)
    first = after(tuning.climb(waited, UNKNOWN, NOW), waited)
    assert (first.rate, first.step) == (Decimal("504.900"), Decimal("0.04"))
    assert tuning.climb(first, UNKNOWN, NOW + 59 * SECOND) is None, "it has to hold for a window of the provider's"
    second = after(tuning.climb(first, UNKNOWN, NOW + 60 * SECOND), first)
    assert (second.rate, second.step) == (Decimal("525.096"), Decimal("0.08"))


def test_a_rate_that_is_where_it_belongs_is_not_written_anew() -> None:
    found = Decimal("83.956")
    pace = replace(FOUND, found=found, rate=(found * Decimal("0.99")).quantize(Decimal("0.001")))
    assert tuning.climb(pace, UNKNOWN, NOW) is None


def test_a_step_that_met_the_same_limit_is_tried_half_as_often() -> None:
    pace = replace(FOUND, rate=Decimal(505), step=Decimal("0.04"), **lately(sent=evenly(84)))
    lowered = after(tuning.spent(pace, UNKNOWN, refused_at(85), NOW), pace)
    assert (lowered.probe_s, lowered.step) == (480, None)


def test_a_storm_lowers_the_rate_to_what_is_taken_and_it_comes_back_a_little_each_window() -> None:
    stormy = replace(FOUND, **lately(sent={1: 80, 0: 20}, refused={1: 20, 0: 10}))
    assert tuning.climb(stormy, UNKNOWN, NOW) is None
    lowered = after(tuning.storm(stormy, UNKNOWN, NOW), stormy)
    assert (lowered.found, lowered.rate) == (Decimal("346.5"), Decimal("343.035"))


@pytest.mark.parametrize(
    "counts",
    [lately(sent={0: 100}, refused={0: 9}), lately(sent={0: 19}, refused={0: 19}), lately(sent={9: 90, 8: 90})],
)
def test_fewer_refusals_are_no_storm(counts: dict[str, Any]) -> None:
    assert tuning.storm(replace(FOUND, **counts), UNKNOWN, NOW) is None


def test_a_small_share_of_refusals_that_lasts_lowers_the_rate_unless_it_has_done_so_in_vain() -> None:
    lasting = lately(sent=evenly(80), refused=dict.fromkeys(range(6), 4))
    pace = replace(FOUND, cut_us=NOW - 61 * SECOND, **lasting)
    lowered = after(tuning.storm(pace, UNKNOWN, NOW), pace)
    assert (lowered.found, lowered.noise) == (Decimal(460), Decimal("0.05"))
    in_vain = replace(pace, noise=Decimal("0.05"))
    assert tuning.storm(in_vain, UNKNOWN, NOW) is None
    assert tuning.storm(replace(in_vain, cut_us=NOW - 301 * SECOND), UNKNOWN, NOW) is not None


def test_a_plan_that_did_not_hold_is_believed_again_and_doubted_for_longer_each_time() -> None:
    pace = Pace(**lately(sent=evenly(84)))
    record = apply(tuning.spent(pace, SCHNELL, refused_at(21), NOW) or pytest.fail("nothing was lowered"), {})
    first = pace_of(record, SCHNELL)
    assert (first.lane_per_minute(SCHNELL) < 500, first.probe_s) == (True, 120)
    assert tuning.climb(first, SCHNELL, NOW + 119 * SECOND) is None
    for seconds in range(120, 400, 10):
        write = tuning.climb(pace_of(record, SCHNELL), SCHNELL, NOW + seconds * SECOND)
        record = apply(write, record) if write else record
    back = pace_of(record, SCHNELL)
    assert back.lane_per_minute(SCHNELL) == 500
    again = replace(back, **lately(sent=evenly(84)))
    write = tuning.spent(again, SCHNELL, refused_at(84), NOW + 400 * SECOND)
    assert write is not None
    assert write.sets[lane_field("probe_s", SCHNELL.name)] == 240


@pytest.mark.parametrize("changed", [{"settings": 8}, {"tuned_us": NOW}])
def test_a_rate_that_somebody_has_changed_meanwhile_is_left_alone(changed: dict[str, Any]) -> None:
    pace = replace(FOUND, **lately(sent=evenly(84)))
    write = tuning.spent(pace, UNKNOWN, refused_at(81), NOW)
    assert write is not None
    with pytest.raises(StaleWriteError):
        apply(write, record_of(replace(pace, **changed)))


def test_after_a_hold_the_rate_is_not_raised_at_once() -> None:
    pace = Pace(rate=Decimal(60), tuned_us=NOW - 60 * SECOND, held_us=NOW - 9 * SECOND)
    assert tuning.climb(pace, UNKNOWN, NOW) is None
    assert tuning.climb(pace, UNKNOWN, NOW + SECOND) is not None


def test_a_refusal_is_counted_where_its_call_was() -> None:
    assert pace_of(apply(tuning.refused(UNKNOWN, refused_at(1, seconds_ago=10)), {}), UNKNOWN).refused == {
        BUCKET - 1: 1
    }
