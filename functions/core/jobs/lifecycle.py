"""A job's life: how its record may change, who may change it and on what condition.

Here are the writes of workers and callbacks. What batches ask of a job is in `demand`, what the operator says of a held
one in `operator`, and what all these writes share in `clauses`.

    pending ──claim──► running ──succeed──► success ◄──finish── pending, running, held, failed
       ▲  ▲              │ │ └───fail─────► failed ──revive──► pending
       │  │              │ └─────hold─────► held ──look_again, resubmit, give_up, heal──► pending or failed
       │  └──repay───────┤
       └─────give_back───┘

Inside running, `stage` says whether a paid call is open: none ──announce──► submitting ──accept, heal──► accepted.

Four may write:

- The **owner**, a worker that claimed the job. `attempt_count` counts claims and is the fencing token: every write of
  an owner names the one it was given, so an owner that lost its lease can change nothing any more. What an owner
  concludes from the open call (give_back, fail, hold, repay) holds only while the stage is the one it has seen.
- Whoever **knows what became of a call**: the provider's callback, or the worker that made it and lost its lease
  meanwhile (heal, finish, count_payment). They own nothing and add what is true of the call, which `call_attempt` or
  the reference names.
- **Batches**, by the splitter and the reporter (create, join, revive, cancel, hand_over, expire: `demand`). They own
  nothing either, and take no job from a worker that lives: what nobody is at may be dropped, and a job whose paid call
  is still open is held when it expires.
- The **operator**, of a held job (look_again, resubmit, give_up: `operator`). A prediction that the operator names is
  believed once the provider knows it, and else forgotten by the owner (disown).

A paid call is announced (`submitting`) before it leaves; a record that shows `submitting` to its next owner therefore
means that money may have been spent, and that owner looks before it acts.
"""

from __future__ import annotations

from decimal import Decimal

from functions.core.errors import Fault
from functions.core.jobs.clauses import (
    CALL,
    CLAIMED,
    CLOSED,
    HELD_MARKS,
    LAST_ERROR,
    OPEN_ATTEMPT,
    WAITING,
    as_seen,
    attempt_is,
    closed_stage,
    in_flight,
    last_error,
    next_payer,
    now_held,
    one_try_more,
    owned,
    owned_as_seen,
    payments,
    same_cost,
    still_uncounted,
    success,
)
from functions.core.jobs.records import Job, Picture, Stage, State, timestamp
from functions.core.writes import Above, AllOf, AnyOf, AtMost, Condition, Lacks, Missing, Value, Write, equals

MAX_IDLE_CLAIMS = 3
"""Claims in a row with neither submit nor outcome, after which a job is taken for one that kills its workers."""

MAX_IDLE_LOOKS = 10
"""The same while a paid call is open: looking again costs nothing, and ending the job may cost what was paid."""

SUBMIT_WITHIN_SECONDS = 5.0
"""A paid call leaves within this time of its announcement or not at all: fencing does not reach the provider."""


def claim_to_submit(owner: str, now_ms: int, lease_ms: int, unit_price_usd: Decimal | None = None) -> Write:
    """Take a job that was never tried, and announce its paid call in the same write. By a worker, from pending.

    `unit_price_usd`: what the model costs now, if that is not the catalog's price.
    """
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
            "call_attempt": 1,
            "updated_at": timestamp(now_ms),
            **_asked_price(unit_price_usd),
        },
    )


def _asked_price(unit_price_usd: Decimal | None) -> dict[str, Value]:
    return {} if unit_price_usd is None else {"unit_price_usd": unit_price_usd}


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
                attempt_is(job.attempt_count),
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


def announce(fence: int, job: Job, now_ms: int, unit_price_usd: Decimal | None = None) -> Write:
    """Say that a paid call is about to leave. By the owner, while no other paid call is open.

    If a batch has inherited the job, the call is the first that is its own to pay.
    """
    when: tuple[Condition, ...] = (owned(fence), Missing("stage"))
    return Write(
        name="announce",
        when=AllOf((*when, same_cost(job)) if job.heir else when),
        sets={
            "stage": Stage.SUBMITTING,
            "submitting_at": now_ms,
            "call_attempt": fence,
            "updated_at": timestamp(now_ms),
            **(next_payer(job, job.heir) if job.heir else {}),
            **_asked_price(unit_price_usd),
        },
        removes=(
            "idle_claims",
            "last_response_code",
            "heir",
            *WAITING,
            *LAST_ERROR,
            *(() if unit_price_usd else ("unit_price_usd",)),
        ),
    )


def withdraw(fence: int, now_ms: int) -> Write:
    """The announced call did not leave: nothing was paid, no try is spent. By the owner, who knows that it did not."""
    return Write(
        name="withdraw",
        when=owned(fence),
        sets={"state": State.PENDING, "updated_at": timestamp(now_ms)},
        removes=(*OPEN_ATTEMPT, *CALL),
    )


def doubt(fence: int, fault: Fault, now_ms: int, flight_until: int = 0) -> Write:
    """The answer to a paid call is lost: the next owner looks what became of it. By the owner; spends no try."""
    return Write(
        name="doubt",
        when=AllOf((owned(fence), equals("stage", Stage.SUBMITTING))),
        sets={
            "lease_expires_at": now_ms,
            "waiting_since": now_ms,
            "updated_at": timestamp(now_ms),
            **in_flight(flight_until),
            **last_error(fault),
        },
    )


def accept(
    fence: int, *, reference: str, response_code: int, leaving: bool, now_ms: int, flight_until: int = 0
) -> Write:
    """The provider took the announced call and gave a reference. By the owner; if `leaving`, its lease ends with it."""
    left: dict[str, Value] = {"lease_expires_at": now_ms, "waiting_since": now_ms} if leaving else {}
    return Write(
        name="accept",
        when=AllOf((owned(fence), equals("stage", Stage.SUBMITTING))),
        sets={
            "stage": Stage.ACCEPTED,
            "reference": reference,
            "last_response_code": response_code,
            "updated_at": timestamp(now_ms),
            **left,
            **in_flight(flight_until),
        },
        removes=("idle_claims", "unreachable_since") if leaving else ("idle_claims", *WAITING),
    )


def heal(job: Job, attempt: int, *, reference: str, now_ms: int) -> Write:
    """The reference of the open call, which its owner could not write down. A held job is pending again by it.

    By whoever knows it: a callback, or the worker that lost its lease during the call. While the call that this
    attempt announced is the open one, and the state as seen.
    """
    held = job.state is State.HELD
    return Write(
        name="heal",
        when=AllOf(
            (
                equals("state", job.state),
                equals("stage", Stage.SUBMITTING),
                equals("call_attempt", attempt),
            )
        ),
        sets={
            "state": State.PENDING if held else job.state,
            "stage": Stage.ACCEPTED,
            "reference": reference,
            "updated_at": timestamp(now_ms),
        },
        removes=("idle_claims", *WAITING, *(HELD_MARKS if held else ())),
    )


def heartbeat(fence: int, now_ms: int, lease_ms: int) -> Write:
    """The owner is alive: its lease is extended. By the owner, while the lease lasts: one that it ended stays so."""
    return Write(
        name="heartbeat",
        when=AllOf((owned(fence), Above("lease_expires_at", now_ms))),
        sets={"lease_expires_at": now_ms + lease_ms},
    )


def leave(fence: int, job: Job, now_ms: int, *, unreachable: bool = False, flight_until: int = 0) -> Write:
    """The owner stops before the outcome is known: the next one may take over at once. By the owner; spends no try.

    `unreachable`: the provider could not be asked. `flight_until`: the second until which its open call has a place
    among those in flight.
    """
    since: dict[str, Value] = {"unreachable_since": job.unreachable_since or now_ms} if unreachable else {}
    return Write(
        name="leave",
        when=owned(fence),
        sets={
            "lease_expires_at": now_ms,
            "waiting_since": job.waiting_since or now_ms,
            "updated_at": timestamp(now_ms),
            **since,
            **in_flight(flight_until),
        },
        removes=("idle_claims",) if unreachable else ("idle_claims", "unreachable_since"),
    )


def give_back(fence: int, job: Job, fault: Fault, now_ms: int) -> Write:
    """A try failed in a way that another may not: pending again, one try spent. By the owner.

    The stage stays if the provider still has the paid picture (`fault.resumable`); a call that it took and failed costs
    nothing, whoever brings news of it later.
    """
    over = job.stage is Stage.ACCEPTED and not fault.resumable
    return Write(
        name="give_back",
        when=owned_as_seen(fence, job),
        sets={
            "state": State.PENDING,
            **one_try_more(job, fault),
            "updated_at": timestamp(now_ms),
            **last_error(fault),
        },
        removes=(*OPEN_ATTEMPT, "idle_claims", *WAITING, *closed_stage(fault)),
        joins={"settled_calls": job.reference} if over else {},
    )


def succeed(
    fence: int,
    job: Job,
    picture: Picture,
    *,
    reference: str,
    image_key: str,
    price_usd: Decimal,
    latency_ms: int,
    now_ms: int,
) -> Write:
    """The picture was checked and lies in the bucket. By the owner.

    `reference`: the call that is known to have made it, if any, else the open or the last one is taken to. If both were
    taken, both are paid for.
    """
    open_call = job.reference if job.stage is Stage.ACCEPTED else ""
    # Where no call is open, the picture is taken to be of the last one whose reference is known.
    last_known = job.reference if job.stage is None else ""
    reference = reference or open_call or last_known
    uncounted, joins = payments(job, reference, job.call_attempt if reference == open_call else None)
    return Write(
        name="succeed",
        when=AllOf((owned(fence), *still_uncounted(uncounted))),
        sets={**success(picture, image_key, latency_ms, now_ms), **({"reference": reference} if reference else {})},
        removes=CLOSED,
        adds={"cost_usd": price_usd * len(uncounted)},
        joins=joins,
    )


def fail(fence: int, job: Job, fault: Fault, *, price_usd: Decimal, now_ms: int) -> Write:
    """The last try failed, or a try failed in a way that every other would. By the owner.

    A picture that the provider has, and that could not be had from it, is paid for all the same.
    """
    taken = job.stage is Stage.ACCEPTED
    paid = taken and fault.resumable and job.reference not in job.settled_calls
    return Write(
        name="fail",
        when=owned_as_seen(fence, job),
        sets={
            "state": State.FAILED,
            **one_try_more(job, fault),
            "updated_at": timestamp(now_ms),
            "finished_at": timestamp(now_ms),
            **last_error(fault),
        },
        removes=(*OPEN_ATTEMPT, "idle_claims", *closed_stage(fault)),
        adds={"cost_usd": price_usd * paid},
        joins={"settled_calls": job.reference} if taken else {},
    )


def finish(
    job: Job,
    picture: Picture,
    *,
    attempt: int,
    reference: str,
    image_key: str,
    price_usd: Decimal,
    latency_ms: int,
    event_id: str,
    now_ms: int,
) -> Write:
    """A call of the job has succeeded, and its picture lies in the bucket: late truth wins over what was thought since.

    By a provider's callback, of any job that has not succeeded and is as seen. If another call of the job was taken,
    both are paid for; what somebody counts meanwhile is not counted again. `attempt` announced the call.
    """
    uncounted, joins = payments(job, reference, attempt)
    return Write(
        name="finish",
        when=AllOf((equals("state", job.state), as_seen(job), *still_uncounted(uncounted))),
        sets={**success(picture, image_key, latency_ms, now_ms), "reference": reference},
        removes=(*CLOSED, *HELD_MARKS, *WAITING),
        adds={"cost_usd": price_usd * len(uncounted)},
        joins={**joins, **({"callback_ids": event_id} if event_id else {})},
    )


def count_payment(job: Job, reference: str, price_usd: Decimal, now_ms: int) -> Write:
    """One more call of the job was paid for, beside the one that its record is about.

    By whoever learns it: a callback, or the worker that made the call. Once for each reference.
    """
    return Write(
        name="count_payment",
        when=AllOf((equals("state", job.state), Lacks("settled_calls", reference))),
        sets={"updated_at": timestamp(now_ms)},
        adds={"cost_usd": price_usd},
        joins={"settled_calls": reference},
    )


def hold(fence: int, job: Job, fault: Fault, now_ms: int) -> Write:
    """Nobody can say whether a paid call was taken: the job waits for a person. By the owner, of the call as seen."""
    return Write(
        name="hold",
        when=owned_as_seen(fence, job),
        sets={"state": State.HELD, "updated_at": timestamp(now_ms), **now_held(now_ms), **last_error(fault)},
        removes=(*OPEN_ATTEMPT, "idle_claims"),
    )


def repay(fence: int, job: Job, fault: Fault, now_ms: int) -> Write:
    """Nobody can say whether a paid call was taken, and the model's policy is to make another one. By the owner, once.

    Spends no try, and is counted.
    """
    return Write(
        name="repay",
        when=AllOf((owned_as_seen(fence, job), equals("stage", Stage.SUBMITTING), Missing("repays"))),
        sets={"state": State.PENDING, "updated_at": timestamp(now_ms), **last_error(fault)},
        removes=(*OPEN_ATTEMPT, *CALL, "idle_claims", *WAITING),
        adds={"repays": 1},
    )


def disown(fence: int, job: Job, fault: Fault, now_ms: int) -> Write:
    """The provider does not know the prediction that the operator named: held as before, for another one. By the
    owner."""
    return Write(
        name="disown",
        when=AllOf((owned_as_seen(fence, job), equals(CLAIMED, 1))),
        sets={
            "state": State.HELD,
            "stage": Stage.SUBMITTING,
            "updated_at": timestamp(now_ms),
            **now_held(now_ms),
            **last_error(fault),
        },
        removes=(*OPEN_ATTEMPT, "idle_claims", *WAITING, "reference", CLAIMED),
    )
