"""How many workers a lane has, and what its throttle is next."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from functions.core.catalog import Mode, Model
from functions.core.governing.workers import FEWEST_WORKERS, Throttle, climbed, halved, workers_needed
from functions.core.lanes.control import Control
from functions.core.lanes.records import Pace
from tests.fakes.governed import FLUX

MANY = replace(FLUX, workers=100)
FREE = Control()


def slow(rate: int, throttled: Decimal | None = None) -> Pace:
    return Pace(rate=Decimal(rate), throttled=throttled)


@pytest.mark.parametrize(
    ("per_minute", "latency_ms", "workers"),
    [
        (600, 8_000.0, 11),  # 10 calls/s, 8 + 2 s each: 100 under way
        (500, None, 10),  # 10 s each, as long as nobody knows: 83 under way
        (60, 500.0, 2),  # 2.5 under way
        (1, 100.0, 2),
    ],
)
def test_there_are_workers_for_the_calls_under_way_and_one_more(
    per_minute: int, latency_ms: float | None, workers: int
) -> None:
    model = replace(MANY, account=replace(MANY.account, images_per_minute=600))
    assert workers_needed(model, slow(per_minute), FREE, latency_ms) == workers


def test_a_worker_is_busy_with_a_call_until_it_leaves_the_rest_to_the_callback() -> None:
    waits, leaves = MANY, replace(MANY, mode=Mode.CALLBACK, inline_seconds=8)
    assert workers_needed(waits, slow(300), FREE, 58_000) == 31
    assert workers_needed(leaves, slow(300), FREE, 58_000) == workers_needed(waits, slow(300), FREE, 8_000) == 6


@pytest.mark.parametrize(
    ("model", "control", "workers"),
    [
        (FLUX, FREE, 8),
        (FLUX, Control(workers_limit=5), 5),
        (FLUX, Control(workers_limit=5, workers_throttle=3), 3),
        (FLUX, Control(workers_limit=50, workers_throttle=50), 8),
        (FLUX, Control(workers_limit=1), FEWEST_WORKERS),
        (replace(FLUX, workers=1), FREE, FEWEST_WORKERS),
    ],
)
def test_there_are_no_more_than_anybody_allows_and_no_fewer_than_lambda_does(
    model: Model, control: Control, workers: int
) -> None:
    assert workers_needed(model, slow(500), control, 60_000) == workers


@pytest.mark.parametrize(("now", "then"), [(8, 4), (7, 3), (5, 2), (3, 2)])
def test_half_of_the_workers_go_down_to_two(now: int, then: int) -> None:
    assert halved(FLUX, slow(500), FREE, now) == Throttle(then, None)


def test_with_two_workers_half_of_the_rate_goes_down_to_one_a_minute() -> None:
    control = Control(workers_throttle=2)
    assert halved(FLUX, slow(500), control, 2) == Throttle(2, Decimal(250))
    assert halved(FLUX, slow(500, throttled=Decimal("7.813")), control, 2) == Throttle(2, Decimal("3.906"))
    assert halved(FLUX, slow(500, throttled=Decimal("1.5")), control, 2) == Throttle(2, Decimal(1))
    assert halved(FLUX, slow(500, throttled=Decimal(1)), control, 2) is None


def test_it_is_the_rate_that_the_lane_has_that_is_halved() -> None:
    assert halved(FLUX, Pace(rate=Decimal(300), limit=Decimal(80)), FREE, 2) == Throttle(None, Decimal(40))


def steps(model: Model, pace: Pace, control: Control) -> list[Throttle]:
    """The throttle after each step up."""
    found = []
    while control.throttled:
        found.append(climbed(model, pace, control))
        control = Control(workers_throttle=found[-1].workers, rate_throttle=found[-1].rate)
    return found


def test_workers_come_back_by_quarters_until_all_are_there() -> None:
    climb = steps(FLUX, slow(500), Control(workers_throttle=2))
    assert [step.workers for step in climb] == [4, 6, None]
    few = replace(FLUX, workers=3)
    assert [step.workers for step in steps(few, slow(500), Control(workers_throttle=1))] == [2, None]


def test_the_rate_doubles_until_it_is_no_bound_any_more() -> None:
    pace = Pace(limit=Decimal(90), throttled=Decimal(10))
    climb = steps(FLUX, pace, Control(rate_throttle=Decimal(10)))
    assert [step.rate for step in climb] == [20, 40, 80, None]


def test_workers_and_rate_climb_side_by_side() -> None:
    climb = steps(FLUX, slow(500), Control(workers_throttle=6, rate_throttle=Decimal(100)))
    assert climb == [Throttle(None, Decimal(200)), Throttle(None, Decimal(400)), Throttle(None, None)]
