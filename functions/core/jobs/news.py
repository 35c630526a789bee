"""News of a paid call from somebody who does not own its job (any more): a callback, or a worker that lost its lease.

It is written down whatever the job has become since, so that no call that was taken goes unknown or uncounted.
"""

from __future__ import annotations

from decimal import Decimal

from functions.core.jobs import lifecycle
from functions.core.jobs.records import Job, State, job_from_record
from functions.core.ports import Clock, EventLog, JobStore
from functions.core.writes import StaleWriteError, Write

MOST_RACES = 10
"""Times that a record may move on under a write before whoever makes it gives up."""

_EVENTS = {"heal": "reference_healed", "count_payment": "payment_counted"}


def taken(
    jobs: JobStore, clock: Clock, log: EventLog, job: Job, attempt: int, reference: str, price_usd: Decimal
) -> Job:
    """Write down that the provider took the call of this attempt under this reference; the job after it.

    As the lost reference of the open call, or else as one more payment.
    """
    for _ in range(MOST_RACES):
        write = _news(job, attempt, reference, price_usd, clock.now_ms())
        if write is None:
            return job
        try:
            after = jobs.write(job.job_id, write)
        except StaleWriteError as stale:
            job = job_from_record(stale.record)
        else:
            log(_EVENTS[write.name], job_id=job.job_id, model=job.model, attempt=attempt, reference=reference)
            return after
    raise RuntimeError("the record moved on each time that it was written")


def made_it(job: Job, attempt: int, reference: str) -> bool:
    """Whether the job has its picture from this call. Its record names no reference where the picture was found in
    storage while the answer to the call was lost."""
    return job.state is State.SUCCESS and (
        job.reference == reference or (not job.reference and job.call_attempt == attempt)
    )


def _news(job: Job, attempt: int, reference: str, price_usd: Decimal, now_ms: int) -> Write | None:
    if job.payment_unknown and job.call_attempt == attempt:
        return lifecycle.heal(job, attempt, reference=reference, now_ms=now_ms)
    if made_it(job, attempt, reference) or reference == job.reference or job.has_settled(reference, attempt):
        return None
    return lifecycle.count_payment(job, reference, price_usd, now_ms)
