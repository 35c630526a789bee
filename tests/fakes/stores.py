"""The jobs table, buckets and queues, in memory. A write follows the same rules as in the real table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from functions.core.batches.counting import Change
from functions.core.errors import MissingObjectError
from functions.core.jobs.records import Job, job_from_record
from functions.core.writes import StaleWriteError, Write, apply


class MemoryJobs:
    """The jobs table. Implements `functions.core.ports.JobStore`; `written` names each write in order.

    before: by the name of a write, what somebody else does just before it, the next times that it is made.
    after_reading: what somebody else does as soon as jobs were read, the next times.
    """

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.written: list[str] = []
        self.before: dict[str, list[Callable[[], object]]] = {}
        self.after_reading: list[Callable[[], object]] = []

    def write(self, job_id: str, write: Write) -> Job:
        if self.before.get(write.name):
            self.before[write.name].pop(0)()
        return self.carry_out(job_id, write)

    def carry_out(self, job_id: str, write: Write) -> Job:
        """Make a write, with nobody in between."""
        record = self.records[job_id] = apply(write, self.records.get(job_id, {}))
        self.written.append(write.name)
        return job_from_record(record)

    def write_many(self, writes: Mapping[str, Write]) -> dict[str, Job]:
        refused = {}
        for job_id, write in writes.items():
            try:
                self.write(job_id, write)
            except StaleWriteError as stale:
                if stale.record:
                    refused[job_id] = job_from_record(stale.record)
        return refused

    def create_many(self, writes: Mapping[str, Write]) -> frozenset[str]:
        existing = frozenset(job_id for job_id in writes if job_id in self.records)
        for job_id, write in writes.items():
            if job_id not in existing:
                self.write(job_id, write)
        return existing

    def get(self, job_id: str) -> Job | None:
        return job_from_record(self.records[job_id]) if job_id in self.records else None

    def get_many(self, job_ids: Sequence[str], *, consistent: bool) -> dict[str, Job]:
        found = {job_id: job_from_record(self.records[job_id]) for job_id in job_ids if job_id in self.records}
        if self.after_reading:
            self.after_reading.pop(0)()
        return found

    def known_references(self, references: Sequence[str]) -> frozenset[str]:
        known = {record.get("reference") for record in self.records.values()}
        return frozenset(reference for reference in references if reference in known)


class StreamedJobs(MemoryJobs):
    """The jobs table with its stream."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: list[Change] = []

    def carry_out(self, job_id: str, write: Write) -> Job:
        before = self.get(job_id)
        after = super().carry_out(job_id, write)
        self.stream.append(Change(before, after))
        return after


class MemoryObjects:
    """One bucket; every version is the same object. Implements `functions.core.ports.ObjectStore`."""

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.objects: dict[str, bytes] = dict(objects or {})

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def put(self, key: str, body: bytes, content_type: str) -> None:
        self.objects[key] = body

    def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
        if key in self.objects:
            return False
        self.objects[key] = body
        return True

    def read_range(self, key: str, version: str, start: int, end: int | None = None) -> Iterator[bytes]:
        if key not in self.objects:
            raise MissingObjectError(key)
        body = self.objects[key][start:end]
        for at in range(0, len(body), 1000):
            yield body[at : at + 1000]


class MemoryQueue:
    """One queue, to send to. Implements `functions.core.ports.Queue`; delays are kept beside the bodies."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, int]] = []

    def send(self, bodies: Sequence[str], *, delay_seconds: int = 0) -> None:
        self.messages += [(body, delay_seconds) for body in bodies]

    def depth(self) -> int:
        return len(self.messages)

    @property
    def bodies(self) -> list[str]:
        return [body for body, _ in self.messages]
