"""Letting go of jobs: what becomes of those that a cancelled batch asked for and that were not called yet.

A job whose call is open goes on: it may have been paid for, and its picture is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from functions.core.batches.records import BatchStore
from functions.core.errors import ErrorClass
from functions.core.jobs import demand
from functions.core.jobs.records import Job, State
from functions.core.ports import EventLog, JobStore
from functions.core.writes import Write

LEFT_TO_ANOTHER = "the batch was cancelled before the picture was asked for; another batch goes on with it"


@dataclass(frozen=True, slots=True)
class Others:
    """The batches beside one, as they are when a job of theirs is looked at for the first time."""

    batches: BatchStore
    batch_id: str
    _wanting: dict[str, bool] = field(default_factory=dict)

    def waiting_for(self, job: Job) -> str:
        """Another batch that waits for the job, one that is neither closed nor cancelled; empty if none does."""
        return next((one for one in sorted(job.batches - {self.batch_id}) if self._waits(one)), "")

    def _waits(self, batch_id: str) -> bool:
        if batch_id not in self._wanting:
            other = self.batches.get(batch_id)
            self._wanting[batch_id] = other is not None and other.is_open and not other.cancelled
        return self._wanting[batch_id]


def drop(jobs: Mapping[str, Job], others: Others, store: JobStore, now_ms: int, log: EventLog) -> dict[str, Job]:
    """Let a cancelled batch's jobs go, which nobody is at and whose calls are not open.

    One that no other batch waits for fails. One that another waits for is the other's, to pay for too.

    Returns:
        The jobs as they count for the cancelled batch: those that it has let go of as failed. One that has moved on
        meanwhile is as it was met.
    """
    writes: dict[str, Write] = {}
    left = []
    for job in jobs.values():
        other = others.waiting_for(job)
        if not other:
            writes[job.job_id] = demand.cancel(job, now_ms)
            continue
        left.append(job.job_id)
        if job.next_payer == others.batch_id:
            writes[job.job_id] = demand.hand_over(job, other)
    refused = store.write_many(writes) if writes else {}
    after = dict(jobs) | store.get_many(list(writes), consistent=True) if writes else dict(jobs)
    for job_id in writes.keys() - refused.keys() - set(left):
        job = after[job_id]
        log("job_ended", job_id=job_id, outcome=job.state, error_class=ErrorClass.CANCELLED, model=job.model)
    return after | {job_id: _as_dropped(after[job_id]) for job_id in left if job_id not in refused}


def droppable(job: Job) -> bool:
    """Whether no call of the job is open: nothing may have been paid that is still to come to something."""
    return job.stage is None


def _as_dropped(job: Job) -> Job:
    return replace(job, state=State.FAILED, error_class=ErrorClass.CANCELLED, error_message=LEFT_TO_ANOTHER)
