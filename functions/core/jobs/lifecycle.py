"""A job's life: every change of its record, who may make it and what it is conditional on.

    pending ──claim──► running ──succeed──► success
       ▲                 │ │ └───fail─────► failed ──revive──► pending
       │                 │ └─────hold─────► held
       └──give_back──────┘

Inside running, `stage` says whether a paid call is open: none ──announce──► submitting ──accept──► accepted.
`attempt_count` counts claims and is the fencing token: every write of an owner names the one it was given, so an owner
that lost its lease can change nothing any more. A paid call is announced (`submitting`) before it leaves; a record that
shows `submitting` to its next owner therefore means that money may have been spent, and that owner looks
before it acts.
"""

from __future__ import annotations

from decimal import Decimal

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs.records import Job, Picture, Stage, State, timestamp
from functions.core.writes import AllOf, AnyOf, AtMost, Condition, Missing, OneOf, Value, Write, equals

MAX_IDLE_CLAIMS = 3
"""Claims in a row with neither submit nor outcome, after which a job is taken for one that kills its workers."""

SUBMIT_WITHIN_SECONDS = 5.0
"""A paid call leaves within this time of its announcement or not at all: fencing does not reach the provider."""

_OPEN_ATTEMPT = ("owner", "lease_expires_at")
_LAST_ERROR = ("error_class", "error_message")


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

    By the splitter; if the job is still the failed one that was seen. A picture that is paid for and still to be had
    (`stage` accepted) is not submitted again, and stays with the batch that paid.
    """
    payer = job.batch_id if job.stage is Stage.ACCEPTED else batch_id
    return Write(
        name="revive",
        when=AllOf((equals("state", State.FAILED), _attempt(job.attempt_count))),
        sets={"state": State.PENDING, "batch_id": payer, "updated_at": timestamp(now_ms)},
        removes=("tries", "idle_claims", "finished_at", "cost_usd", *_LAST_ERROR),
        joins={"batches": batch_id},
    )


def revivable(job: Job) -> bool:
    """Whether a failed job may be given fresh tries by the next batch that asks for it."""
    return job.state is State.FAILED and job.error_class is not None and not job.error_class.final


def claim_to_submit(owner: str, now_ms: int, lease_ms: int) -> Write:
    """Take a job that was never tried, and announce its paid call in the same write. By a worker, from pending."""
    return Write(
        name="claim_to_submit",
        when=AllOf((equals("state", State.PENDING), Missing("attempt_count"))),
        sets={
            "state": State.RUNNING,
            "stage": Stage.SUBMITTING,
            "attempt_count": 1,
            "owner": owner,
            "lease_expires_at": now_ms + lease_ms,
            "submitting_at": now_ms,
            "updated_at": timestamp(now_ms),
        },
    )


def claimable(job: Job, now_ms: int) -> bool:
    """Whether a worker may take the job now: it is pending, or its owner's lease has run out."""
    return job.state is State.PENDING or (job.state is State.RUNNING and job.lease_expires_at <= now_ms)


def claim_to_look(job: Job, owner: str, now_ms: int, lease_ms: int) -> Write:
    """Take a job that was tried before, without announcing a paid call.

    By a worker, from pending or from running with an expired lease, if nobody claimed it since it was seen. Its owner
    looks into storage, then at the stage.
    """
    return Write(
        name="claim_to_look",
        when=AllOf(
            (
                _attempt(job.attempt_count),
                AnyOf(
                    (
                        equals("state", State.PENDING),
                        AllOf((equals("state", State.RUNNING), AtMost("lease_expires_at", now_ms))),
                    )
                ),
            )
        ),
        sets={
            "state": State.RUNNING,
            "attempt_count": job.attempt_count + 1,
            "owner": owner,
            "lease_expires_at": now_ms + lease_ms,
            "updated_at": timestamp(now_ms),
        },
        adds={"idle_claims": 1},
    )


def announce(fence: int, now_ms: int) -> Write:
    """Say that a paid call is about to leave. By the owner, while no other paid call is open."""
    return Write(
        name="announce",
        when=AllOf((_owned(fence), Missing("stage"))),
        sets={"stage": Stage.SUBMITTING, "submitting_at": now_ms, "updated_at": timestamp(now_ms)},
        removes=("idle_claims", "last_response_code", "waiting_since", *_LAST_ERROR),
    )


def withdraw(fence: int, now_ms: int) -> Write:
    """The announced call did not leave: nothing was paid, no try is spent. By the owner, who knows that it did not."""
    return Write(
        name="withdraw",
        when=_owned(fence),
        sets={"state": State.PENDING, "updated_at": timestamp(now_ms)},
        removes=(*_OPEN_ATTEMPT, "stage"),
    )


def doubt(fence: int, fault: Fault, now_ms: int) -> Write:
    """The answer to a paid call is lost: the next owner looks what became of it. By the owner; spends no try."""
    return Write(
        name="doubt",
        when=_owned(fence),
        sets={
            "lease_expires_at": now_ms,
            "waiting_since": now_ms,
            "updated_at": timestamp(now_ms),
            **_fault(fault),
        },
    )


def accept(fence: int, *, reference: str, response_code: int, now_ms: int) -> Write:
    """The provider took the announced call and gave a reference. By the owner."""
    return Write(
        name="accept",
        when=AllOf((_owned(fence), equals("stage", Stage.SUBMITTING))),
        sets={
            "stage": Stage.ACCEPTED,
            "reference": reference,
            "last_response_code": response_code,
            "updated_at": timestamp(now_ms),
        },
        removes=("idle_claims", "waiting_since"),
    )


def heartbeat(fence: int, now_ms: int, lease_ms: int) -> Write:
    """The owner is alive: its lease is extended. By the owner."""
    return Write(name="heartbeat", when=_owned(fence), sets={"lease_expires_at": now_ms + lease_ms})


def leave(fence: int, job: Job, now_ms: int) -> Write:
    """The owner stops before the outcome is known: the next one may take over at once. By the owner; spends no try."""
    return Write(
        name="leave",
        when=_owned(fence),
        sets={
            "lease_expires_at": now_ms,
            "waiting_since": job.waiting_since or now_ms,
            "updated_at": timestamp(now_ms),
        },
        removes=("idle_claims",),
    )


def give_back(fence: int, job: Job, fault: Fault, now_ms: int) -> Write:
    """A try failed in a way that another may not: pending again, one try spent. By the owner.

    The stage stays if the provider still has the paid picture (`fault.resumable`).
    """
    return Write(
        name="give_back",
        when=_owned(fence),
        sets={
            "state": State.PENDING,
            "tries": {**job.tries, fault.error_class: job.tries.get(fault.error_class, 0) + 1},
            "updated_at": timestamp(now_ms),
            **_fault(fault),
        },
        removes=(*_OPEN_ATTEMPT, "idle_claims", "waiting_since", *_closed_stage(fault)),
    )


def succeed(fence: int, picture: Picture, *, image_key: str, cost_usd: Decimal, latency_ms: int, now_ms: int) -> Write:
    """The picture was checked and lies in the bucket. By the owner."""
    return Write(
        name="succeed",
        when=_owned(fence),
        sets={
            "state": State.SUCCESS,
            "image_key": image_key,
            "width": picture.width,
            "height": picture.height,
            "size": picture.size,
            "sha256": picture.sha256,
            "cost_usd": cost_usd,
            "latency_ms": latency_ms,
            "updated_at": timestamp(now_ms),
            "finished_at": timestamp(now_ms),
        },
        removes=(*_OPEN_ATTEMPT, "stage", "idle_claims", *_LAST_ERROR),
    )


def fail(fence: int, job: Job, fault: Fault, *, cost_usd: Decimal, now_ms: int) -> Write:
    """The last try failed, or a try failed in a way that every other would. By the owner. `cost_usd`: what was paid."""
    return Write(
        name="fail",
        when=_owned(fence),
        sets={
            "state": State.FAILED,
            "tries": {**job.tries, fault.error_class: job.tries.get(fault.error_class, 0) + 1},
            "cost_usd": cost_usd,
            "updated_at": timestamp(now_ms),
            "finished_at": timestamp(now_ms),
            **_fault(fault),
        },
        removes=(*_OPEN_ATTEMPT, "idle_claims", *_closed_stage(fault)),
    )


def hold(fence: int, fault: Fault, now_ms: int) -> Write:
    """Nobody can say whether a paid call was taken: the job waits for a person. By the owner."""
    return Write(
        name="hold",
        when=_owned(fence),
        sets={"state": State.HELD, "updated_at": timestamp(now_ms), **_fault(fault)},
        removes=(*_OPEN_ATTEMPT, "idle_claims"),
    )


def expire(job: Job, now_ms: int) -> Write:
    """Nobody got round to the job in its time. By the reporter; while it is still pending and untouched since seen.

    One with a paid call that is still open is held: it has cost something, and its picture may be there.
    """
    now = timestamp(now_ms)
    if job.stage is None:
        fault = Fault(ErrorClass.EXPIRED, "the job was not started within seven days")
        end: dict[str, Value] = {"state": State.FAILED, "cost_usd": Decimal(0), "finished_at": now}
    else:
        fault = Fault(ErrorClass.EXPIRED, "a paid call was made, and its picture was not fetched within seven days")
        end = {"state": State.HELD}
    return Write(
        name="expire",
        when=AllOf((equals("state", State.PENDING), _attempt(job.attempt_count))),
        sets={**end, "updated_at": now, **_fault(fault)},
    )


def _attempt(count: int) -> Condition:
    return equals("attempt_count", count) if count else Missing("attempt_count")


def _owned(fence: int) -> Condition:
    return AllOf((equals("state", State.RUNNING), equals("attempt_count", fence)))


def _fault(fault: Fault) -> dict[str, str | int]:
    known: dict[str, str | int] = {"error_class": fault.error_class, "error_message": fault.message}
    if fault.response_code is not None:
        known["last_response_code"] = fault.response_code
    return known


def _closed_stage(fault: Fault) -> tuple[str, ...]:
    return () if fault.resumable else ("stage",)
