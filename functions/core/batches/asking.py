"""Asking for jobs: a batch creates those that nobody asked for before, and joins the others.

A job that is on its way is waited for; one that succeeded costs nothing; one that failed for a reason that may have
passed gets fresh tries; one that failed for good fails for this batch too. Asking twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from functions.core.batches.counting import Counts, add_to, worth
from functions.core.input.identity import PictureSpec, canonical_json
from functions.core.jobs import demand
from functions.core.jobs.records import Job
from functions.core.ports import JobStore
from functions.core.writes import Write

_ROUNDS = 8
"""How often the same job may change between being read and being joined. It has few states to go through."""


class RestlessJobError(Exception):
    """Raised when jobs went on changing while they were joined; asking again later is safe."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of asking.

    waiting: the jobs that are not done, those that were created among them. paid: those that this batch pays for.
    met_ended: what those count for that had ended before this batch met them, and so are not counted by their changes.
    """

    waiting: frozenset[str]
    paid: frozenset[str]
    met_ended: Counts


def ask(jobs: JobStore, batch_id: str, specs: Mapping[str, PictureSpec], now_ms: int) -> Answer:
    """Create or join the jobs of these specs (by job id).

    Raises:
        RestlessJobError: when some could not be joined.
    """
    creates = {
        job_id: demand.create(job_id, model=spec.model, spec=canonical_json(spec), batch_id=batch_id, now_ms=now_ms)
        for job_id, spec in specs.items()
    }
    existing = jobs.create_many(creates)
    asked = _Asked(batch_id, now_ms, waiting=set(specs) - existing, paid=set(specs) - existing)
    unsettled = jobs.get_many(sorted(existing), consistent=True) if existing else {}
    for _ in range(_ROUNDS):
        writes = {job_id: write for job_id, job in unsettled.items() if (write := asked.meet(job))}
        unsettled = jobs.write_many(writes) if writes else {}
        asked.refused(unsettled)
        if not unsettled:
            return Answer(frozenset(asked.waiting), frozenset(asked.paid), asked.met_ended)
    raise RestlessJobError(f"{len(unsettled)} jobs went on changing while batch {batch_id} joined them")


@dataclass(slots=True)
class _Asked:
    """What is known of the jobs so far."""

    batch_id: str
    now_ms: int
    waiting: set[str]
    paid: set[str]
    met_ended: dict[str, int | Decimal] = field(default_factory=dict)

    def meet(self, job: Job) -> Write | None:
        """Note a job that was there before. The write by which the batch comes to wait for it, if it has to."""
        known = self.batch_id in job.batches  # asked for by another part, or by an earlier run that died
        revives = not known and demand.revivable(job)
        if not job.state.ended or revives:
            self.waiting.add(job.job_id)
        if job.paid_by(self.batch_id) or (revives and not demand.resumes(job)):
            self.paid.add(job.job_id)
        if known:
            return None
        if revives:
            return demand.revive(job, self.batch_id, self.now_ms)
        if not job.state.ended:
            return demand.join(self.batch_id)
        add_to(self.met_ended, worth(self.batch_id, job))
        return None

    def refused(self, jobs: Iterable[str]) -> None:
        """Forget what was noted of jobs that have moved on meanwhile."""
        self.waiting.difference_update(jobs)
        self.paid.difference_update(jobs)
