"""One worker's turn with one job, from the claim to whatever came of it.

claim ─┬─ never tried: announced in the same write ────────► submit ─┬─► accepted ─► poll ─► picture ─► success
       └─ tried before: stored already? ────────► success            ├─► refused ─► later, or failed
                        accepted? ─────────────► poll                └─► answer lost ─► later: reconcile
                        answer lost? ──────────► reconcile: absent ─► later; otherwise held in the end
                        nothing open? announce ► submit
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

from functions.core.catalog import Model
from functions.core.errors import CorruptPictureError, ErrorClass, Fault, StorageError
from functions.core.input.identity import PictureSpec, spec_from_json
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Job, Stage
from functions.core.jobs.retry import delay_before_retry
from functions.core.jobs.vault import StoredPicture, Vault
from functions.core.keys import seed_for
from functions.core.messages import DeadLetter, dump
from functions.core.ports import (
    Accepted,
    Ambiguous,
    Clock,
    Completed,
    EventLog,
    ImageApi,
    JobStore,
    NotSent,
    Output,
    PollError,
    Queue,
    Refused,
    Working,
)
from functions.core.writes import StaleWriteError, Write

FETCHES = 3
"""Downloads of one finished picture within one try: broken bytes are often whole the next time."""

POLL_FIRST_SECONDS = 0.5
POLL_MOST_SECONDS = 3.0
POLL_GROWTH = 1.4

ASK_SECONDS = 20.0
FETCH_SECONDS = 30.0
"""How long a poll or a listing, and a download, may take as a whole."""

STORE_SECONDS = 15.0
"""What checking, storing and writing down a picture may take after the provider's time is up."""

LOOK_AGAIN_SECONDS = 10
"""Between two looks at a call whose outcome is open."""

NOT_SENT_SECONDS = 2
"""Before the next try of a call that did not leave in time: whatever was slow may still be."""

ANSWERED_SETTLES_SECONDS = 10
"""After an error answer of the provider's own, a call that it took all the same is listed within this time."""

PATIENCE_SECONDS = 180
"""How long a lost answer is looked for, once it should be listed, before the job is held."""

OPEN_PATIENCE_SECONDS = 3600
"""How long a call may go on without the provider saying what became of it before the job is held."""

GATEWAY_CODES = frozenset({502, 503, 504, *range(520, 531)})
"""Answers of a gateway before the provider: they do not say what the provider has done or will still do."""

CLOCK_SKEW_SECONDS = 60
"""By how much the provider's clock and ours may differ when its listing is read."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Finished:
    """The message has done its work and goes."""


@dataclass(frozen=True, slots=True)
class Later:
    """The message comes back, after so many seconds."""

    seconds: float


Outcome = Finished | Later


@dataclass(frozen=True, slots=True)
class Services:
    """What an attempt works with. `uniform` draws from an interval; `remaining` is what is left of the invocation, in
    seconds."""

    model: Model
    api: ImageApi
    jobs: JobStore
    vault: Vault
    dead_letters: Queue
    clock: Clock
    log: EventLog
    uniform: Callable[[float, float], float]
    remaining: Callable[[], float]


class Attempt:
    """A claimed job and its owner's fencing token. Every write is conditional on that token.

    Raises:
        StaleWriteError: from any method, when another owner has taken the job.
    """

    def __init__(self, services: Services, job: Job) -> None:
        self._services = services
        self._job = job
        self._fence = job.attempt_count

    @cached_property
    def _spec(self) -> PictureSpec:
        spec = spec_from_json(self._job.spec)
        return spec if spec.seed is not None else replace(spec, seed=seed_for(self._job.job_id))

    async def first(self, announced_at: float) -> Outcome:
        """Go on from a claim that announced the paid call at this reading of the monotonic clock."""
        return await self._guarded(self._submit(announced_at))

    async def again(self) -> Outcome:
        """Go on from a claim of a job that was tried before."""
        return await self._guarded(self._look())

    async def _guarded(self, work: Awaitable[Outcome]) -> Outcome:
        try:
            return await work
        except StorageError as error:
            return await self._fail_or_retry(Fault(ErrorClass.STORAGE, str(error), resumable=True))
        except CorruptPictureError as error:
            return await self._fail_or_retry(Fault(ErrorClass.CORRUPT, str(error), resumable=True))

    async def _look(self) -> Outcome:
        if self._job.idle_claims >= lifecycle.MAX_IDLE_CLAIMS:
            why = "every worker that took the job ended without an outcome"
            return await self._fail(Fault(ErrorClass.POISON, why, resumable=True))
        stored = await asyncio.to_thread(self._services.vault.find, self._job.job_id, self._spec)
        if stored is not None:
            made_by = self._services.model.provider_model
            await asyncio.to_thread(self._services.vault.describe, self._job, stored, made_by)
            return await self._succeed(stored)
        if self._job.stage is Stage.ACCEPTED:
            return await self._poll()
        if self._job.payment_unknown:
            return await self._reconcile()
        announced_at = self._services.clock.monotonic()
        await self._write(lifecycle.announce(self._fence, self._services.clock.now_ms()))
        return await self._submit(announced_at)

    async def _submit(self, announced_at: float) -> Outcome:
        not_after = announced_at + lifecycle.SUBMIT_WITHIN_SECONDS
        call = self._services.api.submit(self._spec, job_id=self._job.job_id, not_after=not_after)
        try:
            answer = await self._asked("submit", call, self._services.model.timeout_seconds)
        except TimeoutError:
            answer = Ambiguous(Fault(ErrorClass.AMBIGUOUS, "the answer to the submit did not come in time"))
        now_ms = self._services.clock.now_ms()
        match answer:
            case Accepted(reference, code):
                await self._write_down(
                    lifecycle.accept(self._fence, reference=reference, response_code=code, now_ms=now_ms)
                )
                return await self._poll()
            case Completed(output, _):
                return await self._take(output)
            case Refused(fault):
                return await self._fail_or_retry(fault)
            case Ambiguous(fault):
                await self._write_down(lifecycle.doubt(self._fence, fault, now_ms))
                return Later(LOOK_AGAIN_SECONDS)
            case NotSent():
                await self._write(lifecycle.withdraw(self._fence, now_ms))
                return Later(NOT_SENT_SECONDS)

    async def _poll(self) -> Outcome:
        """Poll until the picture is there, the model's time is up or the invocation nears its end."""
        started = self._services.clock.monotonic()
        pause = POLL_FIRST_SECONDS
        fault: Fault | None = None
        while self._services.clock.monotonic() - started < self._services.model.timeout_seconds:
            if not self._fits(pause + ASK_SECONDS):
                break
            await self._services.clock.sleep(pause)
            pause = min(pause * POLL_GROWTH, POLL_MOST_SECONDS)
            try:
                answer = await self._read("poll", self._services.api.poll(self._job.reference), ASK_SECONDS)
            except PollError as error:
                fault = error.fault
                continue
            match answer:
                case Completed(output, _):
                    return await self._take(output)
                case Refused(fault):
                    return await self._fail_or_retry(fault)
                case Working():
                    fault = None
        return await self._come_back(fault)

    async def _come_back(self, fault: Fault | None) -> Outcome:
        """The provider works on or cannot be asked: leave, and hold in the end. It is never asked to start anew."""
        now_ms = self._services.clock.now_ms()
        since_ms = self._job.waiting_since
        if since_ms and now_ms - since_ms > OPEN_PATIENCE_SECONDS * 1000:
            why = fault.message if fault else "the provider does not finish"
            await self._write(lifecycle.hold(self._fence, Fault(ErrorClass.TIMEOUT, why), now_ms))
            return self._ended("held", ErrorClass.TIMEOUT)
        await self._write(lifecycle.leave(self._fence, self._job, now_ms))
        return Later(LOOK_AGAIN_SECONDS)

    async def _take(self, output: Output) -> Outcome:
        """Fetch, check and store the finished picture."""
        made_by = self._services.model.provider_model
        for fetch in range(1, FETCHES + 1):
            if not self._fits(FETCH_SECONDS):
                return await self._come_back(None)
            try:
                data = await self._read("fetch", self._services.api.fetch(output), FETCH_SECONDS)
                stored = await asyncio.to_thread(self._services.vault.keep, self._job, self._spec, data, made_by)
            except (PollError, CorruptPictureError) as error:
                if fetch == FETCHES:
                    return await self._fail_or_retry(_not_taken(error))
                await self._services.clock.sleep(self._services.uniform(0.0, POLL_FIRST_SECONDS * 2**fetch))
            else:
                return await self._succeed(stored)
        raise AssertionError("unreachable: the last fetch returns")

    async def _reconcile(self) -> Outcome:
        """A submit's answer is lost. The provider's listing may prove that it never arrived; it is no proof of whose
        prediction is whose, so anything else waits, and is held in the end."""
        now_ms = self._services.clock.now_ms()
        settled_ms = self._settled_ms()
        skew_ms = CLOCK_SKEW_SECONDS * 1000
        listing = self._services.api.predictions(self._job.submitting_at - skew_ms, settled_ms + skew_ms)
        try:
            listed = await self._read("list", listing, ASK_SECONDS)
        except PollError as error:
            return await self._come_back(error.fault)
        candidates = [prediction.reference for prediction in listed if not prediction.failed]
        known = await asyncio.to_thread(self._services.jobs.known_references, candidates)
        if set(candidates) - known:
            if now_ms > settled_ms + PATIENCE_SECONDS * 1000:
                why = "the answer to the submit was lost, and the provider may have taken it"
                await self._write(lifecycle.hold(self._fence, Fault(ErrorClass.AMBIGUOUS, why), now_ms))
                return self._ended("held", ErrorClass.AMBIGUOUS)
        elif now_ms > settled_ms:
            code = self._job.last_response_code
            return await self._fail_or_retry(Fault(ErrorClass.PROVIDER_ERROR, "the submit did not arrive", code))
        await self._write(lifecycle.leave(self._fence, self._job, now_ms))
        return Later(LOOK_AGAIN_SECONDS)

    def _settled_ms(self) -> int:
        """When a submit that is not listed by then was not taken, in epoch milliseconds.

        An answer of the provider's own settles it soon. Without one (or with one of a gateway's, which says that nobody
        has answered) the request may be on its way for as long again as we would have waited for it.
        """
        timeout_ms = round(self._services.model.timeout_seconds * 1000)
        doubted = self._job.error_class is ErrorClass.AMBIGUOUS
        ended_ms = self._job.waiting_since if doubted else self._job.submitting_at + timeout_ms
        answered = doubted and self._job.last_response_code not in (None, *GATEWAY_CODES)
        return ended_ms + ANSWERED_SETTLES_SECONDS * 1000 + (0 if answered else timeout_ms)

    def _fits(self, seconds: float) -> bool:
        """Whether the invocation has time for something and for storing what comes of it."""
        return self._services.remaining() > seconds + STORE_SECONDS

    async def _succeed(self, stored: StoredPicture) -> Outcome:
        now_ms = self._services.clock.now_ms()
        await self._write(
            lifecycle.succeed(
                self._fence,
                stored.picture,
                image_key=stored.key,
                cost_usd=self._services.api.price(self._spec),
                latency_ms=max(0, now_ms - self._job.submitting_at),
                now_ms=now_ms,
            )
        )
        return self._ended("success", None)

    async def _fail_or_retry(self, fault: Fault) -> Outcome:
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
        paid = self._job.stage is Stage.ACCEPTED and fault.resumable
        cost = self._services.api.price(self._spec) if paid else Decimal(0)
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
        await self._write(lifecycle.fail(self._fence, self._job, fault, cost_usd=cost, now_ms=now_ms))
        return self._ended("failed", fault.error_class)

    async def _write(self, write: Write) -> None:
        self._job = await asyncio.to_thread(self._services.jobs.write, self._job.job_id, write)

    async def _write_down(self, write: Write) -> None:
        """Write what only this worker knows: tried until it is written, the lease is lost or the time is up."""
        while True:
            try:
                return await self._write(write)
            except StaleWriteError:
                raise
            except Exception as error:
                if self._services.remaining() < STORE_SECONDS:
                    raise
                self._log("write_failed", write=write.name, error=type(error).__name__)
                await self._services.clock.sleep(self._services.uniform(0.5, 2.0))

    async def _read(self, operation: str, call: Awaitable[_T], seconds: float) -> _T:
        """Await a request that costs nothing.

        Raises:
            PollError: also when it takes longer than it may.
        """
        try:
            return await self._asked(operation, call, seconds)
        except TimeoutError:
            raise PollError(Fault(ErrorClass.NETWORK, "the provider did not answer in time", resumable=True)) from None

    async def _asked(self, operation: str, call: Awaitable[_T], seconds: float) -> _T:
        """Await a request to the provider for so long, and log it.

        Raises:
            TimeoutError: when it takes longer.
        """
        started = self._services.clock.monotonic()
        answer: object = None
        fault: Fault | None = None
        try:
            async with asyncio.timeout(seconds):
                answer = got = await call
            fault = getattr(answer, "fault", None)
        except PollError as error:
            fault = error.fault
            raise
        finally:
            self._log(
                "provider_request",
                operation=operation,
                status=fault.response_code if fault else getattr(answer, "response_code", None),
                reference=getattr(answer, "reference", None),
                error_class=fault.error_class if fault else None,
                latency_ms=round((self._services.clock.monotonic() - started) * 1000),
            )
        return got

    def _ended(self, outcome: str, error_class: ErrorClass | None) -> Outcome:
        self._log("job_ended", outcome=outcome, error_class=error_class, latency_ms=self._job.latency_ms)
        return Finished()

    def _log(self, event: str, **fields: str | int | float | None) -> None:
        self._services.log(event, job_id=self._job.job_id, attempt=self._fence, model=self._job.model, **fields)


def _not_taken(error: PollError | CorruptPictureError) -> Fault:
    if isinstance(error, PollError):
        return error.fault
    return Fault(ErrorClass.CORRUPT, str(error), resumable=True)
