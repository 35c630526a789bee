"""A turn during which somebody else is faster: a callback, or another worker. What was taken is never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from functions.core.catalog import Model
from functions.core.jobs import lifecycle
from functions.core.jobs.attempt import INSIST_SECONDS, LOOK_AGAIN_SECONDS
from functions.core.jobs.records import Stage, State
from functions.core.jobs.retry import MAX_TRIES
from functions.core.ports import Completed, Output
from tests.fakes.lane import (
    CALLBACK_MODEL,
    ERROR_500,
    JOB,
    LEASE_SECONDS,
    MODEL,
    NO_ANSWER,
    PRICE,
    REPAY_MODEL,
    SPEC,
    STRANGER,
    SYNC_MODEL,
    TASK_FAILED,
    ScriptedApi,
    picture,
)
from tests.fakes.races import RacedJobs, RacedLane
from tests.fakes.records import BUSY, LOST
from tests.fakes.virtual_time import START_MS, run

AT_ONCE = replace(CALLBACK_MODEL, inline_seconds=0)


@pytest.mark.parametrize("model", [MODEL, CALLBACK_MODEL, AT_ONCE])
def test_a_callback_that_is_faster_than_the_answer_leaves_the_picture_to_the_owner(model: Model) -> None:
    lane = RacedLane(model=model)
    lane.during_the_call(lane.healed)
    lane.api.work_seconds = 0.1
    assert run(lane.deliver()) == set()
    job = lane.job()
    assert (job.state, job.reference, job.cost_usd, job.settled_calls) == (State.SUCCESS, "p0", PRICE, frozenset())
    assert lane.jobs.written == ["create", "claim_to_submit", "heal", "succeed"]


def test_an_answer_that_comes_after_the_lease_was_lost_is_written_down_all_the_same() -> None:
    lane = RacedLane()
    lane.during_the_call(lane.taken_over)
    assert run(lane.deliver()) == {JOB}
    job = lane.job()
    assert (job.stage, job.reference, job.owner, job.attempt_count) == (Stage.ACCEPTED, "p0", "thief", 2)
    assert lane.hidden() == LOOK_AGAIN_SECONDS
    assert lane.api.polled == 0, "it is the thief's now"
    assert [line["reference"] for line in lane.log.of("reference_healed")] == ["p0"]


def test_an_answer_that_comes_after_another_call_was_made_is_counted_as_paid() -> None:
    lane = RacedLane()
    lane.during_the_call(
        lane.taken_over,
        lambda: lane.thief_writes(lambda fence, job: lifecycle.give_back(fence, job, BUSY, START_MS)),
        lane.taken_over,
        lambda: lane.thief_writes(lambda fence, job: lifecycle.announce(fence, job, START_MS)),
    )
    assert run(lane.deliver()) == {JOB}
    job = lane.job()
    assert (job.state, job.stage, job.call_attempt) == (State.RUNNING, Stage.SUBMITTING, 3)
    assert (job.cost_usd, job.settled_calls) == (PRICE, frozenset({"p0"}))
    assert lane.log.of("payment_counted")


def test_an_answer_that_comes_after_another_call_has_succeeded_is_counted_as_paid_and_its_message_goes() -> None:
    lane = RacedLane()
    lane.during_the_call(lambda: lane.finished("p9"))
    assert run(lane.deliver()) == set()
    job = lane.job()
    assert (job.state, job.reference, job.cost_usd) == (State.SUCCESS, "p9", 2 * PRICE)
    assert job.settled_calls == {"p0"}


def test_an_answer_that_comes_after_its_own_callback_has_finished_the_job_counts_nothing() -> None:
    lane = RacedLane()
    lane.during_the_call(lane.finished)
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.job().cost_usd) == (State.SUCCESS, PRICE)
    assert lane.api.polled == 0


def test_an_answer_that_comes_after_the_job_has_failed_is_counted_as_paid_and_its_message_goes() -> None:
    lane = RacedLane()
    lane.during_the_call(
        lane.taken_over,
        lambda: lane.thief_writes(lambda fence, job: lifecycle.fail(fence, job, BUSY, price_usd=PRICE, now_ms=9)),
    )
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.job().cost_usd) == (State.FAILED, PRICE)


def test_an_answer_that_comes_after_its_job_was_held_sets_it_going_again() -> None:
    lane = RacedLane()
    lane.during_the_call(
        lane.taken_over,
        lambda: lane.thief_writes(lambda fence, job: lifecycle.hold(fence, job, LOST, START_MS)),
    )
    assert run(lane.deliver()) == {JOB}
    assert (lane.job().state, lane.job().stage, lane.job().reference) == (State.PENDING, Stage.ACCEPTED, "p0")
    run(lane.until_gone())
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 1)


@pytest.mark.parametrize("step", [RacedLane.taken_over, lambda lane: lane.finished("p9")])
def test_what_only_this_worker_knows_is_written_down_when_aws_has_failed_too(
    step: Callable[[RacedLane], None],
) -> None:
    lane = RacedLane(jobs=RacedJobs(accept=1, heal=2, count_payment=2))
    lane.during_the_call(lambda: step(lane))
    run(lane.deliver())
    assert "p0" in {lane.job().reference, *lane.job().settled_calls}
    assert lane.log.of("write_failed")


def test_a_table_that_cannot_be_written_is_insisted_on_for_a_minute_and_not_until_the_invocation_ends() -> None:
    lane = RacedLane(jobs=RacedJobs(accept=1000))

    async def seconds() -> float:
        await lane.deliver()
        return lane.clock.monotonic()

    assert INSIST_SECONDS < run(seconds()) < INSIST_SECONDS + 5
    assert lane.job().payment_unknown


def test_a_whole_answer_after_the_lease_was_lost_is_left_to_the_new_owner() -> None:
    answer = Completed(Output(data=picture(SPEC)), 200, "s0")
    lane = RacedLane(model=SYNC_MODEL, api=ScriptedApi(submits=[answer], fetches=[picture(SPEC)]))
    lane.jobs.before["accept"] = [lane.taken_over]
    assert run(lane.deliver()) == {JOB}
    assert (lane.job().stage, lane.job().reference) == (Stage.ACCEPTED, "s0")
    assert (lane.images.objects, lane.api.fetched) == ({}, 0)


CONCLUSIONS = {
    "doubt": (MODEL, [NO_ANSWER], [], {}),
    "give_back": (MODEL, [ERROR_500], [], {}),
    "hold": (MODEL, [ERROR_500], [STRANGER], {}),
    "repay": (REPAY_MODEL, [ERROR_500], [STRANGER], {}),
    "fail": (MODEL, [ERROR_500], [], {"tries": {"capacity": MAX_TRIES - 1}}),
}


@pytest.mark.parametrize("write", sorted(CONCLUSIONS))
def test_nothing_is_concluded_from_a_call_that_is_healed_meanwhile(write: str) -> None:
    model, submits, listing, changes = CONCLUSIONS[write]
    lane = RacedLane(model=model, api=ScriptedApi(submits=list(submits), listing=list(listing)))
    lane.jobs.records[JOB] |= changes
    lane.api.take(SPEC)
    lane.jobs.before[write] = [lane.healed]
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.reference, job.cost_usd, job.repays) == (State.SUCCESS, "p0", PRICE, 0)
    assert write not in lane.jobs.written
    assert len(lane.api.submitted) == 1


def test_the_next_look_comes_at_once_when_there_was_news() -> None:
    lane = RacedLane(api=ScriptedApi(submits=[NO_ANSWER]))
    lane.api.take(SPEC)
    lane.jobs.before["doubt"] = [lane.healed]
    assert run(lane.deliver()) == {JOB}
    assert lane.hidden() == 0
    assert lane.jobs.written[-2:] == ["heal", "leave"]
    assert lane.job().lease_expires_at <= START_MS + 1000


@pytest.mark.parametrize("write", ["succeed", "heartbeat", "leave"])
def test_an_owner_over_whom_a_callback_finishes_the_job_changes_nothing(write: str) -> None:
    lane = RacedLane(
        model=CALLBACK_MODEL, api=ScriptedApi(work_seconds=2 if write == "succeed" else 1000, submit_seconds=5)
    )
    lane.jobs.before[write] = [lane.finished]
    assert run(lane.deliver()) == {JOB}
    before = dict(lane.jobs.records[JOB])
    assert (before["state"], before["cost_usd"]) == (State.SUCCESS, PRICE)
    assert run(lane.deliver()) == set()
    assert lane.jobs.records[JOB] == before


def test_an_owner_whose_call_was_refused_does_not_take_back_what_another_call_has_achieved() -> None:
    lane = RacedLane(api=ScriptedApi(polls=[TASK_FAILED]))
    lane.jobs.before["give_back"] = [lambda: lane.finished("p9")]
    assert run(lane.deliver()) == {JOB}
    assert (lane.job().state, lane.job().reference) == (State.SUCCESS, "p9")


def test_an_owner_that_is_robbed_while_it_concludes_gives_its_message_back_for_a_lease() -> None:
    lane = RacedLane(api=ScriptedApi(polls=[TASK_FAILED]))
    lane.jobs.before["give_back"] = [lane.taken_over]
    assert run(lane.deliver()) == {JOB}
    assert (lane.hidden(), lane.job().owner, lane.job().tries) == (LEASE_SECONDS, "thief", {})
    assert lane.log.of("lease_lost")


@pytest.mark.parametrize("submit_seconds", [15, 25])
def test_a_lease_that_is_lost_during_the_call_does_not_lose_its_answer(submit_seconds: float) -> None:
    lane = RacedLane(api=ScriptedApi(submit_seconds=submit_seconds, work_seconds=1000))

    async def robbed() -> set[str]:
        working = asyncio.create_task(lane.deliver())
        await lane.clock.sleep(5)
        lane.taken_over()
        return await working

    assert run(robbed()) == {JOB}
    assert (lane.job().owner, lane.job().stage, lane.job().reference) == ("thief", Stage.ACCEPTED, "p0")
    assert lane.api.polled == 0
