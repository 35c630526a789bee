"""What batches ask of a job: to be made, shared, given fresh tries, paid for by another batch, or let go.

By the splitter and the reporter, which own no job. What revives, cancels, hands over or expires a job holds only while
the job is as it was seen, and takes nothing from a worker that lives. Where these writes stand in a job's life, and who
else may write, is said in `lifecycle`.
"""

from __future__ import annotations

from decimal import Decimal

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs.clauses import (
    LAST_ERROR,
    OPEN_ATTEMPT,
    WAITING,
    abandoned,
    as_seen,
    last_error,
    next_payer,
    now_held,
    same_cost,
)
from functions.core.jobs.records import Job, Stage, State, timestamp
from functions.core.writes import AllOf, Missing, OneOf, Value, Write, equals


def create(job_id: str, *, model: str, spec: str, batch_id: str, now_ms: int) -> Write:
    """A batch asks for a picture nobody asked for before. By the splitter; if no such job exists."""
    now = timestamp(now_ms)
    return Write(
        name="create",
        when=Missing("job_id"),
        sets={
            "job_id": job_id,
            "state": State.PENDING,
            "model": model,
            "spec": spec,
            "batch_id": batch_id,
            "batches": frozenset({batch_id}),
            "created_at": now,
            "updated_at": now,
        },
    )


def join(batch_id: str) -> Write:
    """A batch wants a picture that is on its way, and waits for it. By the splitter; while the job has not ended."""
    return Write(
        name="join",
        when=OneOf("state", (State.PENDING, State.RUNNING, State.HELD)),
        joins={"batches": batch_id},
    )


def revive(job: Job, batch_id: str, now_ms: int) -> Write:
    """A batch wants a picture that failed for a reason which may have passed: fresh tries, paid by that batch.

    By the splitter; if the job is still the failed one that was seen. What was paid so far stays with whoever paid it.
    A picture that is paid for and still to be had is not submitted again: the batch is its heir, who pays for the next
    call if it comes to one.
    """
    inherits = resumes(job)
    payer: dict[str, Value] = {"heir": batch_id} if inherits else next_payer(job, batch_id)
    return Write(
        name="revive",
        when=AllOf((equals("state", State.FAILED), as_seen(job), same_cost(job))),
        sets={"state": State.PENDING, "updated_at": timestamp(now_ms), **payer},
        removes=("tries", "idle_claims", "finished_at", *WAITING, *LAST_ERROR, *(() if inherits else ("heir",))),
        joins={"batches": batch_id},
    )


def resumes(job: Job) -> bool:
    """Whether a failed job that is revived has its paid picture still to be had."""
    return job.stage is Stage.ACCEPTED


def revivable(job: Job) -> bool:
    """Whether a failed job may be given fresh tries by the next batch that asks for it."""
    return job.state is State.FAILED and job.error_class is not None and not job.error_class.final


def cancel(job: Job, now_ms: int) -> Write:
    """No batch wants the job any more, and nothing more is paid for it. By the reporter and the splitter, of a job that
    was seen without an open call; while it is pending, or its owner's lease has run out, and it is untouched since."""
    fault = Fault(ErrorClass.CANCELLED, "the batch was cancelled before the picture was asked for")
    now = timestamp(now_ms)
    return Write(
        name="cancel",
        when=AllOf((abandoned(job), as_seen(job))),
        sets={"state": State.FAILED, "updated_at": now, "finished_at": now, **last_error(fault)},
        removes=(*OPEN_ATTEMPT, "heir"),
        # What was paid so far stays, and nothing is a number too.
        adds={"cost_usd": Decimal(0)},
    )


def hand_over(job: Job, batch_id: str) -> Write:
    """The batch that was to pay for the job is cancelled, and another one that waits for it pays for the next call. By
    the same, on the same conditions, and while the payments and the payer are those that were seen."""
    return Write(
        name="hand_over",
        when=AllOf((abandoned(job), as_seen(job), same_cost(job), equals("batch_id", job.batch_id))),
        sets=next_payer(job, batch_id),
        removes=("heir",),
    )


def expire(job: Job, now_ms: int) -> Write:
    """Nobody got round to the job in its time. By the reporter; while it is pending, or its owner's lease has run out,
    and it is untouched since seen.

    One with a paid call that is still open is held: it has cost something, and its picture may be there.
    """
    now = timestamp(now_ms)
    if job.stage is None:
        fault = Fault(ErrorClass.EXPIRED, "the job was not started within seven days")
        end: dict[str, Value] = {"state": State.FAILED, "finished_at": now}
    else:
        fault = Fault(ErrorClass.EXPIRED, "a paid call was made, and its picture was not fetched within seven days")
        end = {"state": State.HELD, **now_held(now_ms)}
    return Write(
        name="expire",
        when=AllOf((abandoned(job), as_seen(job))),
        sets={**end, "updated_at": now, **last_error(fault)},
        removes=OPEN_ATTEMPT,
        # What was paid so far stays, and nothing is a number too; what a held job costs nobody knows.
        adds={"cost_usd": Decimal(0)} if job.stage is None else {},
    )
