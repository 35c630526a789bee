"""A worker's turn, on virtual time: what is paid, what is written and which messages come back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from functions.core.errors import ErrorClass, Fault, StorageError
from functions.core.input.identity import PictureSpec
from functions.core.jobs import lifecycle
from functions.core.jobs.attempt import (
    ANSWERED_SETTLES_SECONDS,
    FETCHES,
    LOOK_AGAIN_SECONDS,
    OPEN_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
)
from functions.core.jobs.pacing import HORIZON_SECONDS
from functions.core.jobs.records import Job, Stage, State
from functions.core.jobs.retry import MAX_TRIES
from functions.core.keys import image_key, metadata_key, seed_for
from functions.core.ports import Ambiguous, NotSent, PollError, Prediction, Refused, Working
from functions.core.writes import StaleWriteError, Write
from tests.fakes.lane import JOB, LEASE_SECONDS, MODEL, SPEC, Lane, ScriptedApi, picture
from tests.fakes.stores import MemoryJobs, MemoryObjects
from tests.fakes.virtual_time import START_MS, VirtualClock, run

THROTTLED = Refused(Fault(ErrorClass.RATE_LIMITED, "HTTP 429", 429))
LOST = Ambiguous(Fault(ErrorClass.AMBIGUOUS, "the answer to the submit was lost (ReadTimeout)"))
ERROR_500 = Ambiguous(Fault(ErrorClass.AMBIGUOUS, "HTTP 500", 500))
UNREADABLE = PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))


def test_a_pending_job_becomes_a_stored_picture_and_its_message_goes() -> None:
    lane = Lane()
    assert run(lane.deliver()) == set()
    job = lane.job()
    assert (job.state, job.cost_usd, job.attempt_count) == (State.SUCCESS, Decimal("0.003"), 1)
    assert lane.images.objects[image_key(JOB, "png")] == picture(replace(SPEC, seed=seed_for(JOB)))
    assert json.loads(lane.metadata.objects[metadata_key(JOB)])["picture"]["sha256"] == job.sha256
    assert lane.api.paid == 1


def test_success_takes_three_writes() -> None:
    lane = Lane()
    run(lane.deliver())
    assert lane.jobs.written == ["create", "claim_to_submit", "accept", "succeed"]


def test_every_message_of_a_batch_is_in_flight_together() -> None:
    lane = Lane(api=ScriptedApi(submit_seconds=5))
    others = [lane.add(replace(SPEC, seed=seed)) for seed in range(9)]
    assert run(lane.deliver(JOB, *others)) == set()
    assert lane.api.most_in_flight == 10


def test_calls_leave_at_the_accounts_rate() -> None:
    account = replace(MODEL.account, images_per_minute=60)
    lane = Lane(model=replace(MODEL, account=account))
    run(lane.deliver(JOB, *[lane.add(replace(SPEC, seed=seed)) for seed in range(4)]))
    moments = [moment for _, moment in lane.api.submitted]
    assert moments == pytest.approx([0, 1, 2, 3, 4], abs=0.01)


def test_a_message_without_a_slot_comes_back_untried() -> None:
    account = replace(MODEL.account, images_per_minute=2)
    lane = Lane(model=replace(MODEL, account=account))
    other = lane.add(replace(SPEC, seed=1))
    assert run(lane.deliver(JOB, other)) == {other}
    assert lane.messages.hidden[f"receipt-{other}"][-1] == HORIZON_SECONDS
    assert lane.job(other).attempt_count == 0


def test_a_second_message_for_a_finished_job_pays_nothing_and_goes() -> None:
    lane = Lane()

    async def twice() -> set[str]:
        await lane.deliver()
        return await lane.deliver()

    assert run(twice()) == set()
    assert lane.api.paid == 1


def test_a_message_for_a_job_that_somebody_works_on_waits_for_its_lease() -> None:
    lane = Lane()
    lane.jobs.write(JOB, lifecycle.claim_to_submit("other", START_MS, LEASE_SECONDS * 1000))
    assert run(lane.deliver()) == {JOB}
    assert lane.messages.hidden[f"receipt-{JOB}"][-1] == pytest.approx(LEASE_SECONDS + 1, abs=1)
    assert lane.api.submitted == []


def test_a_message_for_an_unknown_job_goes() -> None:
    lane = Lane()
    assert run(lane.deliver("ff" * 32)) == set()
    assert lane.log.of("unknown_job")


@pytest.mark.parametrize("state", ["hold", "fail"])
def test_a_message_for_a_job_that_needs_a_person_or_has_failed_goes(state: str) -> None:
    lane = Lane()
    job = lane.jobs.write(JOB, lifecycle.claim_to_submit("other", START_MS, 1))
    fault = Fault(ErrorClass.MODERATED, "no")
    ends = {
        "hold": lifecycle.hold(1, fault, START_MS),
        "fail": lifecycle.fail(1, job, fault, cost_usd=Decimal(0), now_ms=START_MS),
    }
    lane.jobs.write(JOB, ends[state])
    assert run(lane.deliver()) == set()
    assert lane.api.submitted == []


def test_nothing_is_started_that_the_invocation_has_no_time_for() -> None:
    lane = Lane(remaining=lambda: MODEL.timeout_seconds)
    assert run(lane.deliver()) == {JOB}
    assert lane.job().attempt_count == 0


def test_a_refused_key_is_tried_once_more_when_a_new_one_may_have_been_read() -> None:
    lane = Lane(api=ScriptedApi(submits=[Refused(Fault(ErrorClass.AUTH, "HTTP 401", 401))]))
    assert run(lane.until_gone()) == 2
    assert lane.job().state is State.SUCCESS


def test_a_refusal_is_retried_after_its_backoff_and_spends_a_try() -> None:
    lane = Lane(api=ScriptedApi(submits=[THROTTLED]))
    assert run(lane.deliver()) == {JOB}
    assert lane.messages.hidden[f"receipt-{JOB}"][-1] == 2
    assert lane.job().tries == {"rate_limited": 1}


def test_the_last_try_fails_the_job_and_leaves_a_dead_letter() -> None:
    lane = Lane(api=ScriptedApi(submits=[THROTTLED] * MAX_TRIES))
    assert run(lane.until_gone()) == MAX_TRIES
    job = lane.job()
    assert (job.state, job.error_class, job.cost_usd) == (State.FAILED, ErrorClass.RATE_LIMITED, Decimal(0))
    (letter,) = lane.dead_letters.bodies
    assert json.loads(letter) == {
        "job_id": JOB,
        "model": "flux-schnell",
        "batch_id": "a",
        "error_class": "rate_limited",
        "error_message": "HTTP 429",
        "last_response_code": 429,
        "attempt_count": MAX_TRIES,
        "tries": {"rate_limited": MAX_TRIES},
    }


@pytest.mark.parametrize("error_class", [ErrorClass.INVALID, ErrorClass.MODERATED, ErrorClass.FUNDS])
def test_what_another_try_cannot_mend_fails_at_once(error_class: ErrorClass) -> None:
    lane = Lane(api=ScriptedApi(submits=[Refused(Fault(error_class, "no", 400))]))
    assert run(lane.until_gone()) == 1
    assert lane.job().state is State.FAILED
    assert len(lane.dead_letters.bodies) == 1


def test_a_call_that_did_not_leave_in_time_is_withdrawn_and_spends_no_try() -> None:
    lane = Lane(api=ScriptedApi(submits=[NotSent()]))
    assert run(lane.until_gone()) == 2
    assert (lane.job().state, lane.job().tries) == (State.SUCCESS, {})
    assert lane.jobs.written.count("withdraw") == 1


@dataclass
class FreezingJobs(MemoryJobs):
    """A jobs table whose worker is frozen for some seconds right after it has announced a call."""

    seconds: float = 6.0
    clock: Any = None

    def __post_init__(self) -> None:
        super().__init__()

    def write(self, job_id: str, write: Write) -> Job:
        job = super().write(job_id, write)
        if write.name == "claim_to_submit":
            self.clock.frozen += self.seconds
        return job


class FreezableClock(VirtualClock):
    frozen = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.frozen


def test_a_worker_frozen_between_announcing_and_sending_does_not_send() -> None:
    clock = FreezableClock()
    lane = Lane(jobs=FreezingJobs(clock=clock), clock=clock)
    lane.api = _OnClock(clock)

    async def one_turn() -> set[str]:
        return await lane.deliver()

    assert run(one_turn()) == {JOB}
    assert lane.api.submitted == []
    assert (lane.job().state, lane.job().stage) == (State.PENDING, None)


class _OnClock(ScriptedApi):
    """A provider that reads `not_after` on the worker's clock, as the real adapter does."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    async def submit(self, spec: PictureSpec, *, job_id: str, not_after: float) -> Any:
        if self._clock.monotonic() > not_after:
            return NotSent()
        return await super().submit(spec, job_id=job_id, not_after=not_after)


def test_a_lost_answer_is_never_answered_by_a_second_call_while_the_provider_lists_an_unknown_one() -> None:
    lane = Lane(api=ScriptedApi(submits=[LOST], listing=[Prediction("stranger", failed=False)]))
    run(lane.until_gone())
    assert lane.job().state is State.HELD
    assert len(lane.api.submitted) == 1


def test_a_held_job_was_looked_for_as_long_as_patience_lasts() -> None:
    lane = Lane(api=ScriptedApi(submits=[LOST], listing=[Prediction("stranger", failed=False)]))

    async def seconds() -> float:
        await lane.until_gone()
        return lane.clock.monotonic()

    settled = ANSWERED_SETTLES_SECONDS + MODEL.timeout_seconds
    assert 0 <= run(seconds()) - settled - PATIENCE_SECONDS < 2 * LOOK_AGAIN_SECONDS


def test_a_call_that_the_provider_never_saw_is_made_again_once_that_is_certain() -> None:
    lane = Lane(api=ScriptedApi(submits=[LOST]))
    run(lane.until_gone())
    (_, first), (_, second) = lane.api.submitted
    assert lane.job().state is State.SUCCESS
    assert second - first > MODEL.timeout_seconds


def test_an_error_answer_settles_sooner_than_none() -> None:
    lane = Lane(api=ScriptedApi(submits=[ERROR_500]))
    run(lane.until_gone())
    (_, first), (_, second) = lane.api.submitted
    assert second - first < MODEL.timeout_seconds


def test_predictions_that_other_jobs_own_and_failed_ones_prove_nothing_was_taken() -> None:
    lane = Lane(api=ScriptedApi(submits=[LOST], listing=[Prediction("p0", failed=False), Prediction("x", failed=True)]))
    other = lane.add(replace(SPEC, seed=1))
    lane.jobs.write(other, lifecycle.claim_to_submit("o", START_MS, 1000))
    lane.jobs.write(other, lifecycle.accept(1, reference="p0", response_code=200, now_ms=START_MS))
    run(lane.until_gone())
    assert lane.job().state is State.SUCCESS


def test_submits_that_keep_getting_lost_end_as_a_failure() -> None:
    lane = Lane(api=ScriptedApi(submits=[LOST] * MAX_TRIES))
    run(lane.until_gone())
    assert (lane.job().state, lane.job().error_class) == (State.FAILED, ErrorClass.PROVIDER_ERROR)
    assert len(lane.api.submitted) == MAX_TRIES


def test_a_listing_that_cannot_be_read_decides_nothing_for_an_hour_then_holds() -> None:
    lane = Lane(api=ScriptedApi(submits=[LOST], listing=UNREADABLE))

    async def seconds() -> float:
        await lane.until_gone(most=1000)
        return lane.clock.monotonic()

    assert run(seconds()) > OPEN_PATIENCE_SECONDS
    assert lane.job().state is State.HELD
    assert len(lane.api.submitted) == 1


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
        answer = await lane.api.submit(replace(SPEC, seed=seed_for(JOB)), job_id=JOB, not_after=9)
        lane.jobs.write(JOB, lifecycle.claim_to_submit("dead", START_MS, 1000))
        lane.jobs.write(
            JOB,
            lifecycle.accept(1, reference=answer.reference, response_code=200, now_ms=START_MS),  # type: ignore[union-attr]  # it accepts
        )
        await lane.until_gone()

    run(died_polling())
    assert lane.job().state is State.SUCCESS
    assert lane.api.paid == 1


def test_a_picture_that_an_earlier_try_stored_ends_the_job_without_a_call() -> None:
    lane = Lane()
    seeded = replace(SPEC, seed=seed_for(JOB))
    lane.images.objects[image_key(JOB, "png")] = picture(seeded)
    lane.jobs.write(JOB, lifecycle.claim_to_submit("dead", START_MS - LEASE_SECONDS * 1000, 1000))
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS
    assert lane.api.submitted == []
    assert metadata_key(JOB) in lane.metadata.objects


def test_a_picture_stored_by_somebody_else_meanwhile_is_the_jobs_picture() -> None:
    lane = Lane()
    other = picture(replace(SPEC, seed=200))
    lane.images.objects[image_key(JOB, "png")] = other
    run(lane.deliver())
    assert lane.images.objects[image_key(JOB, "png")] == other
    assert json.loads(lane.metadata.objects[metadata_key(JOB)])["picture"]["sha256"] == lane.job().sha256


BROKEN = [
    b"",
    b"<html>oops</html>",
    picture(SPEC)[:-60],
    picture(SPEC, size=(32, 64)),
    picture(replace(SPEC, format="webp")),
]


@pytest.mark.parametrize("data", BROKEN, ids=["empty", "html", "cut", "wrong size", "wrong type"])
def test_a_broken_picture_is_fetched_again_not_bought_again(data: bytes) -> None:
    lane = Lane(api=ScriptedApi(fetches=[data]))
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS
    assert (lane.api.paid, lane.api.fetched) == (1, 2)


def test_a_picture_that_stays_broken_fails_with_its_price_and_is_not_bought_again() -> None:
    lane = Lane(api=ScriptedApi(fetches=[b"broken"] * 100))
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.error_class, job.cost_usd) == (State.FAILED, ErrorClass.CORRUPT, Decimal("0.003"))
    assert (lane.api.paid, lane.api.fetched) == (1, FETCHES * MAX_TRIES)
    assert lane.images.objects == {}


def test_a_storage_error_is_retried_without_a_second_call() -> None:
    lane = Lane()
    refusals = [StorageError("an object could not be written: SlowDown")] * 2

    class Refusing(MemoryObjects):
        def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
            if refusals:
                raise refusals.pop()
            return super().put_if_absent(key, body, content_type)

    lane.images = Refusing()
    assert run(lane.until_gone()) == 3
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 1)


def test_polls_that_break_do_not_end_the_wait() -> None:
    lane = Lane(api=ScriptedApi(polls=[UNREADABLE, UNREADABLE, Working()]))
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS


def test_a_provider_that_takes_longer_than_the_models_time_is_asked_again_later() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=3 * MODEL.timeout_seconds))
    assert run(lane.until_gone()) > 1
    assert (lane.job().state, lane.api.paid, lane.job().tries) == (State.SUCCESS, 1, {})


def test_a_provider_that_never_finishes_ends_as_held() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=1e9))
    run(lane.until_gone(most=1000))
    assert (lane.job().state, lane.job().stage, lane.api.paid) == (State.HELD, Stage.ACCEPTED, 1)


def test_a_failed_task_is_bought_again_since_the_provider_gave_the_money_back() -> None:
    failed = Refused(Fault(ErrorClass.CAPACITY, "the task failed with code 5000", 200))
    lane = Lane(api=ScriptedApi(polls=[failed]))
    assert run(lane.until_gone()) == 2
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 2)


def test_heartbeats_keep_lease_and_message_while_a_call_is_slow() -> None:
    lane = Lane(api=ScriptedApi(submit_seconds=59, work_seconds=100))
    run(lane.deliver())
    assert lane.jobs.written.count("heartbeat") >= 9
    assert lane.messages.hidden[f"receipt-{JOB}"].count(LEASE_SECONDS) >= 9
    assert lane.job().state is State.SUCCESS


def test_an_owner_that_lost_its_lease_stops_and_writes_nothing_more() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=40))

    async def robbed() -> set[str]:

        working = asyncio.create_task(lane.deliver())
        await lane.clock.sleep(5)
        lane.jobs.records[JOB] |= {"attempt_count": 2, "owner": "thief"}
        before = dict(lane.jobs.records[JOB])
        back = await working
        assert lane.jobs.records[JOB] == before
        return back

    assert run(robbed()) == {JOB}
    assert lane.images.objects == {}
    assert lane.log.of("lease_lost")


def test_a_job_that_kills_its_workers_fails_as_poison() -> None:
    lane = Lane()
    lane.jobs.write(JOB, lifecycle.claim_to_submit("dead", START_MS - 10_000_000, 1))
    for claim in range(1, lifecycle.MAX_IDLE_CLAIMS):
        lane.jobs.write(JOB, lifecycle.claim_to_look(lane.job(), "dead", START_MS - 5_000_000 + 10 * claim, 1))
    run(lane.deliver())
    assert (lane.job().state, lane.job().error_class) == (State.FAILED, ErrorClass.POISON)
    assert lane.api.submitted == []


def test_one_jobs_surprise_leaves_the_others_alone() -> None:
    lane = Lane(api=ScriptedApi(submits=[RuntimeError("a bug")]))
    other = lane.add(replace(SPEC, seed=1))
    assert run(lane.deliver(JOB, other)) == {JOB}
    assert lane.job(other).state is State.SUCCESS


def test_the_log_has_a_line_for_each_request_and_outcome_and_never_the_prompt() -> None:
    lane = Lane()
    run(lane.deliver())
    assert {line["operation"] for line in lane.log.of("provider_request")} == {"submit", "poll", "fetch"}
    (outcome,) = lane.log.of("job_ended")
    assert outcome["outcome"] == "success"
    assert "kettle" not in repr(lane.log.lines)


def test_two_workers_with_the_same_message_pay_once() -> None:
    lane = Lane()

    async def both() -> tuple[set[str], set[str]]:

        return await asyncio.gather(lane.deliver(owner="one"), lane.deliver(owner="two"))

    run(both())
    assert lane.api.paid == 1


def test_a_stale_write_in_the_middle_of_an_attempt_gives_the_message_back() -> None:
    class Stubborn(MemoryJobs):
        def write(self, job_id: str, write: Write) -> Job:
            if write.name == "succeed":
                raise StaleWriteError(write, self.records[job_id])
            return super().write(job_id, write)

    lane = Lane(jobs=Stubborn())
    assert run(lane.deliver()) == {JOB}
