"""What the operator says of a held job, and what the provider has to say of that."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import lifecycle, operator
from functions.core.jobs.records import Stage, State
from functions.core.ports import Completed, Output, PollError, Refused
from functions.core.writes import StaleWriteError, apply
from tests.fakes.lane import JOB, NO_ANSWER, PRICE, STRANGER, Lane, ScriptedApi
from tests.fakes.records import Record, finish, held, held_accepted, seen, taken_over
from tests.fakes.virtual_time import run

UNKNOWN = PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 404", 404))
BROKEN = PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))


def held_lane(**api: object) -> Lane:
    """A lane whose job will be held, since the provider may have taken its call."""
    return Lane(api=ScriptedApi(submits=[NO_ANSWER], listing=[STRANGER], **api))  # type: ignore[arg-type]


async def look_again(lane: Lane, reference: str, *, age_ms: int = 0) -> None:
    """Let the job be held, and the operator send a worker to look, about a call that is older than it seems."""
    await lane.until_gone()
    assert lane.job().state is State.HELD
    lane.jobs.records[JOB]["submitting_at"] -= age_ms
    lane.jobs.write(JOB, operator.look_again(lane.job(), reference=reference, now_ms=lane.clock.now_ms()))
    await lane.until_gone()


def test_a_prediction_that_the_provider_does_not_know_is_forgotten_and_another_one_may_be_named() -> None:
    lane = held_lane(polls=[UNKNOWN])
    run(look_again(lane, "typo"))
    job = lane.job()
    assert (job.state, job.stage, job.reference, job.reference_claimed) == (State.HELD, Stage.SUBMITTING, "", 0)
    assert (job.held_at != "", "'typo'" in job.error_message, job.cost_usd) == (True, True, None)
    again = apply(operator.look_again(job, reference="right", now_ms=9), lane.jobs.records[JOB])
    assert (seen(again).state, seen(again).reference) == (State.PENDING, "right")


def test_a_prediction_that_cannot_be_asked_about_for_now_is_asked_about_again() -> None:
    lane = held_lane(polls=[BROKEN, Completed(Output(url="p0"), 200)])
    lane.api.take()
    run(look_again(lane, "p0"))
    assert (lane.job().state, lane.job().reference) == (State.SUCCESS, "p0")


def test_a_prediction_that_failed_is_no_proof_that_the_jobs_own_call_did() -> None:
    failed = Refused(Fault(ErrorClass.CAPACITY, "the task failed with code 5000", 200))
    lane = held_lane(polls=[failed])
    run(look_again(lane, "p9"))
    job = lane.job()
    assert (job.state, job.stage, job.reference, job.settled_calls) == (State.HELD, Stage.SUBMITTING, "", frozenset())
    assert "'p9'" in job.error_message
    assert "code 5000" in job.error_message
    assert len(lane.api.submitted) == 1


def test_only_the_prediction_that_the_operator_named_is_disowned() -> None:
    record = {**held_accepted(), "state": State.RUNNING}
    fault = Fault(ErrorClass.AMBIGUOUS, "unknown", 404)
    with pytest.raises(StaleWriteError):
        apply(lifecycle.disown(1, seen(record), fault, 9), record)


@pytest.mark.parametrize("since", [{"state": State.HELD}, {"attempt_count": 3}, {"stage": Stage.SUBMITTING}])
def test_a_prediction_is_disowned_by_the_owner_of_the_call_as_it_was_seen(since: Record) -> None:
    named = apply(operator.look_again(seen(held()), reference="p9", now_ms=9), held())
    looking = taken_over(named, now_ms=10)
    disown = lifecycle.disown(2, seen(looking), Fault(ErrorClass.AMBIGUOUS, "unknown", 404), 11)
    assert apply(disown, looking)["state"] == State.HELD
    with pytest.raises(StaleWriteError):
        apply(disown, looking | since)


def test_a_prediction_is_named_only_where_the_provider_gave_none() -> None:
    with pytest.raises(StaleWriteError):
        apply(operator.look_again(seen(held_accepted()), reference="p9", now_ms=9), held_accepted())


def test_what_an_operator_named_wrongly_is_no_payment_when_the_call_reports_itself() -> None:
    named = apply(operator.look_again(seen(held()), reference="wrong", now_ms=9), held())
    job = seen(apply(finish(seen(named), "p1"), named))
    assert (job.state, job.cost_usd, job.reference) == (State.SUCCESS, PRICE, "p1")
    assert (job.settled_calls, job.reference_claimed) == (frozenset(), 0)


@pytest.mark.parametrize(("before", "cost"), [(held(), PRICE), (held_accepted(), PRICE)])
def test_a_call_that_was_given_up_as_paid_is_not_counted_again_when_it_succeeds_late(
    before: Record, cost: Decimal
) -> None:
    given_up = apply(operator.give_up(seen(before), cost_usd=PRICE, now_ms=9), before)
    job = seen(apply(finish(seen(given_up), "p1"), given_up))
    assert (job.state, job.cost_usd) == (State.SUCCESS, cost)


def test_another_call_of_a_job_that_was_given_up_as_paid_is_counted() -> None:
    given_up = apply(operator.give_up(seen(held()), cost_usd=PRICE, now_ms=9), held())
    assert seen(apply(finish(seen(given_up), "p9", attempt=7), given_up)).cost_usd == 2 * PRICE


def test_a_call_that_the_provider_took_stays_in_the_books_when_another_one_is_made() -> None:
    record = apply(operator.resubmit(seen(held_accepted()), repays=True, price_usd=PRICE, now_ms=9), held_accepted())
    assert (seen(record).cost_usd, seen(record).settled_calls) == (PRICE, frozenset({"p1"}))
    not_taken = operator.resubmit(seen(held_accepted()), repays=False, price_usd=PRICE, now_ms=9)
    assert seen(apply(not_taken, held_accepted())).cost_usd is None


def test_of_a_call_that_is_older_than_the_listing_its_silence_proves_nothing() -> None:
    lane = held_lane(listed_seconds=3 * 24 * 3600.0)

    async def forgotten() -> None:
        await lane.until_gone()
        lane.api.listing = []
        await look_again(lane, "", age_ms=3 * 24 * 3600 * 1000)

    run(forgotten())
    assert (lane.job().state, len(lane.api.submitted)) == (State.HELD, 1)
