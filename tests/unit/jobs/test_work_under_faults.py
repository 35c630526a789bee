"""A worker's turn when AWS fails, records cannot be read and providers drip: the others go on, nothing is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import lifecycle
from functions.core.jobs.lease import Leases
from functions.core.jobs.records import State
from functions.core.jobs.work import AFTER_A_FAULT_SECONDS
from functions.core.ports import Refused
from functions.core.writes import Write
from tests.fakes.lane import JOB, LEASE_SECONDS, MODEL, PRICE, SPEC, Lane, Messages, Records, ScriptedApi
from tests.fakes.races import RacedJobs, ThrottledError
from tests.fakes.stores import MemoryQueue
from tests.fakes.virtual_time import START_MS, run


def test_a_throttled_claim_leaves_the_other_paid_calls_alone() -> None:
    lane = Lane(jobs=RacedJobs(claim_to_submit=1))
    others = [lane.add(replace(SPEC, seed=seed)) for seed in range(3)]

    async def nothing_is_left_running() -> set[str]:
        back = await lane.deliver(JOB, *others)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return back

    assert run(nothing_is_left_running()) == {JOB}
    assert all(lane.job(other).state is State.SUCCESS for other in others)


def test_a_record_that_cannot_be_read_harms_no_other_and_is_held_in_the_end() -> None:
    lane = Lane()
    other = lane.add(replace(SPEC, seed=1))
    lane.jobs.records[JOB]["spec"] = '{"v":99}'
    assert run(lane.deliver(JOB, other)) == {JOB}
    assert lane.job(other).state is State.SUCCESS
    run(lane.until_gone())
    assert (lane.job().state, lane.job().error_class) == (State.HELD, ErrorClass.POISON)
    assert lane.api.paid == 1


def test_heartbeats_go_on_after_one_has_failed() -> None:
    lane = Lane(jobs=RacedJobs(heartbeat=3), api=ScriptedApi(work_seconds=50))
    assert run(lane.deliver()) == set()
    assert lane.jobs.written.count("heartbeat") >= 1
    assert len(lane.log.of("heartbeat_failed")) == 3


def test_a_reference_that_could_not_be_written_down_at_once_is_not_forgotten() -> None:
    lane = Lane(jobs=RacedJobs(accept=5))
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 1)
    assert lane.log.of("provider_request")[0]["reference"] == "p0"


def test_a_heartbeat_that_meets_its_owners_last_write_robs_nobody() -> None:
    lane = Lane()
    leases = Leases(lane.jobs, lane.messages, lane.clock, lane.log, LEASE_SECONDS)

    async def beats_after_success() -> None:
        job = lane.jobs.write(JOB, lifecycle.claim_to_submit("w", START_MS, 1000))
        heart = asyncio.create_task(leases.beat())
        async with leases.hold(JOB, "receipt", job.attempt_count):
            lane.jobs.write(
                JOB,
                lifecycle.fail(1, job, Fault(ErrorClass.INVALID, "no"), price_usd=PRICE, now_ms=START_MS),
            )
            await lane.clock.sleep(LEASE_SECONDS)
        heart.cancel()

    run(beats_after_success())


def test_the_dead_letter_is_there_before_the_failure() -> None:
    class Refusing(MemoryQueue):
        def send(self, bodies: Any, *, delay_seconds: int = 0) -> None:
            raise ThrottledError

    lane = Lane(api=ScriptedApi(submits=[Refused(Fault(ErrorClass.INVALID, "no", 400))]), dead_letters=Refusing())
    lane.remaining = lambda: 90 - lane.clock.monotonic()
    assert run(lane.deliver()) == {JOB}
    assert lane.job().state is not State.FAILED


def test_a_submit_whose_answer_drips_in_for_ever_is_given_up_as_lost() -> None:
    lane = Lane(api=ScriptedApi(submit_seconds=1e6))

    async def one_turn() -> float:
        assert await lane.deliver() == {JOB}
        return lane.clock.monotonic()

    assert run(one_turn()) == pytest.approx(MODEL.timeout_seconds, abs=1)
    assert lane.job().payment_unknown


def test_nothing_runs_into_the_invocations_end() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=1e6))
    lane.remaining = lambda: 180 - lane.clock.monotonic()

    async def one_turn() -> float:
        assert await lane.deliver() == {JOB}
        return lane.clock.monotonic()

    assert run(one_turn()) < 180


def test_aws_failing_before_anything_was_claimed_costs_nothing() -> None:
    class Broken(Records):
        def write(self, key: str, write: Write) -> dict[str, Any]:
            raise ThrottledError

    lane = Lane(lanes=Broken())
    assert run(lane.deliver()) == {JOB}
    assert lane.job().attempt_count == 0
    assert lane.hidden() == AFTER_A_FAULT_SECONDS


def test_a_queue_that_refuses_to_hide_messages_stops_no_work() -> None:
    class Broken(Messages):
        def change_visibility(self, seconds_by_receipt: Any) -> None:
            raise ThrottledError

    lane = Lane(messages=Broken())
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS
