"""The pace benchmark reads shares, refusals and settling times out of a ledger as a person would."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.pace import LATENCY_SECONDS, LIMITS, Bench, runs
from bench.pace_figures import Figures, tuned
from bench.pace_lanes import CONCURRENCY, MODEL, paced
from bench.pace_ledger import (
    Minute,
    Sample,
    exact,
    full_minutes,
    reached_after,
    reached_in_a_clocks_minute_after,
    refused_share,
    settling,
    share,
)
from bench.pace_peers import PEERS, celery_at_a_time
from functions.core.catalog import CATALOG_FILE, Mode, parse_catalog

TURN = 60_000.0
"""A moment at which a minute of the clock begins."""

PER_SECOND = 10
LIMIT = 600


def ledger(begin: float, seconds: int, taken: Callable[[int], int], refused: Callable[[int], int]) -> list[Sample]:
    """A sample each second, from what is taken and refused in each."""
    samples = [Sample(begin, 0, 0)]
    for second in range(seconds):
        last = samples[-1]
        samples.append(Sample(last.at + 1, last.accepted + taken(second), last.refused + refused(second)))
    return samples


def steady(begin: float, seconds: int) -> list[Sample]:
    return ledger(begin, seconds, lambda _: PER_SECOND, lambda _: 0)


def test_only_whole_minutes_of_the_clock_count() -> None:
    minutes = full_minutes(steady(TURN + 20, 200), work=10_000)

    assert minutes == (Minute(TURN + 60, 600, 0), Minute(TURN + 120, 600, 0))


def test_a_minute_that_begins_right_after_the_first_call_does_not_count() -> None:
    minutes = full_minutes(steady(TURN + 55, 200), work=10_000)

    assert [minute.begin for minute in minutes] == [TURN + 120, TURN + 180]


def test_a_minute_in_which_the_work_ran_out_does_not_count() -> None:
    minutes = full_minutes(steady(TURN + 20, 200), work=1_500)

    assert [minute.begin for minute in minutes] == [TURN + 60]


def test_a_lane_that_makes_no_call_has_no_minutes() -> None:
    assert full_minutes(ledger(TURN, 200, lambda _: 0, lambda _: 0), work=100) == ()


def test_share_and_refusals_are_of_the_minutes_together() -> None:
    minutes = (Minute(TURN, 600, 0), Minute(TURN + 60, 300, 100))

    assert share(minutes, LIMIT) == 0.75
    assert refused_share(minutes) == 0.1
    assert (share((), LIMIT), refused_share(())) == (0, 0)


def test_the_providers_own_count_of_a_minute_stands() -> None:
    summary = {"images_per_minute": {"1970-01-01T16:40:00.000Z": 599}}

    assert exact((Minute(TURN, 590, 3), Minute(TURN + 60, 5, 0)), summary) == (
        Minute(TURN, 599, 3),
        Minute(TURN + 60, 0, 0),
    )


def test_an_unknown_limit_is_reached_at_the_end_of_the_first_minute_that_uses_it() -> None:
    samples = ledger(TURN + 7, 300, lambda second: min(PER_SECOND, second // 10), lambda _: 0)

    # 570 of 600 are 10 s at 8, 10 s at 9 and 40 s at 10 each second; the first call is seen in the eleventh second.
    assert reached_after(samples, LIMIT) == 140 - 11
    assert reached_in_a_clocks_minute_after(samples, LIMIT) == 180 - 7 - 11
    assert reached_after(samples, 2 * LIMIT) is None


def test_a_lane_that_slows_down_at_the_first_refusals_has_settled_then() -> None:
    half = PER_SECOND // 2
    samples = ledger(
        TURN,
        180,
        taken=lambda second: PER_SECOND if second < 30 else half if second >= 60 else 0,
        refused=lambda second: PER_SECOND if 30 <= second < 40 else 0,
    )

    fall = settling(samples, TURN, LIMIT // 2)

    assert fall.seconds is not None
    assert 30 < fall.seconds <= 40
    assert fall.seconds_from_429 is not None
    assert fall.seconds_from_429 < 10
    assert fall.until.refused > 90
    assert fall.after.refused <= 5


def test_a_lane_that_goes_on_as_before_never_settles() -> None:
    samples = ledger(
        TURN,
        180,
        taken=lambda second: PER_SECOND if second % 60 < 30 else 0,
        refused=lambda second: 0 if second % 60 < 30 else PER_SECOND,
    )

    fall = settling(samples, TURN, LIMIT // 2)

    assert (fall.seconds, fall.seconds_from_429) == (None, None)
    assert fall.until.refused == 900


def test_a_lane_that_calls_for_more_than_the_limit_has_not_settled() -> None:
    assert settling(steady(TURN, 180), TURN, LIMIT // 2).seconds is None


def test_a_lane_that_was_within_the_lower_limit_is_settled_at_once() -> None:
    fall = settling(steady(TURN, 180), TURN, LIMIT)

    assert (fall.seconds, fall.seconds_from_429) == (0, 0)


def test_refusals_while_climbing_and_after_are_told_apart() -> None:
    climb = ledger(TURN, 240, lambda second: PER_SECOND if second >= 30 else 1, lambda second: second % 2)

    found = tuned(climb, [replace(climb[-1], at=TURN + 240 + n) for n in range(120)], LIMIT)

    assert found.reached_seconds is not None
    assert found.climbing.refused + found.holding.refused == climb[-1].refused
    assert found.climbing.at == pytest.approx(TURN + found.reached_seconds, abs=2)


def test_the_catalog_knows_the_limit_and_the_workers() -> None:
    model = parse_catalog(paced(CATALOG_FILE.read_text(encoding="utf-8"), 1_900, 16)).models[MODEL]

    assert (model.account.images_per_minute, model.account.concurrency) == (1_900, CONCURRENCY)
    assert (model.workers, model.mode) == (16, Mode.POLL)


def test_the_catalog_of_an_unknown_limit_has_no_plan() -> None:
    model = parse_catalog(paced(CATALOG_FILE.read_text(encoding="utf-8"), None, 16)).models[MODEL]

    assert (model.account.plan, model.account.images_per_minute) == ("", None)


def test_a_limit_that_the_machine_cannot_reach_is_lowered_and_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, minutes=1, figures=Figures(ceilings={1: 1_400.0, 16: 2_260.0}))

    assert [bench.feasible(limit) for limit in LIMITS] == [500, 2_000]
    assert bench.figures.lowered == {3_000: 2_000}


def test_every_run_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = [name for name, _ in runs(Bench(tmp_path, minutes=1, figures=Figures()), LIMITS)]

    assert len(names) == len(set(names)) == 21


def test_a_peer_that_was_told_works_on_enough_for_the_limit() -> None:
    assert celery_at_a_time(3_000, LATENCY_SECONDS["mean"]) == 55
    assert celery_at_a_time(60, LATENCY_SECONDS["mean"]) == 8


@pytest.mark.parametrize("name", ["asyncio_script.py", "celery_tasks.py", "chunk_loop.py"])
def test_a_peer_is_short_enough_to_be_read(name: str) -> None:
    assert len((PEERS / name).read_text(encoding="utf-8").splitlines()) <= 100
