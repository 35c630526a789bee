"""A callback during which the record moves on: whoever is first, nothing is lost and nothing is counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from functions.core.jobs import lifecycle, news
from functions.core.jobs.completion import Result
from functions.core.jobs.records import State
from functions.core.writes import Write
from tests.fakes.callbacks import Desk, came_to_nothing, succeeded
from tests.fakes.lane import CALLBACK_MODEL, JOB, LEASE_SECONDS, PRICE, Lane, ScriptedApi
from tests.fakes.races import RacedLane
from tests.fakes.records import (
    BUSY,
    Record,
    accepted,
    announced,
    announced_again,
    failed,
    given_back,
    held,
    succeed,
    taken_over,
)
from tests.fakes.virtual_time import START_MS, run


def desk(record: Record) -> Desk:
    new = Desk()
    new.lane.jobs.records[JOB] = record
    return new


def left() -> Record:
    return accepted(START_MS, leaving=True)


def written(at: Desk, write: Callable[[], Write]) -> Callable[[], object]:
    """What somebody else writes."""
    return lambda: at.lane.jobs.write(JOB, write())


def test_a_worker_that_takes_the_job_over_while_the_picture_is_stored_finds_it_made() -> None:
    at = desk(left())
    at.lane.jobs.before["finish"] = [at.lane.taken_over]
    assert at.tell(succeeded()) is Result.FINISHED
    job = at.job
    assert (job.state, job.attempt_count, job.cost_usd, job.owner) == (State.SUCCESS, 2, PRICE, "")


def test_a_worker_that_is_faster_with_the_same_picture_makes_the_callback_a_duplicate() -> None:
    at = desk(accepted())
    at.lane.jobs.before["finish"] = [written(at, lambda: succeed(1, at.job))]
    assert at.tell(succeeded()) is Result.DUPLICATE
    assert (at.job.cost_usd, at.job.settled_calls) == (PRICE, frozenset())


def test_a_worker_that_is_faster_with_the_picture_of_a_newer_call_makes_this_one_a_second_payment() -> None:
    at = desk(announced_again())
    accept = lifecycle.accept(2, reference="p2", response_code=200, leaving=False, now_ms=9)
    at.lane.jobs.before["finish"] = [
        lambda: (at.lane.jobs.write(JOB, accept), at.lane.jobs.write(JOB, succeed(2, at.job)))
    ]
    assert at.tell(succeeded("p1"), attempt=1) is Result.COUNTED
    assert (at.job.reference, at.job.cost_usd, at.job.settled_calls) == ("p2", 2 * PRICE, frozenset({"p1"}))


def test_the_same_event_delivered_twice_at_a_time_is_acted_on_once() -> None:
    at = desk(left())

    async def both() -> set[Result]:
        return {*await asyncio.gather(at.deliver(succeeded()), at.deliver(succeeded()))}

    assert run(both()) == {Result.FINISHED, Result.DUPLICATE}
    assert (at.job.cost_usd, at.lane.jobs.written) == (PRICE, ["create", "finish"])


def test_two_calls_that_are_heard_of_at_a_time_are_both_counted_once() -> None:
    at = desk(announced_again())
    at.lane.jobs.before["finish"] = [lambda: at.lane.finished("p2")]
    assert at.tell(succeeded("p1"), attempt=1) is Result.COUNTED
    assert (at.job.cost_usd, at.job.reference, at.job.settled_calls) == (2 * PRICE, "p2", frozenset({"p1"}))


def test_a_payment_that_its_own_worker_counts_meanwhile_is_counted_once() -> None:
    at = desk(announced_again())

    def worker() -> None:
        news.taken(at.lane.jobs, at.lane.clock, at.lane.log, at.job, 1, "p1", PRICE)

    at.lane.jobs.before["finish"] = [worker]
    assert at.tell(succeeded("p1"), attempt=1) is Result.FINISHED
    assert (at.job.cost_usd, at.job.reference) == (PRICE, "p1")


@pytest.mark.parametrize("moved", [held, failed, given_back, lambda: taken_over(announced(), START_MS)])
def test_a_success_finishes_the_job_whatever_it_became_meanwhile(moved: Callable[[], Record]) -> None:
    at = desk(left())
    at.lane.jobs.before["finish"] = [lambda: at.lane.jobs.records.update({JOB: moved()})]
    assert at.tell(succeeded()) is Result.FINISHED
    assert (at.job.state, at.job.cost_usd) == (State.SUCCESS, PRICE)


def test_a_submit_that_its_worker_writes_down_at_the_same_time_is_healed_by_one_of_them() -> None:
    at = desk(announced(START_MS))
    accept = lifecycle.accept(1, reference="p1", response_code=200, leaving=True, now_ms=START_MS)
    at.lane.jobs.before["heal"] = [written(at, lambda: accept)]
    assert at.tell(succeeded()) is Result.FINISHED
    assert at.lane.jobs.written == ["create", "accept", "finish"]
    assert at.job.cost_usd == PRICE


def test_a_job_that_is_finished_before_its_reference_is_healed_is_a_duplicate() -> None:
    at = desk(announced(START_MS))
    at.lane.jobs.before["heal"] = [lambda: at.lane.finished("p1")]
    assert at.tell(succeeded()) is Result.DUPLICATE
    assert (at.job.cost_usd, at.job.settled_calls) == (PRICE, frozenset())


def test_a_job_that_another_call_finishes_before_its_reference_is_healed_has_both_counted() -> None:
    at = desk(announced(START_MS))
    at.lane.jobs.before["heal"] = [lambda: at.lane.finished("p9")]
    assert at.tell(succeeded()) is Result.COUNTED
    assert (at.job.cost_usd, at.job.settled_calls) == (2 * PRICE, frozenset({"p1"}))


def test_a_failure_whose_job_is_given_back_meanwhile_counts_the_call_and_starts_nothing() -> None:
    at = desk(announced())
    at.lane.jobs.before["heal"] = [written(at, lambda: lifecycle.give_back(1, at.job, BUSY, 9))]
    assert at.tell(came_to_nothing()) is Result.LEFT
    assert at.job.state is State.PENDING
    assert at.job.stage is None


def test_whoever_never_gets_at_the_record_says_so_and_a_later_delivery_finishes() -> None:
    at = desk(left())
    at.lane.jobs.before["finish"] = [at.lane.taken_over] * news.MOST_RACES
    with pytest.raises(RuntimeError):
        at.tell(succeeded())
    assert at.job.state is State.RUNNING
    assert at.tell(succeeded()) in (Result.FINISHED, Result.LEFT)


def test_a_worker_over_whom_the_job_is_finished_pays_nothing_more_and_its_message_goes_in_the_end() -> None:
    lane = RacedLane(model=CALLBACK_MODEL, api=ScriptedApi(work_seconds=6))
    at = Desk(lane)

    async def both() -> tuple[set[str], Result]:
        working = asyncio.create_task(lane.deliver())
        await lane.clock.sleep(3)
        lane.jobs.records[JOB] |= {"lease_expires_at": 0}
        result = await at.deliver(succeeded(lane.job().reference))
        return await working, result

    back, result = run(both())
    assert (result, back) == (Result.FINISHED, {JOB})
    assert (lane.job().state, lane.job().cost_usd, len(lane.api.submitted)) == (State.SUCCESS, PRICE, 1)
    assert run(lane.deliver()) == set()


def test_a_callback_that_comes_while_the_worker_leaves_is_not_missed() -> None:
    """Either the callback sees no owner and finishes, or the worker's last look sees the picture."""
    for moment in (0.1 * tenth for tenth in range(100)):
        lane = RacedLane(model=CALLBACK_MODEL, api=ScriptedApi(work_seconds=moment))
        at = Desk(lane)

        async def both(moment: float, lane: Lane, at: Desk) -> None:
            working = asyncio.create_task(lane.deliver())
            await lane.clock.sleep(moment + 0.3)
            reference = lane.job().reference
            assert await at.deliver(succeeded(reference)) in (Result.FINISHED, Result.LEFT, Result.DUPLICATE)
            await working
            assert lane.clock.monotonic() < LEASE_SECONDS

        run(both(moment, lane, at))
        assert (lane.job().state, lane.job().cost_usd) == (State.SUCCESS, PRICE)


def test_a_newer_call_that_is_answered_after_an_earlier_one_finished_the_job_is_counted_by_its_worker() -> None:
    lane = RacedLane(model=CALLBACK_MODEL)
    at = Desk(lane)
    lane.jobs.records[JOB] = given_back()
    lane.during_the_call(lambda: lane.finished("p1"))
    assert run(lane.deliver()) == set()
    assert (lane.job().reference, lane.job().cost_usd, lane.job().settled_calls) == (
        "p1",
        2 * PRICE,
        frozenset({"p3"}),
    )
    assert at.tell(succeeded("p3"), attempt=2) is Result.DUPLICATE
    assert lane.job().cost_usd == 2 * PRICE
