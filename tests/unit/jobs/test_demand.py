"""What batches ask of a job: to be made, shared, revived, or left until it expires."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import demand, lifecycle, operator
from functions.core.jobs.clauses import HELD
from functions.core.jobs.records import Stage, State
from functions.core.writes import StaleWriteError, apply
from tests.fakes.lane import PRICE
from tests.fakes.records import (
    BROKEN,
    BUSY,
    LOST,
    Record,
    accepted,
    announced,
    created,
    failed,
    failed_paid,
    given_back,
    held,
    seen,
    succeeded,
    taken_over,
    tried_again,
)


def test_a_job_is_created_once() -> None:
    with pytest.raises(StaleWriteError) as stale:
        apply(demand.create("ab" * 32, model="m", spec="{}", batch_id="b", now_ms=5), created())
    assert stale.value.record["batch_id"] == "a"


@pytest.mark.parametrize("open_job", [created, announced, accepted, given_back, held])
def test_a_batch_joins_a_job_that_is_on_its_way(open_job: Callable[[], Record]) -> None:
    assert apply(demand.join("b"), open_job())["batches"] == {"a", "b"}


@pytest.mark.parametrize("ended", [succeeded, failed])
def test_a_batch_cannot_join_a_job_that_has_ended(ended: Callable[[], Record]) -> None:
    with pytest.raises(StaleWriteError):
        apply(demand.join("b"), ended())


def test_a_revived_job_is_paid_by_the_batch_that_revived_it_and_has_all_its_tries() -> None:
    job = seen(apply(demand.revive(seen(failed()), "b", 3), failed()))
    assert (job.state, job.batch_id, job.batches) == (State.PENDING, "b", frozenset({"a", "b"}))
    assert (job.tries, job.error_class, job.attempt_count) == ({}, None, 1)


def revived(record: Record, batch_id: str) -> Record:
    return apply(demand.revive(seen(record), batch_id, 3), record)


def test_what_was_paid_before_a_job_failed_stays_with_the_batch_that_paid() -> None:
    record = apply(operator.give_up(seen(held()), cost_usd=PRICE, now_ms=6), held())
    job = seen(revived(record, "b"))
    assert (job.batch_id, job.batches, job.stage) == ("b", frozenset({"a", "b"}), None)
    assert [job.cost_to(batch_id) for batch_id in "abc"] == [PRICE, 0, 0]
    assert [job.paid_by(batch_id) for batch_id in "abc"] == [True, True, False]


def test_a_paid_picture_that_is_still_to_be_had_is_the_next_batchs_only_when_it_is_bought_anew() -> None:
    job = seen(revived(failed_paid(), "b"))
    assert (job.batch_id, job.batches, job.stage) == ("a", frozenset({"a", "b"}), Stage.ACCEPTED)
    assert [job.paid_by(batch_id) for batch_id in "ab"] == [True, False]


def test_who_inherited_a_job_that_failed_for_good_pays_for_no_call_of_the_next_batch() -> None:
    inherited = taken_over(apply(demand.revive(seen(failed_paid()), "b", 6), failed_paid()), now_ms=7)
    failed_again = apply(lifecycle.fail(2, seen(inherited), BUSY, price_usd=PRICE, now_ms=8), inherited)
    record = taken_over(apply(demand.revive(seen(failed_again), "d", 9), failed_again), now_ms=10)
    assert seen(apply(lifecycle.announce(3, seen(record), 11), record)).batch_id == "d"


def test_an_heir_pays_for_no_payment_that_is_learnt_of_while_it_announces_its_first_call() -> None:
    record = taken_over(revived(failed_paid(), "b"), now_ms=4)
    refused = Fault(ErrorClass.CAPACITY, "the task failed")
    record = taken_over(apply(lifecycle.give_back(2, seen(record), refused, 5), record), now_ms=6)
    late = apply(lifecycle.count_payment(seen(record), "p7", PRICE, 7), record)
    with pytest.raises(StaleWriteError):
        apply(lifecycle.announce(3, seen(record), 8), late)
    job = seen(apply(lifecycle.announce(3, seen(late), 8), late))
    assert (job.batch_id, job.heir) == ("b", "")
    assert [job.cost_to(batch_id) for batch_id in "ab"] == [2 * PRICE, 0]


def test_a_repay_stays_with_the_batch_that_it_was_made_for() -> None:
    record = apply(lifecycle.repay(1, seen(announced()), LOST, 1), announced())
    record = tried_again(record, 2)
    record = apply(lifecycle.fail(2, seen(record), BUSY, price_usd=PRICE, now_ms=3), record)
    job = seen(revived(record, "b"))
    assert (job.repays, [job.repays_of(batch_id) for batch_id in "ab"]) == (1, [1, 0])


def test_each_batch_pays_for_the_calls_that_were_made_for_it() -> None:
    record = revived(failed_paid(), "b")
    record = taken_over(record, now_ms=4)
    refused = Fault(ErrorClass.CAPACITY, "the task failed")  # what p1 had to give is gone, so another call is made
    record = apply(lifecycle.give_back(2, seen(record), refused, 5), record)
    record = tried_again(record, 6)
    record = apply(lifecycle.accept(3, reference="p2", response_code=200, leaving=False, now_ms=8), record)
    record = apply(lifecycle.fail(3, seen(record), BROKEN, price_usd=PRICE, now_ms=9), record)
    job = seen(revived(record, "c"))
    assert job.cost_usd == 2 * PRICE
    assert [job.cost_to(batch_id) for batch_id in "abc"] == [PRICE, PRICE, 0]


def test_a_payment_that_is_learnt_of_meanwhile_is_not_laid_at_the_next_batchs_door() -> None:
    late = apply(lifecycle.count_payment(seen(failed()), "p7", PRICE, 2), failed())
    with pytest.raises(StaleWriteError):
        apply(demand.revive(seen(failed()), "b", 3), late)
    job = seen(revived(late, "b"))
    assert [job.cost_to(batch_id) for batch_id in "ab"] == [PRICE, 0]


def test_a_revived_job_has_the_whole_patience_again() -> None:
    record = apply(lifecycle.leave(1, seen(accepted()), 5), accepted())
    record = taken_over(record, now_ms=6)
    record = apply(lifecycle.fail(2, seen(record), BROKEN, price_usd=PRICE, now_ms=7), record)
    assert seen(apply(demand.revive(seen(record), "b", 8), record)).waiting_since == 0


@pytest.mark.parametrize("other", [created, announced, held, succeeded])
def test_nothing_but_a_failure_is_revived(other: Callable[[], Record]) -> None:
    assert not demand.revivable(seen(other()))
    with pytest.raises(StaleWriteError):
        apply(demand.revive(seen(other()), "b", 3), other())


def test_a_failure_is_revived_as_it_was_seen() -> None:
    with pytest.raises(StaleWriteError):
        apply(demand.revive(seen(failed()), "b", 3), {**failed(), "attempt_count": 2})
    with pytest.raises(StaleWriteError):
        apply(demand.revive(seen(failed()), "b", 3), {**failed(), "stage": Stage.ACCEPTED})


@pytest.mark.parametrize(("error_class", "expected"), [(ErrorClass.MODERATED, False), (ErrorClass.FUNDS, True)])
def test_only_reasons_that_may_have_passed_are_revived(error_class: ErrorClass, expected: bool) -> None:
    fault = Fault(error_class, "no")
    record = apply(lifecycle.fail(1, seen(announced()), fault, price_usd=PRICE, now_ms=2), announced())
    assert demand.revivable(seen(record)) is expected


@pytest.mark.parametrize("pending", [created, given_back])
def test_only_an_untouched_pending_job_expires(pending: Callable[[], Record]) -> None:
    job = seen(pending())
    assert apply(demand.expire(job, 9), pending())["error_class"] == "expired"
    for touched in (
        {"state": State.RUNNING},
        {"attempt_count": 7},
        {"stage": Stage.ACCEPTED},
        {"state": State.SUCCESS},
    ):
        with pytest.raises(StaleWriteError):
            apply(demand.expire(job, 9), pending() | touched)


def test_a_running_job_expires_unless_its_owner_shows_that_it_lives() -> None:
    job = seen(announced())
    assert apply(demand.expire(job, 9), announced())["state"] == State.HELD
    with pytest.raises(StaleWriteError):
        apply(demand.expire(job, 9), apply(lifecycle.heartbeat(1, 9, 10**9), announced()))


@pytest.mark.parametrize("stage", list(Stage))
def test_a_job_whose_paid_call_is_open_is_held_and_not_expired(stage: Stage) -> None:
    pending = {**created(), "attempt_count": 1, "stage": stage, "reference": "p1"}
    record = apply(demand.expire(seen(pending), 9), pending)
    assert (record["state"], record["error_class"], record["stage"]) == (State.HELD, ErrorClass.EXPIRED, stage)
    assert (record["held"], record["held_at"]) == (HELD, "1970-01-01T00:00:00.009Z")


def test_a_job_that_expires_keeps_what_was_paid_for_it() -> None:
    record = apply(demand.revive(seen(failed_paid()), "b", 3), failed_paid())
    del record["stage"]
    assert apply(demand.expire(seen(record), 9), record)["cost_usd"] == PRICE
    assert apply(demand.expire(seen(created()), 9), created())["cost_usd"] == 0
