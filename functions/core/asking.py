"""Asking for jobs: a batch creates those that nobody asked for before, and joins the others.

A job that is on its way is waited for; one that succeeded costs nothing; one that failed for a reason that may have
passed gets fresh tries; one that failed for good fails for this batch too. Asking twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from functions.core import lifecycle
from functions.core.counting import Counts, add_to, worth
from functions.core.identity import PictureSpec, canonical_json
from functions.core.ports import JobStore
from functions.core.records import Job
from functions.core.writes import Write

_ROUNDS = 8
"""How often the same job may change between being read and being joined. It has few states to go through."""


class RestlessJobError(Exception):
    """Raised when jobs went on changing while they were joined; asking again later is safe."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of asking.

    waiting: the jobs that are not done, those that were created among them. met_ended: what those count for that had
    ended before this batch met them, and so are not counted by their changes.
    """

    waiting: frozenset[str]
    met_ended: Counts


def ask(jobs: JobStore, batch_id: str, specs: Mapping[str, PictureSpec], now_ms: int) -> Answer:
    """Create or join the jobs of these specs (by job id).

    Raises:
        RestlessJobError: when some could not be joined.
    """
    creates = {
        job_id: lifecycle.create(job_id, model=spec.model, spec=canonical_json(spec), batch_id=batch_id, now_ms=now_ms)
        for job_id, spec in specs.items()
    }
    existing = jobs.create_many(creates)
    if not existing:
        return Answer(frozenset(specs), {})
    waiting = set(specs) - existing
    met_ended: dict[str, int | Decimal] = {}
    unsettled = jobs.get_many(sorted(existing), consistent=True)
    for _ in range(_ROUNDS):
        writes: dict[str, Write] = {}
        for job_id, job in unsettled.items():
            write = _joining(job, batch_id, now_ms)
            if write is not None:
                writes[job_id] = write
            elif batch_id not in job.batches:
                add_to(met_ended, worth(batch_id, job))
            if write is not None or not job.state.ended:
                waiting.add(job_id)
        unsettled = jobs.write_many(writes) if writes else {}
        if not unsettled:
            return Answer(frozenset(waiting), met_ended)
    raise RestlessJobError(f"{len(unsettled)} jobs went on changing while batch {batch_id} joined them")


def _joining(job: Job, batch_id: str, now_ms: int) -> Write | None:
    """The write by which a batch comes to wait for a job; None if it waits already or there is nothing to wait for."""
    if batch_id in job.batches:
        return None
    if not job.state.ended:
        return lifecycle.join(batch_id)
    if lifecycle.revivable(job):
        return lifecycle.revive(job, batch_id, now_ms)
    return None
