"""What a worker does with the messages of one SQS batch: all of them in flight at the same time.

A message is a doorbell that names a job. Its slot comes before the claim, so waiting holds no lease and spends no try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from functions.core.jobs import lifecycle
from functions.core.jobs.attempt import Attempt, Finished, Later, Outcome, Services
from functions.core.jobs.lease import LeaseLostError, Leases
from functions.core.jobs.pacing import Bucket
from functions.core.jobs.records import Job, State, job_from_record
from functions.core.messages import Doorbell
from functions.core.ports import Visibility
from functions.core.writes import StaleWriteError

STORE_SECONDS = 15.0
"""What checking, storing and writing down a picture may take after the provider's time is up."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One received message. `receipt` is its receipt handle."""

    message_id: str
    receipt: str
    doorbell: Doorbell


@dataclass(frozen=True, slots=True)
class LaneWorker:
    """One worker of one lane. `owner` names its process in the records it claims."""

    services: Services
    bucket: Bucket
    messages: Visibility
    owner: str
    lease_seconds: int

    async def work(self, deliveries: Sequence[Delivery]) -> tuple[str, ...]:
        """Work on every delivery; returns the ids of the messages that must come back."""
        await asyncio.to_thread(
            self.messages.change_visibility, {delivery.receipt: self.lease_seconds for delivery in deliveries}
        )
        now_us = self.services.clock.now_ms() * 1000
        reservation = await asyncio.to_thread(self.bucket.reserve, len(deliveries), now_us)
        leases = Leases(self.services.jobs, self.messages, self.services.clock, self.lease_seconds)
        heart = asyncio.create_task(leases.beat())
        try:
            served = deliveries[: len(reservation.slots_us)]
            outcomes: list[Outcome] = list(
                await asyncio.gather(
                    *(
                        self._one(delivery, slot, leases)
                        for delivery, slot in zip(served, reservation.slots_us, strict=True)
                    )
                )
            )
        finally:
            heart.cancel()
            with suppress(asyncio.CancelledError):
                await heart
        outcomes += [Later(reservation.wait_seconds)] * (len(deliveries) - len(served))
        return await self._return(dict(zip(deliveries, outcomes, strict=True)))

    async def _return(self, outcomes: Mapping[Delivery, Outcome]) -> tuple[str, ...]:
        waits = {delivery: outcome.seconds for delivery, outcome in outcomes.items() if isinstance(outcome, Later)}
        if waits:
            seconds = {delivery.receipt: round(wait) for delivery, wait in waits.items()}
            await asyncio.to_thread(self.messages.change_visibility, seconds)
        return tuple(delivery.message_id for delivery in waits)

    async def _one(self, delivery: Delivery, slot_us: int, leases: Leases) -> Outcome:
        clock = self.services.clock
        await clock.sleep(max(0.0, slot_us / 1_000_000 - clock.now_ms() / 1000))
        if self.services.remaining() < self.services.model.timeout_seconds + STORE_SECONDS:
            return Later(0)
        job_id = delivery.doorbell.job_id
        announced_at = clock.monotonic()
        try:
            job, announced = await self._claim(job_id)
        except _NotClaimed as refusal:
            return refusal.outcome
        attempt = Attempt(self.services, job)
        try:
            async with leases.hold(job_id, delivery.receipt, job.attempt_count):
                return await (attempt.first(announced_at) if announced else attempt.again())
        except (StaleWriteError, LeaseLostError):
            self.services.log("lease_lost", job_id=job_id, attempt=job.attempt_count, model=job.model)
            return Later(self.lease_seconds)
        # One job's surprise must not end the others' paid calls: the lease runs out and the next owner looks.
        except Exception as error:  # noqa: BLE001  # see above
            self.services.log("attempt_broke", job_id=job_id, attempt=job.attempt_count, error=type(error).__name__)
            return Later(self.lease_seconds)

    async def _claim(self, job_id: str) -> tuple[Job, bool]:
        """Claim the job; also whether the claim announced its paid call."""
        jobs, lease_ms = self.services.jobs, self.lease_seconds * 1000
        try:
            fresh = lifecycle.claim_to_submit(self.owner, self.services.clock.now_ms(), lease_ms)
            return await asyncio.to_thread(jobs.write, job_id, fresh), True
        except StaleWriteError as stale:
            seen = self._claimable(job_id, stale)
        try:
            again = lifecycle.claim_to_look(seen, self.owner, self.services.clock.now_ms(), lease_ms)
            return await asyncio.to_thread(jobs.write, job_id, again), False
        except StaleWriteError as stale:
            self._claimable(job_id, stale)
            raise _NotClaimed(Later(1)) from None

    def _claimable(self, job_id: str, stale: StaleWriteError) -> Job:
        """The job as it is, if it may be claimed."""
        if not stale.record:
            self.services.log("unknown_job", job_id=job_id)
            raise _NotClaimed(Finished())
        job = job_from_record(stale.record)
        if job.state.ended or job.state is State.HELD:
            raise _NotClaimed(Finished())
        now_ms = self.services.clock.now_ms()
        if not lifecycle.claimable(job, now_ms):
            raise _NotClaimed(Later((job.lease_expires_at - now_ms) / 1000 + 1))
        return job


class _NotClaimed(Exception):  # noqa: N818  # no error: somebody else's job, or one that needs no work
    """Raised when there is nothing to do for a message now."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome
