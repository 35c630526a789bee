"""A submit whose answer is lost: looked for, made anew only if it never arrived, and else held or repaid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from functions.core.catalog import Model
from functions.core.errors import ErrorClass, Fault, StorageError
from functions.core.jobs import lifecycle
from functions.core.jobs.attempt import LOOK_AGAIN_SECONDS, OPEN_PATIENCE_SECONDS
from functions.core.jobs.reconcile import ANSWERED_SETTLES_SECONDS, PATIENCE_SECONDS
from functions.core.jobs.records import Stage, State
from functions.core.jobs.retry import MAX_TRIES
from functions.core.ports import Ambiguous, Prediction, Working
from tests.fakes.lane import (
    ERROR_500,
    JOB,
    MODEL,
    NO_ANSWER,
    PRICE,
    REPAY_MODEL,
    SPEC,
    STRANGER,
    UNREADABLE,
    Lane,
    ScriptedApi,
)
from tests.fakes.records import LEASE_MS, accepted, announced
from tests.fakes.stores import MemoryObjects
from tests.fakes.virtual_time import START_MS, run


def test_a_lost_answer_is_never_answered_by_a_second_call_while_the_provider_lists_an_unknown_one() -> None:
    lane = Lane(api=ScriptedApi(submits=[NO_ANSWER], listing=[STRANGER]))
    run(lane.until_gone())
    assert lane.job().state is State.HELD
    assert len(lane.api.submitted) == 1


def test_a_held_job_was_looked_for_as_long_as_patience_lasts() -> None:
    lane = Lane(api=ScriptedApi(submits=[NO_ANSWER], listing=[STRANGER]))

    async def seconds() -> float:
        await lane.until_gone()
        return lane.clock.monotonic()

    settled = ANSWERED_SETTLES_SECONDS + MODEL.timeout_seconds
    assert 0 <= run(seconds()) - settled - PATIENCE_SECONDS < 2 * LOOK_AGAIN_SECONDS


def test_a_call_that_the_provider_never_saw_is_made_again_once_that_is_certain() -> None:
    lane = Lane(api=ScriptedApi(submits=[NO_ANSWER]))
    run(lane.until_gone())
    (_, first), (_, second) = lane.api.submitted
    assert lane.job().state is State.SUCCESS
    assert second - first > MODEL.timeout_seconds


def test_an_error_answer_settles_sooner_than_none() -> None:
    lane = Lane(api=ScriptedApi(submits=[ERROR_500]))
    run(lane.until_gone())
    (_, first), (_, second) = lane.api.submitted
    assert second - first < MODEL.timeout_seconds + ANSWERED_SETTLES_SECONDS


def test_predictions_that_other_jobs_own_and_failed_ones_prove_nothing_was_taken() -> None:
    lane = Lane(
        api=ScriptedApi(submits=[NO_ANSWER], listing=[Prediction("p0", failed=False), Prediction("x", failed=True)])
    )
    other = lane.add(replace(SPEC, seed=1))
    lane.jobs.write(other, lifecycle.claim_to_submit("o", START_MS, 1000))
    lane.jobs.write(other, lifecycle.accept(1, reference="p0", response_code=200, leaving=False, now_ms=START_MS))
    run(lane.until_gone())
    assert lane.job().state is State.SUCCESS


def test_submits_that_keep_getting_lost_end_as_a_failure() -> None:
    lane = Lane(api=ScriptedApi(submits=[NO_ANSWER] * MAX_TRIES))
    run(lane.until_gone())
    assert (lane.job().state, lane.job().error_class) == (State.FAILED, ErrorClass.PROVIDER_ERROR)
    assert len(lane.api.submitted) == MAX_TRIES


def test_a_listing_that_cannot_be_read_decides_nothing_for_an_hour_then_holds() -> None:
    lane = Lane(api=ScriptedApi(submits=[NO_ANSWER], listing=UNREADABLE))

    async def seconds() -> float:
        await lane.until_gone(most=1000)
        return lane.clock.monotonic()

    assert run(seconds()) > OPEN_PATIENCE_SECONDS
    assert lane.job().state is State.HELD
    assert len(lane.api.submitted) == 1


@pytest.mark.parametrize("model", [MODEL, REPAY_MODEL])
def test_after_a_long_pause_one_listing_that_cannot_be_read_decides_nothing(model: Model) -> None:
    lane = Lane(model=model, api=ScriptedApi(submits=[NO_ANSWER], listing=[STRANGER]))

    async def paused() -> set[str]:
        await lane.deliver()
        await lane.clock.sleep(2 * OPEN_PATIENCE_SECONDS)
        lane.api.listing = UNREADABLE
        return await lane.deliver()

    assert run(paused()) == {JOB}
    assert (lane.job().payment_unknown, len(lane.api.submitted)) == (True, 1)


def test_a_provider_that_answers_now_and_then_is_not_out_of_reach() -> None:
    lane = Lane()

    async def now_and_then() -> None:
        for answer, hours in ((UNREADABLE, 0.6), (Working(), 0.6), (UNREADABLE, 0)):
            lane.api.polls = [answer] * 1000
            await lane.deliver()
            await lane.clock.sleep(hours * OPEN_PATIENCE_SECONDS)

    run(now_and_then())
    assert lane.job().state is State.RUNNING


@pytest.mark.parametrize("code", [502, 503, 504, 524])
def test_a_gateways_error_is_no_answer_of_the_providers(code: int) -> None:
    lane = Lane(api=ScriptedApi(submits=[Ambiguous(Fault(ErrorClass.AMBIGUOUS, f"HTTP {code}", code))]))
    run(lane.until_gone())
    (_, first), (_, second) = lane.api.submitted
    assert second - first > MODEL.timeout_seconds


def test_an_answer_settles_from_when_it_came() -> None:
    slow = ScriptedApi(submits=[ERROR_500], submit_seconds=50)
    lane = Lane(api=slow)
    run(lane.until_gone(most=200))
    (_, first), (_, second) = slow.submitted
    assert second - first > 50 + ANSWERED_SETTLES_SECONDS


@dataclass
class UnreachableObjects(MemoryObjects):
    """A bucket that cannot be read so many times."""

    times: int

    def __post_init__(self) -> None:
        super().__init__()

    def get(self, key: str) -> bytes | None:
        self.times -= 1
        if self.times >= 0:
            raise StorageError("an object could not be read: SlowDown")
        return super().get(key)


def test_a_call_that_may_have_been_taken_spends_no_tries_while_storage_cannot_be_looked_into() -> None:
    lane = Lane(images=UnreachableObjects(3 * MAX_TRIES))
    lane.jobs.records[JOB] = announced(START_MS - LEASE_MS)
    run(lane.until_gone())
    assert (lane.job().state, lane.job().tries) == (State.SUCCESS, {"provider_error": 1})


def test_a_call_that_may_have_been_taken_is_held_when_storage_cannot_be_looked_into_for_an_hour() -> None:
    lane = Lane(images=UnreachableObjects(10_000))
    lane.jobs.records[JOB] = announced(START_MS - LEASE_MS)
    run(lane.until_gone(most=1000))
    assert (lane.job().state, lane.job().stage) == (State.HELD, Stage.SUBMITTING)
    assert (lane.api.submitted, lane.dead_letters.bodies) == ([], [])


def test_a_picture_that_was_paid_for_spends_no_tries_while_storage_cannot_be_looked_into() -> None:
    lane = Lane(images=UnreachableObjects(2 * MAX_TRIES))
    lane.jobs.records[JOB] = accepted()
    lane.api.take()
    lane.api.take()
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.tries, job.cost_usd) == (State.SUCCESS, {}, PRICE)


def test_a_picture_that_was_paid_for_is_held_in_the_end_and_never_failed_for_want_of_storage() -> None:
    lane = Lane(images=UnreachableObjects(10**6))
    lane.jobs.records[JOB] = accepted()
    run(lane.until_gone(most=10**4))
    job = lane.job()
    assert (job.state, job.stage, job.error_class) == (State.HELD, Stage.ACCEPTED, ErrorClass.TIMEOUT)


@pytest.mark.parametrize("code", [None, 500])
def test_the_policy_may_be_to_repay_what_nobody_can_find_out(code: int | None) -> None:
    lost = Ambiguous(Fault(ErrorClass.AMBIGUOUS, "lost", code))
    lane = Lane(model=REPAY_MODEL, api=ScriptedApi(submits=[lost], listing=[STRANGER]))
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.repays, job.tries, job.cost_usd) == (State.SUCCESS, 1, {}, PRICE)
    (_, first), (_, second) = lane.api.submitted
    assert second - first > PATIENCE_SECONDS, "the callback and the listing had their time"
    assert [line["error_class"] for line in lane.log.of("repaid")] == ["ambiguous"]


def test_a_repaid_call_comes_at_once() -> None:
    lane = Lane(model=REPAY_MODEL, api=ScriptedApi(listing=[STRANGER]))
    lane.jobs.records[JOB] = announced()
    assert run(lane.deliver()) == {JOB}
    assert (lane.hidden(), lane.job().state, lane.job().stage) == (0, State.PENDING, None)


def test_what_was_repaid_once_is_held_the_next_time() -> None:
    lane = Lane(model=REPAY_MODEL, api=ScriptedApi(submits=[NO_ANSWER, NO_ANSWER], listing=[STRANGER]))
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.stage, job.repays) == (State.HELD, Stage.SUBMITTING, 1)
    assert len(lane.api.submitted) == 2


def test_a_listing_that_cannot_be_read_for_an_hour_lets_the_policy_decide() -> None:
    lane = Lane(model=REPAY_MODEL, api=ScriptedApi(submits=[NO_ANSWER], listing=UNREADABLE))
    run(lane.until_gone(most=1000))
    assert (lane.job().state, lane.job().repays, len(lane.api.submitted)) == (State.SUCCESS, 1, 2)


def test_a_call_that_was_taken_and_never_ends_is_not_repaid() -> None:
    lane = Lane(model=REPAY_MODEL, api=ScriptedApi(work_seconds=1e9))
    run(lane.until_gone(most=1000))
    assert (lane.job().state, lane.job().repays, lane.api.paid) == (State.HELD, 0, 1)


def test_the_job_of_a_listed_prediction_is_not_guessed() -> None:
    lane = Lane(api=ScriptedApi(submits=[NO_ANSWER]))
    reference = lane.api.take(SPEC)
    lane.api.listing = [Prediction(reference, failed=False)]
    run(lane.until_gone())
    assert (lane.job().state, lane.job().reference, lane.api.polled) == (State.HELD, "", 0)
