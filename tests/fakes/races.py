"""A jobs table in which somebody else is faster, or AWS fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from functions.core.jobs import lifecycle
from functions.core.jobs.records import Job
from functions.core.writes import Write
from tests.fakes.lane import JOB, Lane
from tests.fakes.records import finish, taken_over
from tests.fakes.stores import MemoryJobs
from tests.fakes.virtual_time import START_MS, VirtualClock


@dataclass(frozen=True)
class StandingClock(VirtualClock):
    """A clock that stands, for what takes no time. Nobody can wait by it."""

    at_ms: int = START_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic(self) -> float:
        return self.at_ms / 1000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


class ThrottledError(Exception):
    """What AWS raises when it has had enough."""


class RacedJobs(MemoryJobs):
    """A jobs table on which AWS fails, and which counts.

    failures: by the name of a write, or `get_many`, how often AWS fails on it. reads: how often something was read.
    """

    def __init__(self, **failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.reads = 0

    def write(self, job_id: str, write: Write) -> Job:
        self._fail(write.name)
        return super().write(job_id, write)

    def get_many(self, job_ids: Sequence[str], *, consistent: bool) -> dict[str, Job]:
        assert consistent, "what is decided by the record is decided by the newest one"
        self._fail("get_many")
        self.reads += 1
        return super().get_many(job_ids, consistent=consistent)

    def known_references(self, references: Sequence[str]) -> frozenset[str]:
        self.reads += 1
        return super().known_references(references)

    def _fail(self, name: str) -> None:
        if self.failures.get(name):
            self.failures[name] -= 1
            raise ThrottledError


@dataclass
class RacedLane(Lane):
    """A lane with one job, and what others may do to it meanwhile."""

    jobs: RacedJobs = field(default_factory=RacedJobs)

    def healed(self, reference: str = "p0") -> None:
        """A callback brings the reference of the open call."""
        job = self.job()
        self.jobs.write(JOB, lifecycle.heal(job, job.call_attempt, reference=reference, now_ms=self.clock.now_ms()))

    def finished(self, reference: str = "p0") -> None:
        """A callback brings the picture."""
        self.jobs.write(JOB, finish(self.job(), reference))

    def taken_over(self) -> None:
        """The lease runs out, and another worker claims the job."""
        record = {**self.jobs.records[JOB], "lease_expires_at": 0}
        self.jobs.records[JOB] = taken_over(record, self.clock.now_ms(), owner="thief")

    def thief_writes(self, write: Callable[[int, Job], Write]) -> None:
        """Whoever owns the job now writes."""
        job = self.job()
        self.jobs.write(JOB, write(job.attempt_count, job))

    def during_the_call(self, *steps: Callable[[], object]) -> None:
        """What happens while the answer to a call that was taken is on its way."""

        def happens(reference: str) -> None:
            for step in steps:
                step()

        self.api.on_submit = happens
