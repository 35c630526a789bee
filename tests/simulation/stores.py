"""The buckets and the jobs table of a simulated world."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from random import Random

from functions.core.errors import StorageError
from functions.core.jobs.records import Job, State
from functions.core.writes import Write
from tests.fakes.stores import MemoryObjects, StreamedJobs
from tests.fakes.virtual_time import VirtualClock

STALE_SECONDS = 30.0
"""How old the state may be that an index answers from: much older than DynamoDB's ever are."""


class FlakyObjects(MemoryObjects):
    """A bucket that refuses now and then."""

    def __init__(self, random: Random, chance: float) -> None:
        super().__init__()
        self._random, self._chance = random, chance

    def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
        if self._random.random() < self._chance:
            raise StorageError("an object could not be written: SlowDown")
        return super().put_if_absent(key, body, content_type)

    def get(self, key: str) -> bytes | None:
        if self._random.random() < self._chance:
            raise StorageError("an object could not be read: SlowDown")
        return super().get(key)


class IndexedJobs(StreamedJobs):
    """The jobs table and its indexes, which lag behind it now and then.

    `changes` names how often each job was changed by which write.
    """

    def __init__(self, clock: VirtualClock, random: Random, stale: float) -> None:
        super().__init__()
        self.changes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._clock, self._random, self._stale = clock, random, stale
        self._lives: dict[str, list[tuple[float, Job]]] = {}

    def carry_out(self, job_id: str, write: Write) -> Job:
        after = super().carry_out(job_id, write)
        self._lives.setdefault(job_id, []).append((self._clock.monotonic(), after))
        self.changes[job_id][write.name] += 1
        return after

    def get(self, job_id: str) -> Job | None:
        return self._lives[job_id][-1][1] if job_id in self._lives else None

    def get_many(self, job_ids: Sequence[str], *, consistent: bool) -> dict[str, Job]:
        return {job_id: self._lives[job_id][-1][1] for job_id in job_ids if job_id in self._lives}

    def known_references(self, references: Sequence[str]) -> frozenset[str]:
        return frozenset(references).intersection(job.reference for job in self._indexed())

    def held(self) -> list[Job]:
        """The jobs that are held, of those that the index says are."""
        ids = [job.job_id for job in self._indexed() if job.state is State.HELD]
        return [job for job in self.get_many(ids, consistent=True).values() if job.state is State.HELD]

    def a_while_ago(self, job_id: str) -> Job:
        """A job as somebody may have read it who has been slow since."""
        at = self._clock.monotonic() - self._random.choice((0, 10, 100)) * self._random.random()
        return _as_of(self._lives[job_id], at) or self._lives[job_id][0][1]

    def _indexed(self) -> Iterator[Job]:
        """The jobs as an index has them."""
        lag = self._random.uniform(0, STALE_SECONDS) if self._random.random() < self._stale else 0.0
        at = self._clock.monotonic() - lag
        return (job for life in self._lives.values() if (job := _as_of(life, at)))


def _as_of(life: Sequence[tuple[float, Job]], at: float) -> Job | None:
    return next((job for since, job in reversed(life) if since <= at), None)
