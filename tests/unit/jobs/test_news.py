"""News of a paid call is written down whatever its job has become since: as its reference, or as one more payment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.core.jobs import lifecycle, news
from functions.core.jobs.records import Job, Stage, State
from functions.core.writes import apply
from tests.fakes.lane import JOB, PRICE
from tests.fakes.races import RacedLane, StandingClock, ThrottledError
from tests.fakes.records import (
    BUSY,
    Record,
    accepted,
    accepted_again,
    announced,
    announced_again,
    created,
    failed,
    failed_paid,
    finish,
    given_back,
    held,
    held_accepted,
    seen,
    succeed,
    succeeded,
    taken_over,
)


def lane_with(record: Record) -> RacedLane:
    lane = RacedLane(clock=StandingClock())
    lane.jobs.records[JOB] = record
    return lane


def tell(lane: RacedLane, attempt: int, reference: str, job: Job | None = None) -> Job:
    """Let it be known that the provider took the call of this attempt under this reference."""
    return news.taken(lane.jobs, lane.clock, lane.log, job or lane.job(), attempt, reference, PRICE)


@pytest.mark.parametrize("record", [announced, held, lambda: taken_over(announced(), 10**9)])
def test_of_the_open_call_it_is_the_lost_reference(record: Callable[[], Record]) -> None:
    lane = lane_with(record())
    job = tell(lane, 1, "p1")
    assert (job.stage, job.reference, job.cost_usd, job.settled_calls) == (Stage.ACCEPTED, "p1", None, frozenset())
    assert lane.jobs.written == ["create", "heal"]
    (line,) = lane.log.of("reference_healed")
    assert (line["job_id"], line["attempt"], line["reference"]) == (JOB, 1, "p1")


def test_of_the_newest_call_it_is_its_lost_reference_too() -> None:
    job = tell(lane_with(announced_again()), 2, "p2")
    assert (job.stage, job.reference) == (Stage.ACCEPTED, "p2")


OTHERS = [given_back, announced_again, accepted_again, failed, held_accepted, failed_paid, succeeded, accepted]


@pytest.mark.parametrize("record", OTHERS)
def test_of_a_call_that_is_not_open_it_is_one_more_payment(record: Callable[[], Record]) -> None:
    before = record()
    lane = lane_with(before)
    job = tell(lane, 1, "p7")
    assert job.cost_usd == before.get("cost_usd", 0) + PRICE
    assert job.settled_calls == {"p7", *before.get("settled_calls", ())}
    assert (job.state, job.stage, job.reference) == (seen(before).state, seen(before).stage, seen(before).reference)
    (line,) = lane.log.of("payment_counted")
    assert (line["job_id"], line["attempt"], line["reference"]) == (JOB, 1, "p7")


@pytest.mark.parametrize("record", OTHERS)
def test_of_one_more_payment_it_is_written_down_once(record: Callable[[], Record]) -> None:
    lane = lane_with(record())
    first = tell(lane, 1, "p7")
    assert tell(lane, 1, "p7") == first
    assert lane.jobs.written == ["create", "count_payment"]


@pytest.mark.parametrize("record", [accepted, held_accepted, failed_paid, succeeded])
def test_of_a_reference_that_the_record_names_there_is_nothing_to_write(record: Callable[[], Record]) -> None:
    lane = lane_with(record())
    assert tell(lane, 1, "p1") == seen(record())
    assert lane.jobs.written == ["create"]
    assert lane.log.lines == []


def test_of_a_second_call_that_finished_the_job_there_is_nothing_to_write() -> None:
    lane = lane_with(apply(finish(seen(accepted_again()), "p1"), accepted_again()))
    for attempt, reference in ((1, "p1"), (2, "p2")):
        assert tell(lane, attempt, reference).cost_usd == 2 * PRICE
    assert lane.jobs.written == ["create"]


def test_of_a_picture_without_a_reference_the_call_that_was_open_is_the_one_that_was_counted() -> None:
    record = apply(succeed(1, seen(announced())), announced())
    lane = lane_with(record)
    assert tell(lane, 1, "p1").cost_usd == PRICE
    assert lane.jobs.written == ["create"]


def test_beside_a_picture_without_a_reference_another_call_is_one_more_payment() -> None:
    record = apply(succeed(2, seen(announced_again())), announced_again())
    job = tell(lane_with(record), 1, "p1")
    assert (job.cost_usd, job.settled_calls) == (2 * PRICE, frozenset({"p1"}))


@pytest.mark.parametrize("end", ["give_back", "fail"])
def test_of_a_call_that_the_provider_took_and_failed_there_is_nothing_to_write(end: str) -> None:
    job = seen(accepted())
    over = {
        "give_back": lifecycle.give_back(1, job, BUSY, 5),
        "fail": lifecycle.fail(1, job, BUSY, price_usd=PRICE, now_ms=5),
    }
    lane = lane_with(apply(over[end], accepted()))
    assert not tell(lane, 1, "p1").cost_usd
    assert lane.jobs.written == ["create"]


def test_it_goes_by_the_record_as_it_is_and_not_as_it_was_seen() -> None:
    lane = lane_with(accepted_again())
    job = tell(lane, 1, "p1", job=seen(announced()))
    assert (job.reference, job.settled_calls, job.cost_usd) == ("p2", frozenset({"p1"}), PRICE)
    assert lane.jobs.written == ["create", "count_payment"]


def test_a_payment_that_somebody_else_counts_meanwhile_is_counted_once() -> None:
    lane = lane_with(given_back())
    lane.jobs.before["count_payment"] = [lambda: tell(lane, 1, "p1")]
    job = tell(lane, 1, "p1")
    assert (job.cost_usd, job.settled_calls) == (PRICE, frozenset({"p1"}))


def test_a_job_that_is_finished_meanwhile_by_this_very_call_has_nothing_counted_twice() -> None:
    lane = lane_with(announced())
    lane.jobs.before["heal"] = [lambda: lane.finished("p1")]
    job = tell(lane, 1, "p1")
    assert (job.state, job.cost_usd, job.settled_calls) == (State.SUCCESS, PRICE, frozenset())


def test_a_job_that_is_finished_meanwhile_by_another_call_has_both_counted() -> None:
    lane = lane_with(given_back())
    lane.jobs.before["count_payment"] = [lambda: lane.finished("p9")]
    job = tell(lane, 1, "p1")
    assert (job.state, job.cost_usd, job.reference, job.settled_calls) == (
        State.SUCCESS,
        2 * PRICE,
        "p9",
        frozenset({"p1"}),
    )


def test_whoever_never_gets_at_the_record_says_so() -> None:
    lane = lane_with(announced())
    stages = [announced, held] * news.MOST_RACES

    def moves_on() -> None:
        lane.jobs.records[JOB] = stages.pop()()

    lane.jobs.before["heal"] = [moves_on] * news.MOST_RACES
    with pytest.raises(RuntimeError):
        tell(lane, 1, "p1")


def test_what_aws_refuses_is_raised() -> None:
    lane = lane_with(announced())
    lane.jobs.failures["heal"] = 1
    with pytest.raises(ThrottledError):
        tell(lane, 1, "p1")
    assert lane.log.lines == []


def test_news_of_a_job_that_was_never_tried_is_a_payment_all_the_same() -> None:
    assert tell(lane_with(created()), 1, "p1").cost_usd == PRICE
