"""What those who own nothing may add to a job: a reference that was lost, a success that comes late, a payment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.core.jobs import lifecycle
from functions.core.jobs.records import Stage, State
from functions.core.writes import StaleWriteError, apply
from tests.fakes.lane import PRICE
from tests.fakes.records import (
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
    finish,
    given_back,
    held,
    held_accepted,
    seen,
    succeed,
    succeeded,
    taken_over,
)


def doubted() -> Record:
    """Running, but its owner has left: the answer is lost."""
    return apply(lifecycle.doubt(1, LOST, 7), announced())


def heal(record: Record, attempt: int = 1, reference: str = "p1") -> Record:
    return apply(lifecycle.heal(seen(record), attempt, reference=reference, now_ms=9), record)


def count(record: Record, reference: str) -> Record:
    return apply(lifecycle.count_payment(seen(record), reference, PRICE, 11), record)


@pytest.mark.parametrize("unanswered", [announced, doubted])
def test_a_lost_reference_is_healed_under_whoever_owns_the_job(unanswered: Callable[[], Record]) -> None:
    before, after = seen(unanswered()), seen(heal(unanswered()))
    assert (after.state, after.stage, after.reference) == (State.RUNNING, Stage.ACCEPTED, "p1")
    assert (after.owner, after.attempt_count, after.lease_expires_at) == (before.owner, 1, before.lease_expires_at)
    assert after.waiting_since == 0


def test_a_held_job_goes_on_once_its_reference_is_known() -> None:
    record = heal(held())
    assert (record["state"], record["stage"], record["reference"]) == (State.PENDING, Stage.ACCEPTED, "p1")
    assert not {"held", "held_at"} & record.keys()
    assert taken_over(record, now_ms=10)["attempt_count"] == 2


@pytest.mark.parametrize("record", [accepted, held_accepted, given_back, failed, failed_paid, succeeded, created])
def test_nothing_is_healed_but_a_call_in_submission(record: Callable[[], Record]) -> None:
    with pytest.raises(StaleWriteError):
        heal(record())


def test_the_reference_of_an_earlier_call_is_not_that_of_the_open_one() -> None:
    with pytest.raises(StaleWriteError):
        heal(announced_again(), attempt=1)
    assert heal(announced_again(), attempt=2)["stage"] == Stage.ACCEPTED


@pytest.mark.parametrize(("before", "after"), [(announced, held), (held, announced)])
def test_a_reference_is_healed_in_the_state_that_was_seen(
    before: Callable[[], Record], after: Callable[[], Record]
) -> None:
    with pytest.raises(StaleWriteError):
        apply(lifecycle.heal(seen(before()), 1, reference="p1", now_ms=9), after())


def test_an_owner_goes_on_with_a_reference_that_was_healed_under_it() -> None:
    record = apply(lifecycle.heartbeat(1, 10, LEASE_MS), heal(announced()))
    assert apply(succeed(1, seen(record)), record)["cost_usd"] == PRICE


NOT_SUCCEEDED = [created, announced, accepted, given_back, announced_again, held, held_accepted, failed]


@pytest.mark.parametrize("record", NOT_SUCCEEDED)
def test_late_truth_wins_over_whatever_was_thought_since(record: Callable[[], Record]) -> None:
    after = apply(finish(seen(record()), "p1"), record())
    job = seen(after)
    assert (job.state, job.reference, job.cost_usd, job.sha256) == (State.SUCCESS, "p1", PRICE, "00" * 32)
    assert job.callback_ids == {"e1"}
    gone = {"stage", "owner", "lease_expires_at", "held", "held_at", "error_class", "error_message", "waiting_since"}
    assert not gone & after.keys()


def test_both_calls_are_paid_for_when_the_earlier_one_succeeds_after_a_later_one_was_taken() -> None:
    after = apply(finish(seen(accepted_again()), "p1"), accepted_again())
    assert (after["reference"], after["settled_calls"], after["cost_usd"]) == ("p1", {"p2"}, 2 * PRICE)


def test_a_payment_that_was_counted_when_the_job_failed_is_not_counted_again() -> None:
    assert apply(finish(seen(failed_paid()), "p1"), failed_paid())["cost_usd"] == PRICE


def test_of_two_calls_each_that_was_counted_is_not_counted_again() -> None:
    record = count(accepted_again(), "p1")
    assert apply(finish(seen(record), "p1"), record)["cost_usd"] == 2 * PRICE
    record = count(accepted_again(), "p2")
    assert apply(finish(seen(record), "p1"), record)["cost_usd"] == 2 * PRICE


@pytest.mark.parametrize("reference", ["p1", "p2"])
def test_a_payment_that_somebody_counts_meanwhile_is_not_counted_again(reference: str) -> None:
    late = finish(seen(accepted_again()), "p1")
    with pytest.raises(StaleWriteError):
        apply(late, count(accepted_again(), reference))


def test_a_success_without_an_event_id_leaves_none() -> None:
    assert "callback_ids" not in apply(finish(seen(accepted()), "p1", event_id=""), accepted())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (announced, held),
        (held, announced),
        (announced, accepted),
        (accepted, announced),
        (announced, lambda: taken_over(announced(), LEASE_MS)),
        (created, lambda: {**created(), "attempt_count": 1}),
        (failed, lambda: {**failed(), "state": State.PENDING}),
        (accepted, lambda: {**accepted(), "state": State.SUCCESS}),
    ],
)
def test_a_success_is_written_over_the_record_that_was_seen(
    before: Callable[[], Record], after: Callable[[], Record]
) -> None:
    with pytest.raises(StaleWriteError):
        apply(finish(seen(before()), "p1"), after())


def test_an_owner_over_whom_a_job_was_finished_changes_nothing_any_more() -> None:
    record = apply(finish(seen(announced_again()), "p1"), announced_again())
    with pytest.raises(StaleWriteError):
        apply(lifecycle.accept(2, reference="p2", response_code=200, leaving=False, now_ms=9), record)
    with pytest.raises(StaleWriteError):
        apply(lifecycle.give_back(2, seen(announced_again()), BUSY, 9), record)


@pytest.mark.parametrize("record", [*NOT_SUCCEEDED, succeeded])
def test_a_second_payment_is_counted_once_and_changes_nothing_else(record: Callable[[], Record]) -> None:
    before = record()
    after = count(before, "p9")
    assert after["cost_usd"] == before.get("cost_usd", 0) + PRICE
    assert after["settled_calls"] == {"p9"}
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed == {"cost_usd", "settled_calls", "updated_at"}
    with pytest.raises(StaleWriteError):
        count(after, "p9")


def test_a_payment_is_counted_in_the_state_that_was_seen() -> None:
    meanwhile = apply(finish(seen(accepted()), "p9"), accepted())
    with pytest.raises(StaleWriteError):
        apply(lifecycle.count_payment(seen(accepted()), "p9", PRICE, 9), meanwhile)
