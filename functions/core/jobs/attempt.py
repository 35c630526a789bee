"""One worker's turn with one job, from the claim to whatever came of it.

claim ─┬─ never tried: announced in the same write ────────► submit ─┬─► accepted ─► poll ─┬► picture ─► success
       └─ tried before: stored already? ────────► success            │                     └► leave to the callback
                        accepted? ─────────────► poll                ├─► refused ─► later, or failed
                        answer lost? ──────────► reconcile           └─► answer lost ─► later: reconcile
                        nothing open? announce ► submit
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from functools import cached_property, partial
from typing import TypeVar

from functions.core.catalog import OnAmbiguous
from functions.core.errors import CorruptPictureError, ErrorClass, Fault, StorageError
from functions.core.input.identity import PictureSpec
from functions.core.jobs import lifecycle, news
from functions.core.jobs.asking import ASK_SECONDS, FETCH_SECONDS, Asking
from functions.core.jobs.lease import Lease
from functions.core.jobs.reconcile import Verdict, reconcile
from functions.core.jobs.records import Job, Stage, State, job_from_record
from functions.core.jobs.retry import delay_before_retry
from functions.core.jobs.services import STORE_SECONDS, Finished, Later, Outcome, Services
from functions.core.jobs.vault import StoredPicture
from functions.core.lanes.pacer import Flight
from functions.core.messages import DeadLetter, dump
from functions.core.ports import (
    Accepted,
    Ambiguous,
    Completed,
    Gone,
    NotSent,
    Output,
    PollAnswer,
    PollError,
    Refused,
    SubmitAnswer,
    Working,
)
from functions.core.writes import StaleWriteError, Write

FETCHES = 3
"""Downloads of one finished picture within one try: broken bytes are often whole the next time."""

POLL_FIRST_SECONDS = 0.5
POLL_MOST_SECONDS = 3.0
POLL_GROWTH = 1.4

LOOK_AGAIN_SECONDS = 10
"""Between two looks at a call whose outcome is open."""

LAST_LOOK_SECONDS = 3.0
"""How long a poll after leaving may take: nobody waits for it."""

NOT_SENT_SECONDS = 2
"""Before the next try of a call that did not leave in time: whatever was slow may still be."""

UNKNOWN = 404
"""Status of a poll for a prediction that the provider does not know."""

OPEN_PATIENCE_SECONDS = 3600
"""How long a call may go on, or the provider be out of reach, before the model's policy decides or the job is held."""

INSIST_SECONDS = 60
"""How long a write is tried again that tells what only this worker knows; the next owner then has to find it out."""

_T = TypeVar("_T")


class Attempt:
    """A claimed job and its owner's fencing token. Every write is conditional on that token.

    Raises:
        StaleWriteError: from any method, when another owner has taken the job.
    """

    def __init__(self, services: Services, job: Job, lease: Lease, flight: Flight) -> None:
        self._services = services
        self._lease = lease
        self._flight = flight
        self._job = job
        self._fence = job.attempt_count
        self._asking = Asking(services.clock, self._log)

    @cached_property
    def _spec(self) -> PictureSpec:
        return self._job.asked_for()

    @property
    def _price(self) -> Decimal:
        """What the open call costs."""
        return self._job.price(self._services.api.price(self._spec), self._services.model.price_usd)

    async def first(self, announced_at: float) -> Outcome:
        """Go on from a claim that announced the paid call at this reading of the monotonic clock."""
        return await self._guarded(self._submit(announced_at))

    async def again(self) -> Outcome:
        """Go on from a claim of a job that was tried before."""
        return await self._guarded(self._look())

    async def _guarded(self, work: Awaitable[Outcome]) -> Outcome:
        try:
            return await work
        except StaleWriteError as stale:
            job = job_from_record(stale.record)
            if job.state is not State.RUNNING or job.attempt_count != self._fence:
                raise
            # Still ours: somebody brought news of the call while we were about to conclude something from it.
            self._job = job
            await self._write(lifecycle.leave(self._fence, job, self._services.clock.now_ms()))
            return Later(0)
        except StorageError as error:
            return await self._fail_or_retry(Fault(ErrorClass.STORAGE, str(error), resumable=True))
        except CorruptPictureError as error:
            return await self._fail_or_retry(Fault(ErrorClass.CORRUPT, str(error), resumable=True))

    async def _look(self) -> Outcome:
        open_call = self._job.stage is not None
        if self._job.idle_claims >= (lifecycle.MAX_IDLE_LOOKS if open_call else lifecycle.MAX_IDLE_CLAIMS):
            fault = Fault(ErrorClass.POISON, "every worker that took the job ended without an outcome")
            return await (self._hold(fault) if open_call else self._fail(fault))
        stored = await asyncio.to_thread(self._services.vault.find, self._job.job_id, self._spec)
        if stored is not None:
            made_by = self._services.model.provider_model
            await asyncio.to_thread(self._services.vault.describe, self._job, stored, made_by)
            return await self._succeed(stored)
        if self._job.stage is Stage.ACCEPTED:
            return await self._poll()
        if self._job.payment_unknown:
            return await self._reconcile()
        if not self._fits(self._services.model.timeout_seconds):
            await self._write(lifecycle.leave(self._fence, self._job, self._services.clock.now_ms()))
            return Later(0)
        announced_at = self._services.clock.monotonic()
        try:
            price = self._flight.pacer.bucket.pace.price_usd
            await self._write(lifecycle.announce(self._fence, self._job, self._services.clock.now_ms(), price))
        except StaleWriteError as stale:
            job = job_from_record(stale.record)
            # A repeated request has met what it wrote: nobody else can announce a call under our fencing token.
            if job.state is not State.RUNNING or job.call_attempt != self._fence or not job.payment_unknown:
                raise
            self._job = job
        return await self._submit(announced_at)

    async def _submit(self, announced_at: float) -> Outcome:
        with self._lease.to_its_end():
            answer = await self._answer(announced_at)
            outcome = await self._written_down(answer)
        await self._flight.answered(answer)
        if outcome is not None:
            return outcome
        match answer:
            case Refused(fault):
                return await self._insist("refused", partial(self._fail_or_retry, fault))
            case Completed(output):
                return await self._take(output)
            case _:
                return await self._poll()

    async def _answer(self, announced_at: float) -> SubmitAnswer:
        call = self._services.api.submit(
            self._spec,
            job_id=self._job.job_id,
            callback_url=self._callback_url,
            not_after=announced_at + lifecycle.SUBMIT_WITHIN_SECONDS,
        )
        try:
            return await self._asking.ask("submit", call, self._services.model.timeout_seconds)
        except TimeoutError:
            return Ambiguous(Fault(ErrorClass.AMBIGUOUS, "the answer to the submit did not come in time"))

    async def _written_down(self, answer: SubmitAnswer) -> Outcome | None:
        """Write down what became of the call, as only this worker knows. No outcome: the job is ours, and goes on."""
        now_ms = self._services.clock.now_ms()
        match answer:
            case Accepted(reference, code):
                leaving = bool(self._callback_url) and not self._services.model.inline_seconds
                return await self._accepted(reference, code, leaving=leaving)
            case Completed(_, code, reference) if reference:
                return await self._accepted(reference, code, leaving=False)
            case Ambiguous(fault):
                until = self._flight.until_after(self._services.model.timeout_seconds)
                doubt = lifecycle.doubt(self._fence, fault, now_ms, until)
                await self._insist(doubt.name, partial(self._write, doubt))
                await self._flight.leave(until)
                return Later(LOOK_AGAIN_SECONDS)
            case NotSent():
                withdraw = lifecycle.withdraw(self._fence, now_ms)
                await self._insist(withdraw.name, partial(self._write, withdraw))
                return Later(NOT_SENT_SECONDS)
        return None

    async def _accepted(self, reference: str, code: int, *, leaving: bool) -> Outcome | None:
        """Write the reference down, whoever owns the job by now."""
        until = self._flight.until_after(self._services.model.patience_seconds) if leaving else 0
        accept = lifecycle.accept(
            self._fence,
            reference=reference,
            response_code=code,
            leaving=leaving,
            now_ms=self._services.clock.now_ms(),
            flight_until=until,
        )
        try:
            await self._insist(accept.name, partial(self._write, accept))
        except StaleWriteError as stale:
            ours, price = self._services, self._price
            seen, attempt = job_from_record(stale.record), self._job.call_attempt
            tell = partial(news.taken, ours.jobs, ours.clock, ours.log, seen, attempt, reference, price)
            after = await self._insist("news", partial(asyncio.to_thread, tell))
            if after.state is not State.RUNNING or after.attempt_count != self._fence:
                return Finished() if after.state.ended else Later(LOOK_AGAIN_SECONDS)
            # The callback was faster than the answer, and left the picture to us.
            self._job = after
            return None
        if not leaving:
            return None
        # After the reference is written down, which nobody else knows.
        await self._flight.leave(until)
        return Later(self._services.model.patience_seconds)

    @cached_property
    def _callback_url(self) -> str:
        """Where the outcome of a call of this attempt comes to; of an open call, whether it comes."""
        return self._services.callback_url(self._job.job_id, self._fence)

    async def _poll(self) -> Outcome:
        """Poll until the picture is there, it is the callback's turn or the invocation nears its end."""
        model = self._services.model
        seconds = model.inline_seconds if self._callback_url else model.timeout_seconds
        started = self._services.clock.monotonic()
        pause = POLL_FIRST_SECONDS
        fault: Fault | None = None
        while self._fits(pause + ASK_SECONDS):
            await self._services.clock.sleep(pause)
            try:
                answer = await self._asking.read("poll", self._services.api.poll(self._job.reference), ASK_SECONDS)
            except PollError as error:
                if self._job.reference_claimed and error.fault.response_code == UNKNOWN:
                    return await self._disown("is not known to the provider", UNKNOWN)
                fault, answer = error.fault, Working()
            else:
                fault = None
            if (ended := await self._ended_by(answer)) is not None:
                return ended
            rest = seconds - (self._services.clock.monotonic() - started)
            if rest < POLL_FIRST_SECONDS:
                break
            pause = min(pause * POLL_GROWTH, POLL_MOST_SECONDS, rest)
        outcome = await self._come_back(fault)
        left = isinstance(outcome, Later) and self._callback_url and fault is None
        return (await self._last_look() if left else None) or outcome

    async def _disown(self, why: str, code: int | None) -> Outcome:
        """The operator has named a prediction that is not there, or that failed.

        One that failed proves nothing of the job's own call: to submit anew for it is the operator's to say.
        """
        named = f"the prediction '{self._job.reference}' that was named {why}"
        fault = Fault(ErrorClass.AMBIGUOUS, named, code)
        await self._write(lifecycle.disown(self._fence, self._job, fault, self._services.clock.now_ms()))
        return self._ended("held", fault.error_class)

    async def _ended_by(self, answer: PollAnswer) -> Outcome | None:
        """What comes of an answer to a poll; nothing while the provider is at work."""
        match answer:
            case Completed(output):
                return await self._take(output)
            case Refused(fault) if self._job.reference_claimed:
                return await self._disown(f"failed ({fault.message})", fault.response_code)
            case Refused(fault):
                return await self._fail_or_retry(fault)
            case Gone(fault):
                return await self._hold(fault)
            case Working():
                return None

    async def _last_look(self) -> Outcome | None:
        """Poll once more after leaving: a callback that came just before then has left the picture to us."""
        with suppress(PollError):
            answer = await self._asking.read("poll", self._services.api.poll(self._job.reference), LAST_LOOK_SECONDS)
            return await self._ended_by(answer)
        return None

    async def _come_back(self, fault: Fault | None) -> Outcome:
        """The provider works on or cannot be asked: leave, and hold in the end. It is never asked to start anew."""
        now_ms = self._services.clock.now_ms()
        since_ms = self._job.unreachable_since if fault else self._job.waiting_since
        if since_ms and now_ms - since_ms > OPEN_PATIENCE_SECONDS * 1000:
            if self._job.payment_unknown:
                return await self._hold_or_repay()
            return await self._hold(
                Fault(ErrorClass.TIMEOUT, fault.message if fault else "the provider does not finish")
            )
        comes_by_itself = self._callback_url and fault is None and self._job.stage is Stage.ACCEPTED
        seconds = self._services.model.patience_seconds if comes_by_itself else LOOK_AGAIN_SECONDS
        until = await self._leave_flight(seconds)
        unreachable = fault is not None
        await self._write(lifecycle.leave(self._fence, self._job, now_ms, unreachable=unreachable, flight_until=until))
        return Later(seconds)

    async def _leave_flight(self, seconds: float) -> int:
        """Leave the open call to itself for so long; the second until which it is held.

        Before the record says so: a crash in between counts the call for too long, and not one too few.
        """
        until = self._flight.until_after(seconds)
        await self._flight.leave(until)
        return until

    async def _take(self, output: Output) -> Outcome:
        """Fetch, check and store the finished picture."""
        made_by = self._services.model.provider_model
        for fetch in range(1, FETCHES + 1):
            if not self._fits(FETCH_SECONDS):
                outcome = await self._come_back(None)
                comes_again = isinstance(outcome, Later) and self._job.stage is Stage.ACCEPTED
                return Later(0) if comes_again else outcome
            try:
                data = await self._asking.read("fetch", self._services.api.fetch(output), FETCH_SECONDS)
                stored = await asyncio.to_thread(self._services.vault.keep, self._job, self._spec, data, made_by)
            except (PollError, CorruptPictureError) as error:
                if fetch == FETCHES:
                    return await self._fail_or_retry(_not_taken(error))
                await self._services.clock.sleep(self._services.uniform(0.0, POLL_FIRST_SECONDS * 2**fetch))
            else:
                self._flight.took((self._services.clock.now_ms() - self._job.submitting_at) / 1000)
                return await self._succeed(stored)
        raise AssertionError("unreachable: the last fetch returns")

    async def _reconcile(self) -> Outcome:
        """A submit's answer is lost: make the call anew only if it never arrived."""
        try:
            verdict = await reconcile(self._services, self._asking, self._job)
        except PollError as error:
            return await self._come_back(error.fault)
        match verdict:
            case Verdict.ABSENT:
                code = self._job.last_response_code
                return await self._fail_or_retry(Fault(ErrorClass.PROVIDER_ERROR, "the submit did not arrive", code))
            case Verdict.DOUBTFUL:
                return await self._hold_or_repay()
            case Verdict.OPEN:
                until = await self._leave_flight(LOOK_AGAIN_SECONDS)
                now_ms = self._services.clock.now_ms()
                await self._write(lifecycle.leave(self._fence, self._job, now_ms, flight_until=until))
                return Later(LOOK_AGAIN_SECONDS)

    async def _hold_or_repay(self) -> Outcome:
        """The call may have been taken, and nobody can find out: the model's policy decides."""
        why = "the answer to the submit was lost, and the provider may have taken it"
        fault = Fault(ErrorClass.AMBIGUOUS, why)
        if self._services.model.on_ambiguous is not OnAmbiguous.REPAY or self._job.repays:
            return await self._hold(fault)
        await self._write(lifecycle.repay(self._fence, self._job, fault, self._services.clock.now_ms()))
        self._log("repaid", error_class=fault.error_class)
        return Later(0)

    async def _hold(self, fault: Fault) -> Outcome:
        await self._write(lifecycle.hold(self._fence, self._job, fault, self._services.clock.now_ms()))
        return self._ended("held", fault.error_class)

    def _fits(self, seconds: float) -> bool:
        """Whether the invocation has time for something and for storing what comes of it."""
        return self._services.remaining() > seconds + STORE_SECONDS

    async def _succeed(self, stored: StoredPicture) -> Outcome:
        now_ms = self._services.clock.now_ms()
        await self._write(
            lifecycle.succeed(
                self._fence,
                self._job,
                stored.picture,
                reference=stored.reference,
                image_key=stored.key,
                price_usd=self._price,
                latency_ms=max(0, now_ms - self._job.submitting_at),
                now_ms=now_ms,
            )
        )
        return self._ended("success", None)

    async def _fail_or_retry(self, fault: Fault) -> Outcome:
        # A job is not failed while nobody knows whether it was paid for, nor while its paid picture is still to be had.
        # Broken bytes are: they may never be any better.
        passes = fault.resumable and fault.error_class is not ErrorClass.CORRUPT
        if (self._job.payment_unknown and fault.resumable) or (self._job.stage is Stage.ACCEPTED and passes):
            return await self._come_back(fault)
        delay = delay_before_retry(fault, self._job.tries, self._services.model, self._services.uniform)
        if delay is None:
            return await self._fail(fault)
        await self._write(lifecycle.give_back(self._fence, self._job, fault, self._services.clock.now_ms()))
        self._log("retry", error_class=fault.error_class, status=fault.response_code, delay_seconds=round(delay, 1))
        return Later(delay)

    async def _fail(self, fault: Fault) -> Outcome:
        """Leave what is known of the job for triage, then mark it failed. A picture that was paid for stays counted.

        In this order a crash in between leaves a letter too many, and never one too few.
        """
        letter = DeadLetter(
            job_id=self._job.job_id,
            model=self._job.model,
            batch_id=self._job.batch_id,
            error_class=fault.error_class,
            error_message=fault.message,
            last_response_code=fault.response_code,
            attempt_count=self._fence,
            tries={**self._job.tries, fault.error_class: self._job.tries.get(fault.error_class, 0) + 1},
        )
        await asyncio.to_thread(self._services.dead_letters.send, [dump(letter)])
        now_ms = self._services.clock.now_ms()
        await self._write(lifecycle.fail(self._fence, self._job, fault, price_usd=self._price, now_ms=now_ms))
        return self._ended("failed", fault.error_class)

    async def _write(self, write: Write) -> None:
        self._job = await asyncio.to_thread(self._services.jobs.write, self._job.job_id, write)

    async def _insist(self, name: str, step: Callable[[], Awaitable[_T]]) -> _T:
        """Write what only this worker knows: tried until it is written, the lease is lost or the time is up."""
        clock = self._services.clock
        until = clock.monotonic() + min(INSIST_SECONDS, self._services.remaining() - STORE_SECONDS)
        while True:
            try:
                return await step()
            except StaleWriteError:
                raise
            except Exception as error:
                if clock.monotonic() > until:
                    raise
                self._log("write_failed", write=name, error=type(error).__name__)
                await clock.sleep(self._services.uniform(0.5, 2.0))

    def _ended(self, outcome: str, error_class: ErrorClass | None) -> Outcome:
        self._log("job_ended", outcome=outcome, error_class=error_class, latency_ms=self._job.latency_ms)
        return Finished()

    def _log(self, event: str, **fields: str | int | float | None) -> None:
        self._services.log(event, job_id=self._job.job_id, attempt=self._fence, model=self._job.model, **fields)


def _not_taken(error: PollError | CorruptPictureError) -> Fault:
    if isinstance(error, PollError):
        return error.fault
    return Fault(ErrorClass.CORRUPT, str(error), resumable=True)
