"""What the writes of a job's life are put together from: conditions, and what a write sets, removes or counts."""

from __future__ import annotations

from functions.core.errors import Fault
from functions.core.jobs.records import Job, Picture, Stage, State, timestamp
from functions.core.writes import AllOf, AtMost, Condition, Lacks, Missing, Value, equals

HELD = "held"
"""What the attribute `held` of a held job says; the index of held jobs has no others."""

CLAIMED = "reference_claimed"
WAITING = ("waiting_since", "unreachable_since")
OPEN_ATTEMPT = ("owner", "lease_expires_at")
CALL = ("stage", "flight_until")
HELD_MARKS = ("held", "held_at")
LAST_ERROR = ("error_class", "error_message")
CLOSED = (*OPEN_ATTEMPT, *CALL, "idle_claims", CLAIMED, *LAST_ERROR)


def abandoned(job: Job) -> Condition:
    """Nobody is at it: it is pending, or running as it was seen, and no heartbeat came since."""
    if job.state is not State.RUNNING:
        return equals("state", State.PENDING)
    return AllOf((equals("state", State.RUNNING), AtMost("lease_expires_at", job.lease_expires_at)))


def attempt_is(count: int) -> Condition:
    """The job was claimed so often."""
    return equals("attempt_count", count) if count else Missing("attempt_count")


def owned(fence: int) -> Condition:
    """The worker with this fencing token has the job."""
    return AllOf((equals("state", State.RUNNING), equals("attempt_count", fence)))


def owned_as_seen(fence: int, job: Job) -> Condition:
    """The same, and nobody brought news of the open call."""
    return AllOf((owned(fence), stage_is(job)))


def as_seen(job: Job) -> Condition:
    """Nobody claimed the job since, and nobody brought news of its call."""
    return AllOf((attempt_is(job.attempt_count), stage_is(job)))


def stage_is(job: Job) -> Condition:
    """The open call is as far as it was seen."""
    return Missing("stage") if job.stage is None else equals("stage", job.stage)


def same_cost(job: Job) -> Condition:
    """No payment was learnt of since the job was seen."""
    return Missing("cost_usd") if job.cost_usd is None else equals("cost_usd", job.cost_usd)


def next_payer(job: Job, batch_id: str) -> dict[str, Value]:
    """From now on a batch pays for the job; what was spent so far stays with the one that paid."""
    spent = {job.batch_id: job.cost_to(job.batch_id)} if job.cost_usd else {}
    repaid = {job.batch_id: job.repays_of(job.batch_id)} if job.repays else {}
    return {
        "batch_id": batch_id,
        **({"earlier_costs": {**job.earlier_costs, **spent}} if spent else {}),
        **({"earlier_repays": {**job.earlier_repays, **repaid}} if repaid else {}),
    }


def payments(job: Job, reference: str, attempt: int | None) -> tuple[set[str], dict[str, str]]:
    """What a success by this call shows to be paid for and is not in the cost yet; and the call that is settled by it,
    beside the one that the record will name."""
    uncounted = set() if job.has_settled(reference, attempt) else {reference}
    if job.stage is not Stage.ACCEPTED or job.reference == reference or job.reference_claimed:
        return uncounted, {}
    return uncounted | ({job.reference} - job.settled_calls), {"settled_calls": job.reference}


def still_uncounted(references: set[str]) -> tuple[Condition, ...]:
    """Nobody has counted these calls since."""
    return tuple(Lacks("settled_calls", one) for one in sorted(references) if one)


def success(picture: Picture, image_key: str, latency_ms: int, now_ms: int) -> dict[str, str | int]:
    """What a job with its picture says."""
    return {
        "state": State.SUCCESS,
        "image_key": image_key,
        "width": picture.width,
        "height": picture.height,
        "size": picture.size,
        "sha256": picture.sha256,
        "latency_ms": latency_ms,
        "updated_at": timestamp(now_ms),
        "finished_at": timestamp(now_ms),
    }


def now_held(now_ms: int) -> dict[str, str]:
    """What a held job says, by which the index of held jobs has it."""
    return {"held": HELD, "held_at": timestamp(now_ms)}


def in_flight(until: int) -> dict[str, Value]:
    """What a job says of a call that is left to itself: its place is held until that second; nothing if it is 0."""
    return {"flight_until": until} if until else {}


def last_error(fault: Fault) -> dict[str, str | int]:
    """What a job says of its last error."""
    known: dict[str, str | int] = {"error_class": fault.error_class, "error_message": fault.message}
    if fault.response_code is not None:
        known["last_response_code"] = fault.response_code
    return known


def one_try_more(job: Job, fault: Fault) -> dict[str, Value]:
    """The tries of a job by error class, with the one that ended so."""
    return {"tries": {**job.tries, fault.error_class: job.tries.get(fault.error_class, 0) + 1}}


def closed_stage(fault: Fault) -> tuple[str, ...]:
    """What goes when a call has come to nothing, unless its paid picture is still to be had."""
    return () if fault.resumable else (*CALL, CLAIMED)
