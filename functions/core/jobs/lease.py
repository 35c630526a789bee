"""Leases: while a worker lives, nobody takes its jobs, and its messages stay out of sight."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial

from functions.core.jobs import lifecycle
from functions.core.ports import Clock, EventLog, JobStore, Visibility
from functions.core.writes import StaleWriteError

HEARTBEATS_PER_LEASE = 12
"""A lease of 120 s is extended every 10 s: eleven heartbeats may fail before it is lost (R10)."""


@dataclass(slots=True)
class Lease:
    """One held job, its message and its owner's fencing token."""

    receipt: str
    fence: int
    task: asyncio.Task[object]
    lost: bool = False
    _finishing: bool = False

    @contextmanager
    def to_its_end(self) -> Iterator[None]:
        """What runs inside is not cancelled when the lease is lost: a paid call's answer would be lost with it."""
        self._finishing = True
        try:
            yield
        finally:
            self._finishing = False

    def lose(self) -> None:
        """Another worker owns the job: cancel what is being done, or at a later heartbeat if it is not to be."""
        if not self._finishing:
            self.lost = True
            self.task.cancel()


@dataclass(slots=True)
class Leases:
    """The jobs one worker batch holds. Each heartbeat extends every lease and hides every message anew."""

    jobs: JobStore
    messages: Visibility
    clock: Clock
    log: EventLog
    lease_seconds: int
    _held: dict[str, Lease] = field(default_factory=dict)

    @asynccontextmanager
    async def hold(self, job_id: str, receipt: str, fence: int) -> AsyncIterator[Lease]:
        """Hold a claimed job. If its lease is lost to another owner, what runs inside is cancelled.

        Raises:
            LeaseLostError: in place of that cancellation.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("leases are held by tasks")
        held = self._held[job_id] = Lease(receipt, fence, task)
        try:
            yield held
        except asyncio.CancelledError:
            if held.lost:
                task.uncancel()
                raise LeaseLostError(job_id) from None
            raise
        finally:
            if self._held.get(job_id) is held:
                del self._held[job_id]

    async def beat(self) -> None:
        """Go on extending the leases until cancelled. A heartbeat that fails is followed by the next one."""
        while True:
            await self.clock.sleep(self.lease_seconds / HEARTBEATS_PER_LEASE)
            held = dict(self._held)
            await asyncio.gather(*(self._extend(job_id, one) for job_id, one in held.items()))
            alive = {one.receipt: math.ceil(self.lease_seconds) for one in held.values() if not one.lost}
            if alive:
                await self._try(partial(self.messages.change_visibility, alive))

    async def _extend(self, job_id: str, held: Lease) -> None:
        write = lifecycle.heartbeat(held.fence, self.clock.now_ms(), self.lease_seconds * 1000)
        try:
            await self._try(partial(self.jobs.write, job_id, write))
        except StaleWriteError as stale:
            # With our fencing token it is our own last write that was first, and nobody has robbed us.
            robbed = stale.record.get("attempt_count") != held.fence
            if robbed and self._held.get(job_id) is held:
                held.lose()

    async def _try(self, call: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(call)
        except StaleWriteError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is: the lease outlives eleven of these
            self.log("heartbeat_failed", error=type(error).__name__)


class LeaseLostError(Exception):
    """Raised when another worker owns the job now: nothing more may be written or paid for it here."""
