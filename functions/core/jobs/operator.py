"""What the operator says of a held job: look again, pay for a new call, or give up.

Each holds only while the job is held and as it was seen. Where these writes stand in a job's life, and who else may
write, is said in `lifecycle`; so is what comes of a prediction that is not there (disown).
"""

from __future__ import annotations

from decimal import Decimal

from functions.core.jobs.clauses import CALL, CLAIMED, HELD_MARKS, LAST_ERROR, WAITING, as_seen
from functions.core.jobs.records import Job, Stage, State, call_mark, timestamp
from functions.core.writes import AllOf, Condition, Value, Write, equals


def look_again(job: Job, *, reference: str, now_ms: int) -> Write:
    """The provider is to be asked once more about the open call, or about the prediction that the operator names.

    By the operator, of a held job as seen; a prediction is named only where the provider's answer was lost. Spends
    nothing.
    """
    known: dict[str, Value] = {}
    when: tuple[Condition, ...] = (equals("state", State.HELD), as_seen(job))
    if reference:
        known = {"stage": Stage.ACCEPTED, "reference": reference, CLAIMED: 1}
        when = (*when, equals("stage", Stage.SUBMITTING))
    return Write(
        name="look_again",
        when=AllOf(when),
        sets={"state": State.PENDING, "updated_at": timestamp(now_ms), **known},
        removes=(*WAITING, *HELD_MARKS, *LAST_ERROR),
    )


def resubmit(job: Job, *, repays: bool, price_usd: Decimal, now_ms: int) -> Write:
    """The picture is to be paid for anew, with fresh tries. By the operator, of a held job as seen.

    `repays`: the earlier call may have been taken, so this counts as a repay, and so does the price of a call that the
    provider is known to have taken; otherwise the operator knows that it was not.
    """
    paid = repays and job.stage is Stage.ACCEPTED and not job.has_settled(job.reference, job.call_attempt)
    return Write(
        name="resubmit",
        when=AllOf((equals("state", State.HELD), as_seen(job))),
        sets={"state": State.PENDING, "updated_at": timestamp(now_ms)},
        removes=(*CALL, "tries", CLAIMED, *WAITING, *HELD_MARKS, *LAST_ERROR),
        adds={**({"repays": 1} if repays else {}), **({"cost_usd": price_usd} if paid else {})},
        joins={"settled_calls": job.reference} if paid else {},
    )


def give_up(job: Job, *, cost_usd: Decimal, now_ms: int) -> Write:
    """The picture is not to be had. By the operator, of a held job as seen. `cost_usd`: what was paid for the call."""
    call = job.reference if job.stage is Stage.ACCEPTED else call_mark(job.call_attempt)
    return Write(
        name="give_up",
        when=AllOf((equals("state", State.HELD), as_seen(job))),
        sets={
            "state": State.FAILED,
            "updated_at": timestamp(now_ms),
            "finished_at": timestamp(now_ms),
        },
        removes=(*CALL, CLAIMED, *WAITING, *HELD_MARKS),
        adds={"cost_usd": cost_usd},
        joins={"settled_calls": call} if cost_usd else {},
    )
