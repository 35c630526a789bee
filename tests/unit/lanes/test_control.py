"""What operator and governor may say about lanes, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from functions.core.lanes import control
from functions.core.lanes.control import ACCEPTED_SECONDS, CLIMB_SECONDS, Control, Intake, control_of, intake_of
from functions.core.lanes.records import lane_field, pace_of
from functions.core.writes import StaleWriteError, Write, apply
from tests.fakes.governed import DREAM, FLUX, INTERVAL_MS
from tests.fakes.virtual_time import START_MS as NOW

MODEL = FLUX.name
CLIMB_MS = CLIMB_SECONDS * 1000


def says_nothing_new(write: Write, record: dict[str, Any]) -> None:
    with pytest.raises(StaleWriteError):
        apply(write, record)


NUMBERS: dict[str, Callable[[int | None], Write]] = {
    "rate_per_minute": control.account_rate,
    "ceiling": control.ceiling,
    "limit_flux_2d_schnell": lambda most: control.limit(MODEL, most),
    "workers_limit": control.workers_limit,
}


@pytest.mark.parametrize("attribute", NUMBERS)
def test_a_number_of_the_operators_is_set_changed_and_taken_back(attribute: str) -> None:
    write = NUMBERS[attribute]
    first = apply(write(300), {})
    assert first[attribute] == 300
    for other in (299, 301):
        changed = apply(write(other), first)
        assert changed[attribute] == other
    assert attribute not in apply(write(None), first)


@pytest.mark.parametrize("attribute", NUMBERS)
def test_saying_it_again_changes_nothing(attribute: str) -> None:
    write = NUMBERS[attribute]
    says_nothing_new(write(300), apply(write(300), {}))
    says_nothing_new(write(None), {})


def test_workers_learn_of_each_change_of_their_accounts_record() -> None:
    record: dict[str, Any] = {}
    told = (
        control.account_rate(300),
        control.ceiling(20),
        control.limit(MODEL, 100),
        control.pause(MODEL, "holidays"),
        control.resume(MODEL),
        control.throttle_rate(MODEL, Decimal(50), seen=None),
        control.quote(MODEL, Decimal("0.004"), seen=None),
        control.throttle_rate(MODEL, None, seen=Decimal(50)),
        control.account_rate(None),
        control.ceiling(None),
        control.limit(MODEL, None),
    )
    for settings, write in enumerate(told, 1):
        record = apply(write, record)
        assert record["settings"] == settings
    assert set(record) == {"settings", "price_usd_flux_2d_schnell"}


def test_what_is_said_of_a_lane_is_read_by_that_lane() -> None:
    record = apply(control.limit(MODEL, 100), apply(control.account_rate(300), {}))
    record = apply(control.throttle_rate(MODEL, Decimal(50), seen=None), record)
    record = apply(control.quote(MODEL, Decimal("0.004"), seen=None), apply(control.pause(MODEL, "holidays"), record))
    pace, other = pace_of(record, FLUX), pace_of(record, DREAM)
    expected = (Decimal(100), Decimal(50), Decimal("0.004"), "holidays")
    assert (pace.limit, pace.throttled, pace.price_usd, pace.paused) == expected
    assert (other.limit, other.throttled, other.price_usd, other.paused) == (None, None, None, "")
    assert pace.account_rate == other.account_rate == 300


def test_the_first_reason_of_a_pause_stays() -> None:
    says_nothing_new(control.pause(MODEL, "another"), apply(control.pause(MODEL, "holidays"), {}))
    paused = apply(control.pause_intake("holidays", NOW), {})
    says_nothing_new(control.pause_intake("another", NOW + 1), paused)
    assert intake_of(paused) == Intake(paused="holidays", paused_at=NOW)


def test_resuming_what_was_never_spoken_of_makes_no_record() -> None:
    says_nothing_new(control.resume(MODEL), {})
    says_nothing_new(control.resume_intake(Intake(), NOW), {})


def test_the_intake_goes_on_once_it_is_resumed() -> None:
    resumed = resume_intake(apply(control.pause_intake("holidays", NOW), {}))
    assert (intake_of(resumed), resumed) == (Intake(), {})
    says_nothing_new(control.resume_intake(intake_of(resumed), NOW), resumed)


def test_an_intake_that_was_paused_for_something_else_meanwhile_is_not_resumed() -> None:
    seen = intake_of(record := apply(control.pause_intake("holidays", NOW), {}))
    says_nothing_new(control.resume_intake(seen, NOW), apply(stop("09:00", now_ms=NOW + 1), resume_intake(record)))


def halve(now_ms: int = NOW, change: str = "", **to: Any) -> Write:
    return control.halve(notice="slow", change=change, interval_ms=INTERVAL_MS, now_ms=now_ms, **to)


def test_a_lane_is_halved_at_most_once_in_an_interval() -> None:
    record = apply(halve(workers=4), {})
    says_nothing_new(halve(NOW + INTERVAL_MS - 1, workers=2), record)
    record = apply(halve(NOW + INTERVAL_MS, rate=Decimal(10)), record)
    at = NOW + INTERVAL_MS
    assert control_of(record) == Control(workers_throttle=4, rate_throttle=Decimal(10), halved_at=at, notice="slow")


def test_one_change_of_an_alarm_halves_once_however_late_it_comes_again() -> None:
    record = apply(halve(change="09:00", workers=4), {})
    says_nothing_new(halve(NOW + 9 * INTERVAL_MS, change="09:00", workers=2), record)
    apply(halve(NOW + 9 * INTERVAL_MS, change="10:00", workers=2), record)


def climb(seen: Control, now_ms: int, workers: int | None = None, rate: Decimal | None = None) -> Write:
    return control.climb(seen, workers=workers, rate=rate, now_ms=now_ms)


def test_a_lane_climbs_once_for_a_tick_that_is_delivered_twice() -> None:
    record = apply(halve(workers=2, rate=Decimal(10)), {})
    record = apply(climb(control_of(record), NOW + 5, 4, Decimal(20)), record)
    assert (record["workers_throttle"], record["rate_throttle"]) == (4, 20)
    says_nothing_new(climb(control_of(record), NOW + 4 + CLIMB_MS, 6), record)
    assert not control_of(apply(climb(control_of(record), NOW + 5 + CLIMB_MS), record)).throttled


def test_a_lane_does_not_climb_that_was_halved_meanwhile() -> None:
    seen = control_of(record := apply(halve(workers=4), {}))
    record = apply(halve(NOW + INTERVAL_MS, workers=2), record)
    says_nothing_new(climb(seen, NOW + INTERVAL_MS, 6), record)


def test_a_throttle_or_a_price_that_was_changed_meanwhile_is_left() -> None:
    record = apply(control.throttle_rate(MODEL, Decimal(50), seen=None), {})
    for seen in (None, Decimal(60)):
        says_nothing_new(control.throttle_rate(MODEL, Decimal(40), seen=seen), record)
    record = apply(control.quote(MODEL, Decimal("0.003"), seen=None), {})
    for seen in (None, Decimal("0.002")):
        says_nothing_new(control.quote(MODEL, Decimal("0.004"), seen=seen), record)
    assert apply(control.quote(MODEL, Decimal("0.004"), seen=Decimal("0.0030")), record)["settings"] == 2


def test_a_price_that_nobody_knows_any_more_is_forgotten() -> None:
    record = apply(control.quote(MODEL, Decimal("0.003"), seen=None), {})
    forgotten = apply(control.quote(MODEL, None, seen=Decimal("0.003")), record)
    assert (pace_of(forgotten, FLUX).price_usd, forgotten["settings"]) == (None, 2)


def test_when_a_price_was_said_last_is_what_the_last_one_said() -> None:
    record = apply(control.quoted(NOW), {})
    says_nothing_new(control.quoted(NOW - 1), record)
    assert control_of(apply(control.quoted(NOW + 1), record)).quoted_at == NOW + 1


def stop(change: str, model: str = MODEL, now_ms: int = NOW) -> Write:
    return control.stop_intake(model, "dear", notice="dear", change=change, now_ms=now_ms)


def resume_intake(record: dict[str, Any], now_ms: int = NOW) -> dict[str, Any]:
    return apply(control.resume_intake(intake_of(record), now_ms), record)


def test_the_intake_is_stopped_once_for_each_change_of_a_lanes_alarm() -> None:
    record = apply(stop("09:00"), {})
    assert intake_of(record) == Intake(paused="dear", paused_at=NOW, dear=MODEL, notice="dear")
    says_nothing_new(stop("10:00"), record)
    record, later = resume_intake(record), NOW + ACCEPTED_SECONDS * 1000
    says_nothing_new(stop("09:00", now_ms=later), record)
    other = apply(stop("09:00", DREAM.name), record)
    assert intake_of(other).paused
    says_nothing_new(stop("09:00", DREAM.name, later), resume_intake(other))
    assert intake_of(apply(stop("10:00", now_ms=later), record)).paused


def test_whoever_resumes_a_dear_intake_accepts_the_price_of_that_lane_for_an_hour() -> None:
    record = resume_intake(apply(stop("09:00"), {}), NOW + 5)
    until = NOW + 5 + ACCEPTED_SECONDS * 1000
    says_nothing_new(stop("10:00", now_ms=until - 1), record)
    assert intake_of(apply(stop("10:00", DREAM.name, until - 1), record)).dear == DREAM.name
    again = apply(stop("10:00", now_ms=until), record)
    says_nothing_new(stop("11:00", now_ms=until + 1), resume_intake(again, until))


def test_a_notice_is_told_unless_there_is_another_one() -> None:
    record = apply(halve(workers=4), {})
    says_nothing_new(control.told("older"), record)
    assert control_of(apply(control.told("slow"), record)).notice == ""


def test_what_a_lane_has_found_of_its_limit_can_be_forgotten() -> None:
    tuned = {lane_field(name, MODEL): 7 for name in ("rate", "found", "step", "noise", "probe_s", "tuned_us", "cut_us")}
    assert apply(control.forget_rate(MODEL), {**tuned, "settings": 1, "arrival_us": 5}) == {
        "settings": 2,
        "arrival_us": 5,
    }
    with pytest.raises(StaleWriteError):
        apply(control.forget_rate(MODEL), {})
