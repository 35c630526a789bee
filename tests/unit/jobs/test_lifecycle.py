"""A job's life: what each write changes, and what it refuses to change."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Job, Picture, Stage, State, job_from_record
from functions.core.writes import StaleWriteError, Write, apply

LEASE_MS = 120_000
JOB = "ab" * 32
PICTURE = Picture(width=64, height=64, size=900, format="png", sha256="00" * 32)
BUSY = Fault(ErrorClass.CAPACITY, "HTTP 503", 503)
BROKEN = Fault(ErrorClass.CORRUPT, "the bytes are not a png picture", resumable=True)


def created() -> dict[str, Any]:
    return apply(lifecycle.create(JOB, model="flux-schnell", spec="{}", batch_id="a", now_ms=0), {})


def claimed(now_ms: int = 0) -> dict[str, Any]:
    return apply(lifecycle.claim_to_submit("one", now_ms, LEASE_MS), created())


def taken_over(record: dict[str, Any], now_ms: int) -> dict[str, Any]:
    return apply(lifecycle.claim_to_look(job_from_record(record), "two", now_ms, LEASE_MS), record)


def succeed(fence: int) -> Write:
    return lifecycle.succeed(fence, PICTURE, image_key="ab/x.png", cost_usd=Decimal("0.003"), latency_ms=1, now_ms=9)


def owner_writes(fence: int, job: Job) -> dict[str, Write]:
    """Every write that only the owner may make."""
    return {
        "announce": lifecycle.announce(fence, 1),
        "withdraw": lifecycle.withdraw(fence, 1),
        "accept": lifecycle.accept(fence, reference="r", response_code=200, now_ms=1),
        "doubt": lifecycle.doubt(fence, BUSY, 1),
        "heartbeat": lifecycle.heartbeat(fence, 1, LEASE_MS),
        "leave": lifecycle.leave(fence, job, 1),
        "give_back": lifecycle.give_back(fence, job, BUSY, 1),
        "succeed": succeed(fence),
        "fail": lifecycle.fail(fence, job, BUSY, cost_usd=Decimal(0), now_ms=1),
        "hold": lifecycle.hold(fence, BUSY, 1),
    }


def test_a_job_is_created_once() -> None:
    with pytest.raises(StaleWriteError) as stale:
        apply(lifecycle.create(JOB, model="m", spec="{}", batch_id="b", now_ms=5), created())
    assert stale.value.record["batch_id"] == "a"


def test_the_first_claim_announces_the_paid_call() -> None:
    job = job_from_record(claimed(now_ms=50))
    assert (job.state, job.stage, job.attempt_count, job.submitting_at) == (
        State.RUNNING,
        Stage.SUBMITTING,
        1,
        50,
    )
    assert job.payment_unknown


def test_only_one_of_two_first_claims_is_served() -> None:
    with pytest.raises(StaleWriteError):
        apply(lifecycle.claim_to_submit("two", 1, LEASE_MS), claimed())


def test_a_job_that_was_tried_before_is_never_claimed_with_an_announcement() -> None:
    record = apply(lifecycle.give_back(1, job_from_record(claimed()), BUSY, 5), claimed())
    with pytest.raises(StaleWriteError):
        apply(lifecycle.claim_to_submit("two", 10, LEASE_MS), record)


def test_a_live_lease_is_not_robbed() -> None:
    record = claimed(now_ms=0)
    with pytest.raises(StaleWriteError):
        taken_over(record, now_ms=LEASE_MS - 1)
    assert taken_over(record, now_ms=LEASE_MS)["attempt_count"] == 2


def test_a_heartbeat_keeps_the_lease_alive() -> None:
    record = apply(lifecycle.heartbeat(1, LEASE_MS - 1, LEASE_MS), claimed(now_ms=0))
    with pytest.raises(StaleWriteError):
        taken_over(record, now_ms=LEASE_MS + 5)


def test_two_workers_that_saw_the_same_expired_lease_do_not_both_get_it() -> None:
    record = claimed(now_ms=0)
    seen = job_from_record(record)
    after = apply(lifecycle.claim_to_look(seen, "two", LEASE_MS, LEASE_MS), record)
    after["lease_expires_at"] = 0
    with pytest.raises(StaleWriteError):
        apply(lifecycle.claim_to_look(seen, "three", LEASE_MS, LEASE_MS), after)


@pytest.mark.parametrize("name", sorted(owner_writes(1, job_from_record(created()))))
def test_an_owner_that_lost_its_lease_changes_nothing(name: str) -> None:
    record = taken_over(claimed(now_ms=0), now_ms=LEASE_MS)
    with pytest.raises(StaleWriteError):
        apply(owner_writes(1, job_from_record(record))[name], record)


@pytest.mark.parametrize("name", sorted(owner_writes(1, job_from_record(created()))))
@pytest.mark.parametrize("end", ["succeed", "fail", "hold", "give_back"])
def test_an_owner_changes_nothing_after_it_has_ended_its_turn(name: str, end: str) -> None:
    record = claimed()
    job = job_from_record(record)
    record = apply(owner_writes(1, job)[end], record)
    with pytest.raises(StaleWriteError):
        apply(owner_writes(1, job)[name], record)


def test_no_second_call_is_announced_while_one_is_open() -> None:
    unanswered = taken_over(claimed(now_ms=0), now_ms=LEASE_MS)
    with pytest.raises(StaleWriteError):
        apply(lifecycle.announce(2, LEASE_MS), unanswered)
    accepted = apply(lifecycle.accept(1, reference="r", response_code=200, now_ms=1), claimed())
    with pytest.raises(StaleWriteError):
        apply(lifecycle.announce(2, LEASE_MS), taken_over(accepted, now_ms=LEASE_MS))


def test_an_answer_is_accepted_only_for_an_announced_call() -> None:
    record = apply(lifecycle.withdraw(1, 5), claimed())
    with pytest.raises(StaleWriteError):
        apply(lifecycle.accept(2, reference="r", response_code=200, now_ms=9), taken_over(record, now_ms=6))


def test_a_call_that_never_left_spends_no_try_and_may_be_announced_again() -> None:
    record = apply(lifecycle.withdraw(1, 5), claimed())
    assert job_from_record(record).tries == {}
    assert apply(lifecycle.announce(2, 7), taken_over(record, now_ms=6))["stage"] == Stage.SUBMITTING


def test_a_paid_picture_that_could_not_be_fetched_stays_accepted_for_the_next_try() -> None:
    record = apply(lifecycle.accept(1, reference="r1", response_code=200, now_ms=1), claimed())
    after = job_from_record(apply(lifecycle.give_back(1, job_from_record(record), BROKEN, 2), record))
    assert (after.state, after.stage, after.reference) == (State.PENDING, Stage.ACCEPTED, "r1")
    assert after.tries == {"corrupt": 1}


def test_a_refused_try_closes_its_call() -> None:
    after = job_from_record(apply(lifecycle.give_back(1, job_from_record(claimed()), BUSY, 2), claimed()))
    assert (after.state, after.stage, after.error_class) == (State.PENDING, None, ErrorClass.CAPACITY)


def test_success_forgets_the_errors_on_the_way() -> None:
    record = apply(lifecycle.give_back(1, job_from_record(claimed()), BUSY, 2), claimed())
    record = apply(lifecycle.announce(2, 4), taken_over(record, now_ms=3))
    job = job_from_record(apply(succeed(2), record))
    assert (job.state, job.error_class, job.cost_usd, job.sha256) == (
        State.SUCCESS,
        None,
        Decimal("0.003"),
        "00" * 32,
    )


@pytest.mark.parametrize("ended", ["succeed", "fail"])
def test_a_batch_cannot_join_a_job_that_has_ended(ended: str) -> None:
    record = apply(owner_writes(1, job_from_record(claimed()))[ended], claimed())
    with pytest.raises(StaleWriteError):
        apply(lifecycle.join("b"), record)


def test_a_revived_job_is_paid_by_the_batch_that_revived_it_and_has_all_its_tries() -> None:
    record = apply(lifecycle.fail(1, job_from_record(claimed()), BUSY, cost_usd=Decimal(0), now_ms=2), claimed())
    job = job_from_record(apply(lifecycle.revive(job_from_record(record), "b", 3), record))
    assert (job.state, job.batch_id, job.batches) == (State.PENDING, "b", frozenset({"a", "b"}))
    assert (job.tries, job.error_class, job.attempt_count) == ({}, None, 1)


def test_a_picture_that_was_paid_for_before_it_failed_stays_with_the_batch_that_paid() -> None:
    record = apply(lifecycle.accept(1, reference="r1", response_code=200, now_ms=1), claimed())
    record = apply(lifecycle.fail(1, job_from_record(record), BROKEN, cost_usd=Decimal("0.003"), now_ms=2), record)
    job = job_from_record(apply(lifecycle.revive(job_from_record(record), "b", 3), record))
    assert (job.batch_id, job.batches, job.stage) == ("a", frozenset({"a", "b"}), Stage.ACCEPTED)


def test_a_success_is_never_revived() -> None:
    record = apply(succeed(1), claimed())
    with pytest.raises(StaleWriteError):
        apply(lifecycle.revive(job_from_record(record), "b", 3), record)


@pytest.mark.parametrize(("error_class", "expected"), [(ErrorClass.MODERATED, False), (ErrorClass.FUNDS, True)])
def test_only_reasons_that_may_have_passed_are_revived(error_class: ErrorClass, expected: bool) -> None:
    fault = Fault(error_class, "no")
    record = apply(lifecycle.fail(1, job_from_record(claimed()), fault, cost_usd=Decimal(0), now_ms=2), claimed())
    assert lifecycle.revivable(job_from_record(record)) is expected


def test_only_an_untouched_pending_job_expires() -> None:
    pending = created()
    job = job_from_record(pending)
    assert apply(lifecycle.expire(job, 9), pending)["error_class"] == "expired"
    with pytest.raises(StaleWriteError):
        apply(lifecycle.expire(job, 9), claimed())


@pytest.mark.parametrize("stage", list(Stage))
def test_a_job_whose_paid_call_is_open_is_held_and_not_expired_at_no_cost(stage: Stage) -> None:
    pending = {**created(), "attempt_count": 1, "stage": stage, "reference": "p1"}
    record = apply(lifecycle.expire(job_from_record(pending), 9), pending)
    assert (record["state"], record["error_class"], record["stage"]) == (State.HELD, ErrorClass.EXPIRED, stage)
    assert "cost_usd" not in record


class Life(RuleBasedStateMachine):
    """Several owners, each acting on what it last saw, on one record."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.record = created()
        self.seen = job_from_record(self.record)
        self.owners: list[int] = []
        self.open_calls: set[int] = set()

    def attempt(self, write: Write) -> bool:
        before = dict(self.record)
        try:
            self.record = apply(write, self.record)
        except StaleWriteError:
            assert self.record == before
            return False
        assert self.record.get("attempt_count", 0) >= before.get("attempt_count", 0)
        return True

    @rule(milliseconds=st.integers(1, 2 * LEASE_MS))
    def time_passes(self, milliseconds: int) -> None:
        self.now_ms += milliseconds

    @rule()
    def somebody_reads(self) -> None:
        self.seen = job_from_record(self.record)

    @rule()
    def first_claim(self) -> None:
        if self.attempt(lifecycle.claim_to_submit("w", self.now_ms, LEASE_MS)):
            self.owners.append(1)
            self.open_calls.add(1)

    @rule()
    def claim_what_was_seen(self) -> None:
        held_by_other = self.record["state"] == State.RUNNING and self.record["lease_expires_at"] > self.now_ms
        if self.attempt(lifecycle.claim_to_look(self.seen, "w", self.now_ms, LEASE_MS)):
            assert not held_by_other
            self.owners.append(self.seen.attempt_count + 1)

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), name=st.sampled_from(sorted(owner_writes(1, job_from_record(created())))))
    def an_owner_acts(self, data: st.DataObject, name: str) -> None:
        fence = data.draw(st.sampled_from(self.owners))
        is_owner = self.record["state"] == State.RUNNING and self.record["attempt_count"] == fence
        happened = self.attempt(owner_writes(fence, job_from_record(self.record))[name])
        assert not happened or is_owner
        if happened and name == "announce":
            assert not self.open_calls, "a second paid call was announced while one was open"
            self.open_calls.add(fence)
        if happened and name in ("withdraw", "give_back", "fail", "succeed"):
            self.open_calls.clear()

    @rule(batch=st.sampled_from(["b", "c"]))
    def a_batch_joins(self, batch: str) -> None:
        ended = self.record["state"] in (State.SUCCESS, State.FAILED)
        assert self.attempt(lifecycle.join(batch)) is not ended

    @invariant()
    def the_record_can_be_read(self) -> None:
        job_from_record(self.record)

    @invariant()
    def a_success_has_its_picture_and_no_open_call(self) -> None:
        if self.record["state"] == State.SUCCESS:
            assert self.record["image_key"]
            assert "stage" not in self.record


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLife: Callable[..., Any] = Life.TestCase
