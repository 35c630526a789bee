"""A job's life: who may claim it, what its owner may write, and what becomes of its paid call."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import demand, lifecycle, operator
from functions.core.jobs.records import Job, Stage, State
from functions.core.writes import StaleWriteError, Write, apply
from tests.fakes.lane import PRICE
from tests.fakes.records import (
    BROKEN,
    BUSY,
    LEASE_MS,
    LOST,
    Record,
    accepted,
    accepted_again,
    announced,
    announced_again,
    created,
    failed,
    failed_paid,
    given_back,
    held,
    held_accepted,
    seen,
    succeed,
    succeeded,
    taken_over,
    tried_again,
)

OWNER_WRITES: dict[str, Callable[[int, Job], Write]] = {
    "announce": lambda fence, job: lifecycle.announce(fence, job, 1),
    "withdraw": lambda fence, job: lifecycle.withdraw(fence, 1),
    "accept": lambda fence, job: lifecycle.accept(fence, reference="r", response_code=200, leaving=False, now_ms=1),
    "doubt": lambda fence, job: lifecycle.doubt(fence, LOST, 1),
    "heartbeat": lambda fence, job: lifecycle.heartbeat(fence, 1, LEASE_MS),
    "leave": lambda fence, job: lifecycle.leave(fence, job, 1),
    "give_back": lambda fence, job: lifecycle.give_back(fence, job, BUSY, 1),
    "succeed": succeed,
    "fail": lambda fence, job: lifecycle.fail(fence, job, BUSY, price_usd=PRICE, now_ms=1),
    "hold": lambda fence, job: lifecycle.hold(fence, job, LOST, 1),
    "repay": lambda fence, job: lifecycle.repay(fence, job, LOST, 1),
}
"""Every write that only the owner may make."""

CONCLUSIONS = ("give_back", "fail", "hold", "repay")
"""What an owner concludes from the open call."""


def test_the_first_claim_announces_the_paid_call() -> None:
    job = seen(announced(now_ms=50))
    assert (job.state, job.stage, job.attempt_count, job.submitting_at, job.call_attempt) == (
        State.RUNNING,
        Stage.SUBMITTING,
        1,
        50,
        1,
    )
    assert job.payment_unknown


def test_only_one_of_two_first_claims_is_served() -> None:
    with pytest.raises(StaleWriteError):
        apply(lifecycle.claim_to_submit("two", 1, LEASE_MS), announced())


def test_a_job_that_was_tried_before_is_never_claimed_with_an_announcement() -> None:
    with pytest.raises(StaleWriteError):
        apply(lifecycle.claim_to_submit("two", 10, LEASE_MS), given_back())


@pytest.mark.parametrize("state", [State.RUNNING, State.HELD, State.FAILED, State.SUCCESS])
def test_a_first_claim_takes_pending_jobs_alone(state: State) -> None:
    with pytest.raises(StaleWriteError):
        apply(lifecycle.claim_to_submit("two", 10, LEASE_MS), {**created(), "state": state})


def test_a_live_lease_is_not_robbed() -> None:
    with pytest.raises(StaleWriteError):
        taken_over(announced(), now_ms=LEASE_MS - 1)
    assert taken_over(announced(), now_ms=LEASE_MS)["attempt_count"] == 2


def test_a_heartbeat_keeps_the_lease_alive() -> None:
    record = apply(lifecycle.heartbeat(1, LEASE_MS - 1, LEASE_MS), announced())
    with pytest.raises(StaleWriteError):
        taken_over(record, now_ms=LEASE_MS + 5)


LEFT: dict[str, Callable[[], Record]] = {
    "leave": lambda: apply(lifecycle.leave(1, seen(accepted()), 50), accepted()),
    "accept": lambda: accepted(now_ms=50, leaving=True),
    "doubt": lambda: apply(lifecycle.doubt(1, LOST, 50), announced()),
}


@pytest.mark.parametrize("left", sorted(LEFT))
def test_a_heartbeat_does_not_take_a_lease_again_that_its_owner_has_ended(left: str) -> None:
    with pytest.raises(StaleWriteError):
        apply(lifecycle.heartbeat(1, 51, LEASE_MS), LEFT[left]())


@pytest.mark.parametrize("left", sorted(LEFT))
def test_whoever_leaves_lets_the_next_one_take_over_at_once(left: str) -> None:
    record = LEFT[left]()
    assert seen(record).waiting_since == 50
    assert lifecycle.claimable(seen(record), 50)
    assert taken_over(record, now_ms=50)["attempt_count"] == 2


def test_two_workers_that_saw_the_same_expired_lease_do_not_both_get_it() -> None:
    record = announced()
    after = apply(lifecycle.claim_to_look(seen(record), "two", LEASE_MS, LEASE_MS), record)
    after["lease_expires_at"] = 0
    with pytest.raises(StaleWriteError):
        apply(lifecycle.claim_to_look(seen(record), "three", LEASE_MS, LEASE_MS), after)


@pytest.mark.parametrize("ended", [held, held_accepted, failed, failed_paid, succeeded])
def test_what_has_ended_or_is_held_is_not_claimed(ended: Callable[[], Record]) -> None:
    assert not lifecycle.claimable(seen(ended()), 10 * LEASE_MS)
    with pytest.raises(StaleWriteError):
        taken_over({**ended(), "lease_expires_at": 0}, now_ms=10 * LEASE_MS)


@pytest.mark.parametrize("name", sorted(OWNER_WRITES))
@pytest.mark.parametrize("stage", [Stage.SUBMITTING, Stage.ACCEPTED, None])
def test_an_owner_that_lost_its_lease_changes_nothing(name: str, stage: Stage | None) -> None:
    record = taken_over(announced(), now_ms=LEASE_MS)
    record = {**record, "stage": stage} if stage else {key: record[key] for key in record if key != "stage"}
    with pytest.raises(StaleWriteError):
        apply(OWNER_WRITES[name](1, seen(record)), record)


@pytest.mark.parametrize("name", sorted(OWNER_WRITES))
@pytest.mark.parametrize("end", ["succeed", "fail", "hold", "give_back", "repay", "withdraw"])
def test_an_owner_changes_nothing_after_it_has_ended_its_turn(name: str, end: str) -> None:
    record = apply(OWNER_WRITES[end](1, seen(announced())), announced())
    for stage in ({"stage": "submitting"}, {"stage": "accepted"}, {}):
        as_if_running = {"owner": "one", "lease_expires_at": LEASE_MS, **record, **stage}
        with pytest.raises(StaleWriteError):
            apply(OWNER_WRITES[name](1, seen(as_if_running)), as_if_running)


@pytest.mark.parametrize("name", CONCLUSIONS)
@pytest.mark.parametrize(("before", "after"), [(announced, accepted), (accepted, announced)])
def test_nothing_is_concluded_from_a_call_of_which_there_is_news(
    name: str, before: Callable[[], Record], after: Callable[[], Record]
) -> None:
    with pytest.raises(StaleWriteError):
        apply(OWNER_WRITES[name](1, seen(before())), after())


@pytest.mark.parametrize("name", ["give_back", "fail", "hold"])
def test_nothing_is_concluded_without_a_call_once_there_is_one(name: str) -> None:
    without = {key: value for key, value in announced().items() if key != "stage"}
    with pytest.raises(StaleWriteError):
        apply(OWNER_WRITES[name](1, seen(without)), announced())


@pytest.mark.parametrize("name", ["accept", "doubt"])
@pytest.mark.parametrize("stage", [Stage.ACCEPTED, None])
def test_what_is_said_of_a_call_that_is_not_in_submission_is_refused(name: str, stage: Stage | None) -> None:
    record = {**accepted(), "stage": stage} if stage else taken_over(given_back(), 6)
    with pytest.raises(StaleWriteError):
        apply(OWNER_WRITES[name](record["attempt_count"], seen(record)), record)


@pytest.mark.parametrize("record", [announced, accepted])
def test_no_second_call_is_announced_while_one_is_open(record: Callable[[], Record]) -> None:
    with pytest.raises(StaleWriteError):
        tried_again(record(), LEASE_MS)


def test_a_second_call_is_known_by_the_attempt_that_announced_it() -> None:
    job = seen(taken_over(announced_again(), now_ms=LEASE_MS))
    assert (job.attempt_count, job.call_attempt) == (3, 2)


def test_an_announcement_forgets_what_was_thought_of_the_call_before() -> None:
    job = seen(announced_again(now_ms=7))
    assert (job.error_class, job.last_response_code, job.waiting_since, job.idle_claims) == (None, None, 0, 0)


def test_a_call_that_never_left_spends_no_try_and_may_be_announced_again() -> None:
    record = apply(lifecycle.withdraw(1, 5), announced())
    assert seen(record).tries == {}
    assert tried_again(record, 6)["stage"] == Stage.SUBMITTING


def test_an_acceptance_whose_owner_stays_keeps_the_lease() -> None:
    job = seen(accepted(now_ms=50))
    assert (job.stage, job.reference, job.lease_expires_at, job.waiting_since) == (
        Stage.ACCEPTED,
        "p1",
        50 + LEASE_MS,
        0,
    )


def test_a_second_leave_keeps_when_the_wait_began() -> None:
    record = apply(lifecycle.leave(1, seen(accepted()), 50), accepted())
    record = taken_over(record, now_ms=60)
    assert apply(lifecycle.leave(2, seen(record), 70), record)["waiting_since"] == 50


def test_a_paid_picture_that_could_not_be_fetched_stays_accepted_for_the_next_try() -> None:
    after = seen(apply(lifecycle.give_back(1, seen(accepted()), BROKEN, 2), accepted()))
    assert (after.state, after.stage, after.reference) == (State.PENDING, Stage.ACCEPTED, "p1")
    assert after.tries == {"corrupt": 1}


def test_a_refused_try_closes_its_call() -> None:
    after = seen(given_back())
    assert (after.state, after.stage, after.error_class) == (State.PENDING, None, ErrorClass.CAPACITY)


def test_a_call_whose_price_somebody_else_counts_meanwhile_is_not_counted_again_by_success() -> None:
    record = accepted()
    job = seen(record)
    counted = apply(lifecycle.count_payment(job, "p0", PRICE, 8), record)
    write = succeed(1, job, "p0")
    assert apply(write, record)["cost_usd"] == 2 * PRICE
    with pytest.raises(StaleWriteError):
        apply(write, counted)
    assert apply(succeed(1, seen(counted), "p0"), counted)["cost_usd"] == 2 * PRICE


def test_success_forgets_the_errors_on_the_way() -> None:
    record = apply(succeed(2, seen(accepted_again())), {**accepted_again(), "error_class": "capacity"})
    job = seen(record)
    assert (job.state, job.stage, job.error_class, job.sha256) == (State.SUCCESS, None, None, "00" * 32)
    assert job.cost_usd == PRICE


def test_a_picture_that_was_counted_when_it_failed_costs_nothing_more_when_it_comes() -> None:
    record = failed_paid()
    assert record["cost_usd"] == PRICE
    record = taken_over(apply(demand.revive(seen(record), "b", 6), record), now_ms=7)
    assert apply(succeed(2, seen(record)), record)["cost_usd"] == PRICE


def test_a_stored_picture_of_which_nobody_knows_the_call_is_of_the_last_one_and_paid_once() -> None:
    """Its worker died between storing it and saying so, and the operator had it bought again before it was found."""
    record = held_accepted()
    record = apply(operator.resubmit(seen(record), repays=True, price_usd=PRICE, now_ms=6), record)
    record = taken_over(record, now_ms=7)
    assert record["cost_usd"] == PRICE
    assert apply(succeed(2, seen(record)), record)["cost_usd"] == PRICE


def test_a_picture_that_fails_a_second_time_is_counted_once() -> None:
    record = failed_paid()
    record = taken_over(apply(demand.revive(seen(record), "b", 6), record), now_ms=7)
    record = apply(lifecycle.fail(2, seen(record), BROKEN, price_usd=PRICE, now_ms=8), record)
    assert (record["cost_usd"], record["settled_calls"]) == (PRICE, {"p1"})


@pytest.mark.parametrize(("record", "fault"), [(announced, BUSY), (accepted, Fault(ErrorClass.MODERATED, "no"))])
def test_a_call_that_came_to_nothing_costs_nothing(record: Callable[[], Record], fault: Fault) -> None:
    job = seen(apply(lifecycle.fail(1, seen(record()), fault, price_usd=PRICE, now_ms=5), record()))
    assert (job.state, job.cost_usd) == (State.FAILED, Decimal(0))
    assert job.settled_calls == ({job.reference} if job.reference else set())
