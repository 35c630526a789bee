"""What a worker does with the messages of one SQS batch: all of them in flight at the same time.

A message is a doorbell that names a job. Its slot comes before the claim, so waiting holds no lease and spends no try.
Only a job that may need a paid call takes a slot: a message that was received before is looked up first. A message of a
batch or a lane that is paused goes; whoever resumes it rings again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from functions.core.jobs import lifecycle
from functions.core.jobs.attempt import Attempt
from functions.core.jobs.lease import LeaseLostError, Leases
from functions.core.jobs.records import Job, State, job_from_record
from functions.core.jobs.services import STORE_SECONDS, Finished, Later, Outcome, Services
from functions.core.lanes.pacer import Flight, NoSlot, Pacer
from functions.core.lanes.pacing import Bucket
from functions.core.messages import Doorbell
from functions.core.ports import BatchStates, Visibility
from functions.core.writes import StaleWriteError, Write

AFTER_A_FAULT_SECONDS = 5.0
"""How long a message waits when AWS itself failed before its job was claimed."""

WAITING_SHARE = 0.75
"""Share of a lease for which a message may wait for its slot: it is hidden for one lease, and nobody extends that."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One received message. `receipt` is its receipt handle; `receives` counts how often it was received by now."""

    message_id: str
    receipt: str
    doorbell: Doorbell
    receives: int


@dataclass(frozen=True, slots=True)
class LaneWorker:
    """One worker of one lane. `owner` names its process in the records it claims."""

    services: Services
    bucket: Bucket
    batches: BatchStates
    messages: Visibility
    owner: str
    lease_seconds: int

    async def work(self, deliveries: Sequence[Delivery]) -> tuple[str, ...]:
        """Work on every delivery; returns the ids of the messages that must come back.

        Whatever goes wrong with one delivery, the others are worked on to their end: none is left behind half done.
        """
        await self._hide({delivery: float(self.lease_seconds) for delivery in deliveries})
        known = await self._known(deliveries)
        stopped = await self._stopped(deliveries)
        leases = Leases(self.services.jobs, self.messages, self.services.clock, self.services.log, self.lease_seconds)
        pacer = self._pacer()
        heart = asyncio.create_task(leases.beat())
        try:
            async with pacer.pacing(), asyncio.TaskGroup() as group:
                tasks = {
                    one: group.create_task(self._one(one, pacer, leases, known.get(one.doorbell.job_id), stopped))
                    for one in deliveries
                }
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)
        outcomes = {one: task.result() for one, task in tasks.items()}
        waits = {one: outcome.seconds for one, outcome in outcomes.items() if isinstance(outcome, Later)}
        await self._hide(waits)
        return tuple(delivery.message_id for delivery in waits)

    def _pacer(self) -> Pacer:
        services, started = self.services, self.services.clock.monotonic()
        hidden_until = started + WAITING_SHARE * self.lease_seconds

        def patience() -> float:
            left = services.remaining() - services.model.timeout_seconds - STORE_SECONDS
            return min(left, hidden_until - services.clock.monotonic())

        return Pacer(
            bucket=self.bucket,
            model=services.model,
            clock=services.clock,
            log=services.log,
            patience=patience,
            uniform=services.uniform,
        )

    async def _hide(self, seconds: Mapping[Delivery, float]) -> None:
        """Let messages reappear after so many seconds. If SQS refuses, they do so after their queue's own time."""
        if not seconds:
            return
        whole = {delivery.receipt: math.ceil(wait) for delivery, wait in seconds.items()}
        try:
            await asyncio.to_thread(self.messages.change_visibility, whole)
        except Exception as error:  # noqa: BLE001  # a delay is lost, and nothing else
            self.services.log("visibility_unchanged", error=type(error).__name__)

    async def _known(self, deliveries: Sequence[Delivery]) -> Mapping[str, Job]:
        """The jobs of the messages that were received before, as they are."""
        ids = [one.doorbell.job_id for one in deliveries if one.receives > 1]
        if not ids:
            return {}
        try:
            return await asyncio.to_thread(partial(self.services.jobs.get_many, ids, consistent=True))
        except Exception as error:  # noqa: BLE001  # each claim finds out for itself
            self.services.log("jobs_not_read", error=type(error).__name__)
            return {}

    async def _stopped(self, deliveries: Sequence[Delivery]) -> frozenset[str]:
        """Those of the batches that the messages ring for whose jobs are not to be started."""
        ids = sorted({one.doorbell.batch_id for one in deliveries} - {""})
        if not ids:
            return frozenset()
        try:
            return await asyncio.to_thread(self.batches.stopped, ids)
        except Exception as error:  # noqa: BLE001  # whoever pauses a batch waits for what is under way anyway
            self.services.log("batches_not_read", error=type(error).__name__)
            return frozenset()

    async def _one(
        self, delivery: Delivery, pacer: Pacer, leases: Leases, known: Job | None, stopped: frozenset[str]
    ) -> Outcome:
        if not _may_call(known):
            flight = Flight(pacer, until=known.flight_until if known else 0)
            return await self._turn(delivery, flight, leases, known)
        if delivery.doorbell.batch_id in stopped:
            return Finished()
        async with pacer.slot() as slot:
            match slot:
                case NoSlot(seconds, paused):
                    return Finished() if paused else Later(seconds)
                case Flight():
                    return await self._turn(delivery, slot, leases, known)

    async def _turn(self, delivery: Delivery, flight: Flight, leases: Leases, known: Job | None) -> Outcome:
        clock, job_id = self.services.clock, delivery.doorbell.job_id
        if self.services.remaining() < self.services.model.timeout_seconds + STORE_SECONDS:
            return Later(0)
        announced_at = clock.monotonic()
        claim = await self._guarded(job_id, AFTER_A_FAULT_SECONDS, self._claim(delivery, known))
        if not isinstance(claim, _Claim):
            return claim
        attempt = self._attempt(claim, announced_at, delivery.receipt, leases, flight)
        return await self._guarded(job_id, self.lease_seconds, attempt)

    async def _attempt(
        self, claim: _Claim, announced_at: float, receipt: str, leases: Leases, flight: Flight
    ) -> Outcome:
        job = claim.job
        try:
            async with leases.hold(job.job_id, receipt, job.attempt_count) as lease:
                attempt = Attempt(self.services, job, lease, flight)
                return await (attempt.first(announced_at) if claim.announced else attempt.again())
        except (StaleWriteError, LeaseLostError):
            self.services.log("lease_lost", job_id=job.job_id, attempt=job.attempt_count, model=job.model)
            return Later(self.lease_seconds)

    async def _guarded(self, job_id: str, seconds: float, step: Awaitable[_T]) -> _T | Later:
        """Await a step. One job's surprise must not end the others' paid calls: its message comes back."""
        try:
            return await step
        except Exception as error:  # noqa: BLE001  # see above; what is claimed is looked at when its lease is over
            model = self.services.model.name
            self.services.log("attempt_broke", job_id=job_id, model=model, error=type(error).__name__)
            return Later(seconds)

    async def _claim(self, delivery: Delivery, known: Job | None) -> _Claim | Outcome:
        """Claim the job, unless it is somebody else's or needs no work.

        A claim whose answer was lost on the way is sent again and finds itself: that is a claim as well.
        """
        job_id, lease_ms = delivery.doorbell.job_id, self.lease_seconds * 1000
        owner = f"{self.owner}/{delivery.message_id}"  # of no other turn: a batch may have two messages of one job
        seen: Job | Outcome
        if known is not None and known.attempt_count:
            seen = self._unless_taken(known)
        else:
            price = self.bucket.pace.price_usd
            fresh = lifecycle.claim_to_submit(owner, self.services.clock.now_ms(), lease_ms, price)
            claimed = await self._claimed(job_id, owner, fresh, fence=1)
            if isinstance(claimed, Job):
                return _Claim(claimed, announced=True)
            seen = self._seen(job_id, claimed)
        if not isinstance(seen, Job):
            return seen
        again = lifecycle.claim_to_look(seen, owner, self.services.clock.now_ms(), lease_ms)
        claimed = await self._claimed(job_id, owner, again, fence=seen.attempt_count + 1)
        if isinstance(claimed, Job):
            return _Claim(claimed, announced=False)
        seen = self._seen(job_id, claimed)
        return Later(1) if isinstance(seen, Job) else seen

    async def _claimed(self, job_id: str, owner: str, claim: Write, *, fence: int) -> Job | StaleWriteError:
        """The job after a claim, also if it was this very claim that a repeated request has met."""
        try:
            return await asyncio.to_thread(self.services.jobs.write, job_id, claim)
        except StaleWriteError as stale:
            mine = stale.record.get("owner") == owner and stale.record.get("attempt_count") == fence
            return job_from_record(stale.record) if mine else stale

    def _seen(self, job_id: str, stale: StaleWriteError) -> Job | Outcome:
        """The job as it is if it may be claimed, else what becomes of the message."""
        if not stale.record:
            self.services.log("unknown_job", job_id=job_id)
            return Finished()
        return self._unless_taken(job_from_record(stale.record))

    def _unless_taken(self, job: Job) -> Job | Outcome:
        """The job if it may be claimed, else what becomes of the message."""
        if job.state.ended or job.state is State.HELD:
            return Finished()
        now_ms = self.services.clock.now_ms()
        if not lifecycle.claimable(job, now_ms):
            return Later((job.lease_expires_at - now_ms) / 1000 + 1)
        return job


def _may_call(job: Job | None) -> bool:
    """Whether a turn with the job may make a paid call: not if it has ended, nor while an earlier call is open."""
    return job is None or not (job.state.ended or job.state is State.HELD or job.stage is not None)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claimed job, and whether the claim announced its paid call."""

    job: Job
    announced: bool
