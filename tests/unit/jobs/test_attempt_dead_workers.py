"""Workers that die, and those that come after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Stage, State
from functions.core.keys import seed_for
from functions.core.ports import Accepted
from tests.fakes.lane import JOB, LEASE_SECONDS, MODEL, SPEC, STRANGER, Lane, ScriptedApi
from tests.fakes.records import Record, accepted, announced, given_back, taken_over
from tests.fakes.virtual_time import START_MS, run


def test_a_worker_that_died_after_announcing_leaves_a_call_that_is_looked_for() -> None:
    lane = Lane()
    lane.jobs.write(JOB, lifecycle.claim_to_submit("dead", START_MS, LEASE_SECONDS * 1000))
    run(lane.until_gone())
    assert lane.job().state is State.SUCCESS
    assert lane.jobs.written[:3] == ["create", "claim_to_submit", "claim_to_look"]
    (_, moment) = lane.api.submitted[0]
    assert moment >= 2 * MODEL.timeout_seconds, "the dead worker's call might still have been on its way"


def test_a_worker_that_died_after_acceptance_is_followed_by_one_that_polls() -> None:
    lane = Lane()

    async def died_polling() -> None:
        answer = await lane.api.submit(replace(SPEC, seed=seed_for(JOB)), job_id=JOB, callback_url="", not_after=9)
        assert isinstance(answer, Accepted)
        lane.jobs.records[JOB] = {**accepted(), "reference": answer.reference}
        await lane.until_gone()

    run(died_polling())
    assert lane.job().state is State.SUCCESS
    assert lane.api.paid == 1


def claimed_by_the_dead(record: Record, times: int) -> Record:
    """The record after so many claims of workers that died before they could do anything."""
    for _ in range(times):
        record = taken_over(record, now_ms=record.get("lease_expires_at", 0), owner="dead")
    return record


def test_a_job_that_kills_its_workers_fails_as_poison() -> None:
    lane = Lane()
    lane.jobs.records[JOB] = claimed_by_the_dead(given_back(), lifecycle.MAX_IDLE_CLAIMS - 1)
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.job().error_class) == (State.FAILED, ErrorClass.POISON)
    assert lane.api.submitted == []


def test_a_job_whose_workers_died_less_often_is_tried_again() -> None:
    lane = Lane()
    lane.jobs.records[JOB] = claimed_by_the_dead(given_back(), lifecycle.MAX_IDLE_CLAIMS - 2)
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS


@pytest.mark.parametrize(("record", "stage"), [(announced, Stage.SUBMITTING), (accepted, Stage.ACCEPTED)])
def test_a_poison_that_may_have_been_paid_for_is_held(record: Callable[[], Record], stage: Stage) -> None:
    lane = Lane(api=ScriptedApi(listing=[STRANGER]))
    lane.jobs.records[JOB] = claimed_by_the_dead(record(), lifecycle.MAX_IDLE_LOOKS - 1)
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.job().stage, lane.job().error_class) == (State.HELD, stage, ErrorClass.POISON)
    assert (lane.api.submitted, lane.api.polled, lane.dead_letters.bodies) == ([], 0, [])


def test_a_paid_call_is_looked_for_more_often_before_it_counts_as_poison() -> None:
    lane = Lane()
    lane.api.take()
    record = claimed_by_the_dead(accepted(), lifecycle.MAX_IDLE_LOOKS - 2)
    lane.jobs.records[JOB] = {**record, "reference": "p0"}
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS


def test_a_look_that_comes_to_an_end_makes_nobody_poison() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=3000))
    run(lane.until_gone(most=1000))
    assert lane.jobs.written.count("claim_to_look") > lifecycle.MAX_IDLE_LOOKS
    assert lane.job().state is State.SUCCESS
