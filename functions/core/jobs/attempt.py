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
from typing import TypeVar

from functions.core.catalog import Model
from functions.core.errors import CorruptPictureError, ErrorClass, Fault, StorageError
from functions.core.input.identity import spec_from_json
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
from functions.core.writes import Write

FETCHES = 3
"""Downloads of one finished picture within one try: broken bytes are often whole the next time."""

POLL_FIRST_SECONDS = 0.5
POLL_MOST_SECONDS = 3.0
POLL_GROWTH = 1.4

LOOK_AGAIN_SECONDS = 10
"""Between two looks at a submit whose answer is lost."""

ANSWERED_SETTLES_SECONDS = 10
"""After an error answer, a call that was taken all the same is listed within this time."""

PATIENCE_SECONDS = 180
"""How long a lost answer is looked for before the job is held."""

OPEN_PATIENCE_SECONDS = 3600
"""How long a call may go on without the provider saying what became of it before the job is held."""

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
        spec = spec_from_json(job.spec)
        self._spec = spec if spec.seed is not None else replace(spec, seed=seed_for(job.job_id))

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
        stored = await asyncio.to_thread(self._services.vault.find, self._job.job_id, self._spec)
        if stored is not None:
            made_by = self._services.model.provider_model
            await asyncio.to_thread(self._services.vault.describe, self._job, stored, made_by)
            return await self._succeed(stored)
        if self._job.idle_claims >= lifecycle.MAX_IDLE_CLAIMS:
            why = "every worker that took the job ended without an outcome"
            return await self._fail(Fault(ErrorClass.POISON, why, resumable=True))
        if self._job.stage is Stage.ACCEPTED:
            return await self._poll()
        if self._job.payment_unknown:
            return await self._reconcile()
        announced_at = self._services.clock.monotonic()
        await self._write(lifecycle.announce(self._fence, self._services.clock.now_ms()))
        return await self._submit(announced_at)

    async def _submit(self, announced_at: float) -> Outcome:
        answer = await self._asked(
            "submit",
            self._services.api.submit(
                self._spec,
                job_id=self._job.job_id,
                not_after=announced_at + lifecycle.SUBMIT_WITHIN_SECONDS,
            ),
        )
        now_ms = self._services.clock.now_ms()
        match answer:
            case Accepted(reference, code):
                write = lifecycle.accept(self._fence, reference=reference, response_code=code, now_ms=now_ms)
                await self._write(write)
                return await self._poll()
            case Completed(output, _):
                return await self._take(output)
            case Refused(fault):
                return await self._fail_or_retry(fault)
            case Ambiguous(fault):
                await self._write(lifecycle.doubt(self._fence, fault, now_ms))
                return Later(LOOK_AGAIN_SECONDS)
            case NotSent():
                await self._write(lifecycle.withdraw(self._fence, now_ms))
                return Later(0)

    async def _poll(self) -> Outcome:
        """Poll until the picture is there, the model's time is up or the invocation nears its end."""
        started = self._services.clock.monotonic()
        pause = POLL_FIRST_SECONDS
        fault: Fault | None = None
        while self._services.clock.monotonic() - started < self._services.model.timeout_seconds:
            if self._services.remaining() < 2 * POLL_MOST_SECONDS:
                break
            await self._services.clock.sleep(pause)
            pause = min(pause * POLL_GROWTH, POLL_MOST_SECONDS)
            try:
                answer = await self._asked("poll", self._services.api.poll(self._job.reference))
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
        if self._submitted_ago() > OPEN_PATIENCE_SECONDS:
            why = fault.message if fault else "the provider does not finish"
            await self._write(lifecycle.hold(self._fence, Fault(ErrorClass.TIMEOUT, why), now_ms))
            return self._ended("held", ErrorClass.TIMEOUT)
        await self._write(lifecycle.leave(self._fence, now_ms))
        return Later(LOOK_AGAIN_SECONDS)

    async def _take(self, output: Output) -> Outcome:
        """Fetch, check and store the finished picture."""
        made_by = self._services.model.provider_model
        for fetch in range(1, FETCHES + 1):
            try:
                data = await self._asked("fetch", self._services.api.fetch(output))
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
        since_ms = self._job.submitting_at - CLOCK_SKEW_SECONDS * 1000
        until_ms = self._job.submitting_at + round(self._settles_after() + CLOCK_SKEW_SECONDS) * 1000
        try:
            listed = await self._asked("list", self._services.api.predictions(since_ms, until_ms))
        except PollError as error:
            return await self._come_back(error.fault)
        candidates = [prediction.reference for prediction in listed if not prediction.failed]
        known = await asyncio.to_thread(self._services.jobs.known_references, candidates)
        lost = Fault(ErrorClass.AMBIGUOUS, "the answer to the submit was lost, and the provider may have taken it")
        if set(candidates) - known:
            if self._submitted_ago() > PATIENCE_SECONDS:
                await self._write(lifecycle.hold(self._fence, lost, now_ms))
                return self._ended("held", ErrorClass.AMBIGUOUS)
        elif self._submitted_ago() > self._settles_after():
            code = self._job.last_response_code
            return await self._fail_or_retry(Fault(ErrorClass.PROVIDER_ERROR, "the submit did not arrive", code))
        await self._write(lifecycle.leave(self._fence, now_ms))
        return Later(LOOK_AGAIN_SECONDS)

    def _settles_after(self) -> float:
        """Seconds after which a submit that is not listed was not taken: an unanswered one may still be on its way."""
        if self._job.last_response_code is not None:
            return ANSWERED_SETTLES_SECONDS
        return self._services.model.timeout_seconds + ANSWERED_SETTLES_SECONDS

    def _submitted_ago(self) -> float:
        return (self._services.clock.now_ms() - self._job.submitting_at) / 1000

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
        """Mark the job failed, then leave what is known of it for triage. A picture that was paid for stays counted."""
        paid = self._job.stage is Stage.ACCEPTED and fault.resumable
        cost = self._services.api.price(self._spec) if paid else Decimal(0)
        now_ms = self._services.clock.now_ms()
        await self._write(lifecycle.fail(self._fence, self._job, fault, cost_usd=cost, now_ms=now_ms))
        letter = DeadLetter(
            job_id=self._job.job_id,
            model=self._job.model,
            batch_id=self._job.batch_id,
            error_class=fault.error_class,
            error_message=fault.message,
            last_response_code=fault.response_code,
            attempt_count=self._fence,
            tries=dict(self._job.tries),
        )
        await asyncio.to_thread(self._services.dead_letters.send, [dump(letter)])
        return self._ended("failed", fault.error_class)

    async def _write(self, write: Write) -> None:
        self._job = await asyncio.to_thread(self._services.jobs.write, self._job.job_id, write)

    async def _asked(self, operation: str, call: Awaitable[_T]) -> _T:
        """Await a request to the provider, and log it."""
        started = self._services.clock.monotonic()
        status: int | None = None
        error_class: str | None = None
        try:
            answer = await call
            fault = getattr(answer, "fault", None)
            status = fault.response_code if fault else getattr(answer, "response_code", None)
            error_class = fault.error_class if fault else None
        except PollError as error:
            status, error_class = error.fault.response_code, error.fault.error_class
            raise
        finally:
            elapsed = round((self._services.clock.monotonic() - started) * 1000)
            self._log(
                "provider_request",
                operation=operation,
                status=status,
                error_class=error_class,
                latency_ms=elapsed,
            )
        return answer

    def _ended(self, outcome: str, error_class: ErrorClass | None) -> Outcome:
        self._log("job_ended", outcome=outcome, error_class=error_class, latency_ms=self._job.latency_ms)
        return Finished()

    def _log(self, event: str, **fields: str | int | float | None) -> None:
        self._services.log(event, job_id=self._job.job_id, attempt=self._fence, model=self._job.model, **fields)


def _not_taken(error: PollError | CorruptPictureError) -> Fault:
    if isinstance(error, PollError):
        return error.fault
    return Fault(ErrorClass.CORRUPT, str(error), resumable=True)
