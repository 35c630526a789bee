"""A provider's callback: whether it is believed, and what it changes.

Checked in this order: our signed key in the URL, before anything else is read; the provider's signature over the body;
whether the event is new; whose reference it names. What fails a check changes nothing and is counted.

A success of a call is the truth, however late it comes and whatever the job has become since. Anything else is left to
a worker, which decides about retries: it is given the reference, if that was lost, and rung. Without a verified
signature the body is a hint of a reference, and what became of that is asked of the provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import partial

from functions.core.catalog import Account, Model
from functions.core.errors import CorruptPictureError, StorageError
from functions.core.jobs import lifecycle, news
from functions.core.jobs.asking import Asking
from functions.core.jobs.callback_key import CallbackKey, KeyRefusedError, read_key
from functions.core.jobs.reconcile import CLOCK_SKEW_SECONDS
from functions.core.jobs.records import Job, Stage, State, job_from_record
from functions.core.jobs.vault import StoredPicture, Vault
from functions.core.messages import Doorbell, dump
from functions.core.ports import (
    CallbackError,
    CallbackReader,
    Clock,
    Completed,
    EventLog,
    ImageApi,
    JobStore,
    Notice,
    Output,
    PollAnswer,
    PollError,
    Queue,
    Refused,
)
from functions.core.writes import StaleWriteError

ASK_SECONDS = 8.0
FETCH_SECONDS = 12.0
"""How long a poll and a download may take: the invocation ends before API Gateway stops waiting for it, after 30 s."""


class Result(StrEnum):
    """What came of a callback; the word it is counted by."""

    FINISHED = "finished"
    """The job has its picture by it."""
    LEFT = "left"
    """A worker is at it, or was rung to decide."""
    DUPLICATE = "duplicate"
    """It had been acted on before, or there was nothing left to do."""
    COUNTED = "counted"
    """A second call of a job that has its picture was paid for."""
    OUTDATED = "outdated"
    """A call came to nothing, and it is not the one that the job waits for."""
    FORGED = "forged"
    """We did not sign its key, or the provider did not sign its body."""
    REPLAYED = "replayed"
    """Its signature is too old."""
    EXPIRED = "expired"
    """The time of its key is over."""
    FOREIGN = "foreign"
    """Its job is not ours, or its prediction is another job's."""
    UNREADABLE = "unreadable"
    """Its body says nothing that can be understood."""
    BROKEN = "broken"
    """Its picture could not be had or stored for now: it is welcome again."""

    @property
    def refused(self) -> bool:
        """Whether it was not believed."""
        return self in _STATUS


_STATUS = {
    Result.FORGED: 403,
    Result.REPLAYED: 403,
    Result.EXPIRED: 410,
    Result.FOREIGN: 404,
    Result.UNREADABLE: 400,
}


def http_status(result: Result) -> int:
    """The status that the provider is answered with; it delivers again what is answered with 503."""
    return 503 if result is Result.BROKEN else _STATUS.get(result, 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One delivery, as it came. Header names are in lower case; `key` is our signed key out of the URL."""

    provider: str
    key: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Acts on callbacks. `webhook_secret` gives an account's secret, empty if the operator has stored none; `readers`
    and `lanes` go by provider and by model."""

    models: Mapping[str, Model]
    readers: Mapping[str, CallbackReader]
    api: Callable[[Model], ImageApi]
    webhook_secret: Callable[[Account], str]
    callback_secret: str
    jobs: JobStore
    vault: Vault
    lanes: Mapping[str, Queue]
    clock: Clock
    log: EventLog

    async def receive(self, callback: Callback) -> Result:
        """Act on one delivery. What AWS refuses is raised, and the provider delivers again."""
        provider, now_ms = callback.provider, self.clock.now_ms()
        try:
            key = read_key(callback.key, secret=self.callback_secret, provider=provider, now_ms=now_ms)
        except KeyRefusedError as error:
            self.log("callback", result=error.reason)
            return Result(error.reason)
        reference = None
        try:
            found = await asyncio.to_thread(partial(self.jobs.get_many, [key.job_id], consistent=True))
            job = found.get(key.job_id)
            model = self.models.get(job.model) if job else None
            if job is None or model is None or model.account.provider != provider:
                result = Result.FOREIGN
            else:
                secret = self.webhook_secret(model.account)
                notice = self.readers[provider](callback.body, callback.headers, secret=secret, now_ms=now_ms)
                reference = notice.reference
                result = await _Turn(self, model, key, notice, job).act()
        except CallbackError as error:
            result = Result(error.reason)
        self.log("callback", result=result, job_id=key.job_id, attempt=key.attempt, reference=reference)
        return result


class _Turn:
    """One believed callback, and the job as it was last seen."""

    def __init__(self, completion: Completion, model: Model, key: CallbackKey, notice: Notice, job: Job) -> None:
        self._completion = completion
        self._model = model
        self._api = completion.api(model)
        self._key = key
        self._notice = notice
        self._job = job
        self._asking = Asking(completion.clock, partial(completion.log, job_id=job.job_id, model=job.model))

    @property
    def _price(self) -> Decimal:
        """What the call costs."""
        return self._job.price(self._api.price(self._job.asked_for()), self._model.price_usd)

    async def act(self) -> Result:
        if self._notice.event_id in self._job.callback_ids or self._is_known_success():
            return Result.DUPLICATE
        if await self._is_foreign():
            return Result.FOREIGN
        try:
            if not self._notice.verified and not self._is_open_call():
                return Result.OUTDATED
            if not self._notice.verified and not await self._is_likely():
                return Result.FOREIGN
            outcome = await self._outcome()
            if isinstance(outcome, Completed):
                return await self._succeeded(outcome.output)
        except (PollError, CorruptPictureError, StorageError):
            return Result.BROKEN
        if not self._is_open_call():
            return Result.OUTDATED
        was_held = self._job.state is State.HELD
        await self._taken()
        if isinstance(outcome, Refused) and not was_held:
            await self._ring()
        return Result.LEFT

    async def _outcome(self) -> PollAnswer:
        """What became of the call: as the callback says, if that is signed, else as the provider answers."""
        if self._notice.verified:
            return self._notice.outcome
        return await self._asking.read("poll", self._api.poll(self._notice.reference), ASK_SECONDS)

    async def _succeeded(self, output: Output) -> Result:
        # An owner that has the reference polls; one that still waits for the answer to its submit may wait for long.
        polled = self._job.stage is Stage.ACCEPTED
        if self._job.state is State.SUCCESS or self._is_open_call():
            await self._taken()
        if self._job.state is State.SUCCESS:
            return Result.DUPLICATE if self._notice.reference == self._job.reference else Result.COUNTED
        if polled and self._is_open_call() and self._has_owner():
            return Result.LEFT
        data = await self._asking.read("fetch", self._api.fetch(output), FETCH_SECONDS)
        vault, made_by = self._completion.vault, self._model.provider_model
        job = replace(self._job, reference=self._notice.reference)
        stored = await asyncio.to_thread(vault.keep, job, job.asked_for(), data, made_by)
        return await self._finish(stored)

    async def _finish(self, stored: StoredPicture) -> Result:
        """Mark the job as made, whatever it has become meanwhile."""
        reference, clock = self._notice.reference, self._completion.clock
        for _ in range(news.MOST_RACES):
            if self._job.state is State.SUCCESS:
                if self._is_known_success():
                    return Result.DUPLICATE
                await self._taken()
                return Result.COUNTED
            job, now_ms, price = self._job, clock.now_ms(), self._price
            write = lifecycle.finish(
                job,
                stored.picture,
                attempt=self._key.attempt,
                reference=reference,
                image_key=stored.key,
                price_usd=price,
                latency_ms=max(0, now_ms - job.submitting_at),
                event_id=self._notice.event_id,
                now_ms=now_ms,
            )
            try:
                self._job = await asyncio.to_thread(self._completion.jobs.write, job.job_id, write)
            except StaleWriteError as stale:
                self._job = job_from_record(stale.record)
            else:
                latency_ms = self._job.latency_ms
                self._asking.log("job_ended", outcome="success", latency_ms=latency_ms)
                if write.adds["cost_usd"] > price:
                    self._asking.log("payment_counted", reference=reference)
                return Result.FINISHED
        raise RuntimeError("the record moved on each time that it was written")

    async def _taken(self) -> None:
        """Write down that the provider took the call. A job that was held for it has no message any more: it gets one,
        whatever comes of this callback."""
        completion, job = self._completion, self._job
        price = self._price
        self._job = await asyncio.to_thread(
            news.taken,
            completion.jobs,
            completion.clock,
            completion.log,
            job,
            self._key.attempt,
            self._notice.reference,
            price,
        )
        if job.state is State.HELD and self._job.state is State.PENDING:
            await self._ring()

    async def _ring(self) -> None:
        """Send a worker, unless one is at it: a call that came to nothing may be made again."""
        lane = self._completion.lanes.get(self._job.model)  # none where the model was disabled meanwhile
        if lane is not None and not self._has_owner():
            await asyncio.to_thread(lane.send, [dump(Doorbell(self._job.job_id, self._job.next_payer))])

    async def _is_foreign(self) -> bool:
        """Whether the prediction is known to be another job's."""
        jobs, reference = self._completion.jobs, self._notice.reference
        if self._is_own() or not await asyncio.to_thread(jobs.known_references, [reference]):
            return False
        # The worker may have written it down since the job was read: then it is this job's.
        found = await asyncio.to_thread(partial(jobs.get_many, [self._job.job_id], consistent=True))
        self._job = found.get(self._job.job_id, self._job)
        return not self._is_own()

    def _is_own(self) -> bool:
        """Whether the job's record names the prediction."""
        return self._notice.reference in (self._job.reference, *self._job.settled_calls)

    async def _is_likely(self) -> bool:
        """Whether an unsigned hint, which whoever knows one of our URLs can send, may be followed.

        It names the call that the job waits for by the reference that is known, or by one that the provider lists for
        the time of the call.
        """
        job, reference = self._job, self._notice.reference
        if job.stage is Stage.ACCEPTED:
            return True
        skew_ms = CLOCK_SKEW_SECONDS * 1000
        listing = self._api.predictions(job.submitting_at - skew_ms, self._completion.clock.now_ms() + skew_ms)
        listed = await self._asking.read("list", listing, ASK_SECONDS)
        return reference != job.reference and any(one.reference == reference and not one.failed for one in listed)

    def _is_known_success(self) -> bool:
        made_it = news.made_it(self._job, self._key.attempt, self._notice.reference)
        return made_it or (self._job.state is State.SUCCESS and self._is_own())

    def _is_open_call(self) -> bool:
        """Whether the callback is about the call that the job waits for."""
        if self._job.payment_unknown:
            return self._job.call_attempt == self._key.attempt
        return self._job.stage is Stage.ACCEPTED and self._job.reference == self._notice.reference

    def _has_owner(self) -> bool:
        """Whether a worker holds the job's lease: it polls and sees for itself, or the alarm clock rings when it
        died."""
        return self._job.state is State.RUNNING and self._job.lease_expires_at > self._completion.clock.now_ms()
