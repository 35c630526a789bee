"""What the operator decides about a held job, and what it comes to cost."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle, operator
from functions.core.jobs.records import Job, Stage, State
from functions.core.writes import StaleWriteError, Write, apply
from tests.fakes.lane import PRICE
from tests.fakes.records import (
    Record,
    accepted,
    announced,
    created,
    failed,
    finish,
    given_back,
    held,
    held_accepted,
    seen,
    succeeded,
)

DECISIONS: dict[str, Callable[[Job], Write]] = {
    "look_again": lambda job: operator.look_again(job, reference="", now_ms=9),
    "resubmit": lambda job: operator.resubmit(job, repays=False, price_usd=PRICE, now_ms=9),
    "give_up": lambda job: operator.give_up(job, cost_usd=Decimal(0), now_ms=9),
}


@pytest.mark.parametrize("decision", sorted(DECISIONS))
@pytest.mark.parametrize("record", [created, announced, accepted, given_back, failed, succeeded])
def test_the_operator_decides_about_held_jobs_alone(decision: str, record: Callable[[], Record]) -> None:
    with pytest.raises(StaleWriteError):
        apply(DECISIONS[decision](seen(record())), record())


@pytest.mark.parametrize("decision", sorted(DECISIONS))
@pytest.mark.parametrize("news", [{"stage": Stage.ACCEPTED, "reference": "p1"}, {"attempt_count": 2}])
def test_the_operator_decides_about_what_was_seen(decision: str, news: Record) -> None:
    with pytest.raises(StaleWriteError):
        apply(DECISIONS[decision](seen(held())), held() | news)


@pytest.mark.parametrize("decision", sorted(DECISIONS))
def test_a_decision_takes_the_marks_of_the_held_away(decision: str) -> None:
    after = apply(DECISIONS[decision](seen(held())), held())
    assert not {"held", "held_at", "waiting_since"} & after.keys()


def test_looking_again_leaves_the_call_open() -> None:
    job = seen(apply(operator.look_again(seen(held()), reference="", now_ms=9), held()))
    assert (job.state, job.stage, job.error_class) == (State.PENDING, Stage.SUBMITTING, None)


def test_the_operator_may_name_the_prediction() -> None:
    job = seen(apply(operator.look_again(seen(held()), reference="p7", now_ms=9), held()))
    assert (job.state, job.stage, job.reference) == (State.PENDING, Stage.ACCEPTED, "p7")


@pytest.mark.parametrize("repays", [True, False])
def test_a_resubmitted_job_is_paid_for_anew_with_all_its_tries(repays: bool) -> None:
    record = {**held(), "tries": {"capacity": 3}}
    job = seen(apply(operator.resubmit(seen(record), repays=repays, price_usd=PRICE, now_ms=9), record))
    assert (job.state, job.stage, job.tries, job.repays) == (State.PENDING, None, {}, int(repays))


@pytest.mark.parametrize("cost", [Decimal(0), PRICE])
def test_a_job_that_is_given_up_fails_at_what_was_paid_for_it(cost: Decimal) -> None:
    job = seen(apply(operator.give_up(seen(held()), cost_usd=cost, now_ms=9), held()))
    assert (job.state, job.stage, job.cost_usd, job.error_class) == (State.FAILED, None, cost, ErrorClass.AMBIGUOUS)
    assert job.finished_at == "1970-01-01T00:00:00.009Z"


def test_late_truth_of_a_call_that_was_given_up_as_paid_counts_it_once() -> None:
    record = apply(operator.give_up(seen(held_accepted()), cost_usd=PRICE, now_ms=9), held_accepted())
    assert apply(finish(seen(record), "p1"), record)["cost_usd"] == PRICE


def test_late_truth_of_a_call_that_was_given_up_as_unpaid_counts_it() -> None:
    record = apply(operator.give_up(seen(held_accepted()), cost_usd=Decimal(0), now_ms=9), held_accepted())
    assert apply(finish(seen(record), "p1"), record)["cost_usd"] == PRICE


def test_what_was_counted_before_stays_when_a_job_is_given_up() -> None:
    record = apply(lifecycle.count_payment(seen(held()), "p9", PRICE, 6), held())
    assert apply(operator.give_up(seen(record), cost_usd=PRICE, now_ms=9), record)["cost_usd"] == 2 * PRICE
