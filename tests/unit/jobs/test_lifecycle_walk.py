"""Random lives of one job: owners, news of its calls, the operator and batches, each acting on what it last saw."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from functions.core.jobs import demand, lifecycle, news, operator
from functions.core.jobs.records import Job, Stage, State
from functions.core.writes import StaleWriteError, Write
from tests.fakes.lane import JOB, PRICE
from tests.fakes.races import StandingClock
from tests.fakes.records import BROKEN, BUSY, LEASE_MS, LOST, created, finish, seen, succeed
from tests.fakes.stores import MemoryJobs

ENDINGS = ("give_back", "fail", "hold", "repay")
OWNER_WRITES: dict[str, Callable[[int, Job, int], Write]] = {
    "announce": lambda fence, job, now: lifecycle.announce(fence, job, now),
    "withdraw": lambda fence, job, now: lifecycle.withdraw(fence, now),
    "accept": lambda fence, job, now: lifecycle.accept(
        fence, reference=reference(fence), response_code=200, leaving=bool(now % 2), now_ms=now
    ),
    "doubt": lambda fence, job, now: lifecycle.doubt(fence, LOST, now),
    "heartbeat": lambda fence, job, now: lifecycle.heartbeat(fence, now, LEASE_MS),
    "leave": lambda fence, job, now: lifecycle.leave(fence, job, now),
    "give_back": lambda fence, job, now: lifecycle.give_back(fence, job, _fault(job), now),
    "succeed": lambda fence, job, now: succeed(fence, job),
    "fail": lambda fence, job, now: lifecycle.fail(fence, job, _fault(job), price_usd=PRICE, now_ms=now),
    "hold": lambda fence, job, now: lifecycle.hold(fence, job, LOST, now),
    "repay": lambda fence, job, now: lifecycle.repay(fence, job, LOST, now),
}


def reference(attempt: int) -> str:
    """The provider's name for the call that an attempt announced."""
    return f"p{attempt}"


def _fault(job: Job) -> Any:
    return BROKEN if job.stage is Stage.ACCEPTED else BUSY


class Life(RuleBasedStateMachine):
    """Every call that is announced may be taken by the provider, and then it makes the picture some day."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.jobs = MemoryJobs()
        self.jobs.records[JOB] = created()
        self.views: list[Job] = [self.job]
        self.owners: dict[int, Job] = {}
        self.announced: set[int] = set()
        self.taken: set[int] = set()
        self.picture_kept = False

    @property
    def job(self) -> Job:
        return seen(self.jobs.records[JOB])

    def write(self, write: Write) -> bool:
        before = dict(self.jobs.records[JOB])
        try:
            self.jobs.write(JOB, write)
        except StaleWriteError:
            assert self.jobs.records[JOB] == before
            return False
        assert self.job.attempt_count >= before.get("attempt_count", 0)
        return True

    def view(self, data: st.DataObject) -> Job:
        """The job as it is, or as somebody saw it a while ago."""
        return data.draw(st.sampled_from([self.job, *self.views[-3:]]))

    @rule(milliseconds=st.integers(1, 2 * LEASE_MS))
    def time_passes(self, milliseconds: int) -> None:
        self.now_ms += milliseconds

    @rule()
    def somebody_reads(self) -> None:
        self.views.append(self.job)

    @rule()
    def first_claim(self) -> None:
        if self.write(lifecycle.claim_to_submit("w", self.now_ms, LEASE_MS)):
            self.owners[1] = self.job
            self.announced.add(1)

    @rule(data=st.data())
    def claim_what_was_seen(self, data: st.DataObject) -> None:
        owned = self.job.state is State.RUNNING and self.job.lease_expires_at > self.now_ms
        view = self.view(data)
        if self.write(lifecycle.claim_to_look(view, "w", self.now_ms, LEASE_MS)):
            assert not owned
            self.owners[view.attempt_count + 1] = self.job

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), name=st.sampled_from(sorted(OWNER_WRITES)))
    def an_owner_acts(self, data: st.DataObject, name: str) -> None:
        fence = data.draw(st.sampled_from(sorted(self.owners)))
        view, before = self.owners[fence], self.job
        if name == "accept" and not self.is_taken(fence):
            return
        if name == "succeed" and view.stage is not Stage.ACCEPTED:
            return
        if name == "withdraw" and (fence in self.taken or view.call_attempt != fence):
            return
        happened = self.write(OWNER_WRITES[name](fence, view, self.now_ms))
        is_owner = before.state is State.RUNNING and before.attempt_count == fence
        assert is_owner or not happened
        if is_owner:
            self.owners[fence] = self.job
        if happened and name in ENDINGS:
            assert before.stage is view.stage, "something was concluded in spite of news"
        if happened and name == "announce":
            assert before.stage is None, "a second paid call was announced while one was open"
            self.announced.add(fence)
        if happened and name == "withdraw":
            self.announced.discard(fence)

    def is_taken(self, attempt: int) -> bool:
        """Let the provider take a call that was announced."""
        if attempt in self.announced:
            self.taken.add(attempt)
        return attempt in self.announced

    @precondition(lambda self: self.announced)
    @rule(data=st.data())
    def the_provider_takes_a_call(self, data: st.DataObject) -> None:
        self.is_taken(data.draw(st.sampled_from(sorted(self.announced))))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def a_call_is_known_to_be_taken(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.taken)))
        self.tell(self.view(data), attempt)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def a_callback_brings_the_picture(self, data: st.DataObject) -> None:
        attempt, view = data.draw(st.sampled_from(sorted(self.taken))), self.view(data)
        if view.state is not State.SUCCESS:
            self.write(finish(view, reference(attempt)))

    def tell(self, view: Job, attempt: int) -> None:
        news.taken(
            self.jobs,
            StandingClock(self.now_ms),
            lambda event, **fields: None,
            view,
            attempt,
            reference(attempt),
            PRICE,
        )

    @rule(data=st.data(), paid=st.booleans())
    def the_operator_gives_up(self, data: st.DataObject, paid: bool) -> None:
        view = self.view(data)
        uncounted = view.stage is Stage.ACCEPTED and view.reference not in view.settled_calls
        self.write(operator.give_up(view, cost_usd=PRICE * (paid and uncounted), now_ms=self.now_ms))

    @rule(data=st.data())
    def the_operator_looks_again(self, data: st.DataObject) -> None:
        found = data.draw(st.sampled_from(["", *map(reference, sorted(self.taken))]))
        self.write(operator.look_again(self.view(data), reference=found, now_ms=self.now_ms))

    @rule(data=st.data(), repays=st.booleans())
    def the_operator_resubmits(self, data: st.DataObject, repays: bool) -> None:
        self.write(operator.resubmit(self.view(data), repays=repays, price_usd=PRICE, now_ms=self.now_ms))

    @rule(batch=st.sampled_from(["b", "c"]))
    def a_batch_joins(self, batch: str) -> None:
        assert self.write(demand.join(batch)) is not self.job.state.ended

    @rule(data=st.data(), batch=st.sampled_from(["b", "c"]))
    def a_batch_revives(self, data: st.DataObject, batch: str) -> None:
        self.write(demand.revive(self.view(data), batch, self.now_ms))

    @rule(data=st.data())
    def a_job_expires(self, data: st.DataObject) -> None:
        self.write(demand.expire(self.view(data), self.now_ms))

    @invariant()
    def each_payment_that_is_known_is_counted_once(self) -> None:
        job = self.job
        known = {*job.settled_calls, *([job.reference] if job.state is State.SUCCESS else [])}
        assert (job.cost_usd or Decimal(0)) == PRICE * len(known)
        assert known <= {reference(attempt) for attempt in self.taken}

    @invariant()
    def a_success_stays_one(self) -> None:
        if self.job.state is State.SUCCESS:
            assert self.job.image_key
            assert self.job.stage is None
            self.picture_kept = True
        assert not self.picture_kept or self.job.state is State.SUCCESS

    @invariant()
    def the_held_are_marked_and_nobody_else_is(self) -> None:
        held = self.job.state is State.HELD
        assert ("held" in self.jobs.records[JOB]) is ("held_at" in self.jobs.records[JOB]) is held

    @invariant()
    def the_running_have_an_owner_and_nobody_else_has(self) -> None:
        running = self.job.state is State.RUNNING
        assert ("owner" in self.jobs.records[JOB]) is ("lease_expires_at" in self.jobs.records[JOB]) is running

    @invariant()
    def an_open_call_is_one_that_was_announced(self) -> None:
        job = self.job
        if job.stage is not None:
            assert job.call_attempt in self.announced
            assert job.call_attempt <= job.attempt_count
        if job.stage is Stage.ACCEPTED:
            assert job.reference

    def teardown(self) -> None:
        """In the end the truth of every call comes out, and each that was taken is paid for: once."""
        for attempt in sorted(self.taken):
            if self.job.state is State.SUCCESS:
                self.tell(self.job, attempt)
            else:
                assert self.write(finish(self.job, reference(attempt)))
        if self.taken:
            assert self.job.cost_usd == PRICE * len(self.taken)


Life.TestCase.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
TestLife: Callable[..., Any] = Life.TestCase
