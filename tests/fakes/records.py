"""A job's record at each station of its life, made by the writes that lead there.

Its calls are p1, announced by attempt 1, and p2, announced by attempt 2. `now_ms` is when the last owner took it: by
default so long ago that its lease is over.
"""

from __future__ import annotations

from typing import Any

from functions.core.errors import ErrorClass, Fault
from functions.core.input.identity import canonical_json
from functions.core.jobs import demand, lifecycle
from functions.core.jobs.records import Job, Picture, job_from_record
from functions.core.writes import Write, apply
from tests.fakes.lane import JOB, LEASE_SECONDS, PRICE, SPEC
from tests.fakes.virtual_time import START_MS

LEASE_MS = LEASE_SECONDS * 1000
PICTURE = Picture(width=64, height=64, size=900, format="png", sha256="00" * 32)
BUSY = Fault(ErrorClass.CAPACITY, "HTTP 503", 503)
BROKEN = Fault(ErrorClass.CORRUPT, "the bytes are not a png picture", resumable=True)
LOST = Fault(ErrorClass.AMBIGUOUS, "the answer to the submit was lost")

Record = dict[str, Any]


def seen(record: Record) -> Job:
    """The job as somebody who reads the record sees it."""
    return job_from_record(record)


def created() -> Record:
    return apply(demand.create(JOB, model=SPEC.model, spec=canonical_json(SPEC), batch_id="a", now_ms=0), {})


def announced(now_ms: int = 0) -> Record:
    """Running: the first call was announced, and nobody has said what became of it."""
    return apply(lifecycle.claim_to_submit("one", now_ms, LEASE_MS), created())


def accepted(now_ms: int = 0, *, leaving: bool = False) -> Record:
    """Running: the first call was taken as p1."""
    accept = lifecycle.accept(1, reference="p1", response_code=200, leaving=leaving, now_ms=now_ms)
    return apply(accept, announced(now_ms))


def doubted() -> Record:
    """Running: the answer to the first call is lost, and its owner has said so."""
    return apply(lifecycle.doubt(1, LOST, 7), announced())


def left() -> Record:
    """Running: the first call was taken as p1, and its owner has left the rest to the callback."""
    return accepted(START_MS, leaving=True)


def given_back() -> Record:
    """Pending: the first call is taken for one that never arrived."""
    return apply(lifecycle.give_back(1, seen(announced()), BUSY, 0), announced())


def taken_over(record: Record, now_ms: int, owner: str = "two") -> Record:
    """The same job, claimed to look at it."""
    return apply(lifecycle.claim_to_look(seen(record), owner, now_ms, LEASE_MS), record)


def tried_again(record: Record, now_ms: int) -> Record:
    """The same job, claimed once more and with another call announced."""
    claimed = taken_over(record, now_ms)
    return apply(lifecycle.announce(claimed["attempt_count"], seen(claimed), now_ms), claimed)


def announced_again(now_ms: int = 0) -> Record:
    """Running: a second call was announced."""
    return tried_again(given_back(), now_ms)


def accepted_again(now_ms: int = 0) -> Record:
    """Running: the second call was taken as p2."""
    accept = lifecycle.accept(2, reference="p2", response_code=200, leaving=False, now_ms=now_ms)
    return apply(accept, announced_again(now_ms))


def held() -> Record:
    """Held: nobody can say what became of the first call."""
    return apply(lifecycle.hold(1, seen(announced()), LOST, 5), announced())


def held_accepted() -> Record:
    """Held: the provider does not say what became of p1."""
    return apply(lifecycle.hold(1, seen(accepted()), LOST, 5), accepted())


def failed() -> Record:
    """Failed, and nothing was paid."""
    return apply(lifecycle.fail(1, seen(announced()), BUSY, price_usd=PRICE, now_ms=5), announced())


def failed_paid() -> Record:
    """Failed: p1 was paid for, and its picture could not be had."""
    return apply(lifecycle.fail(1, seen(accepted()), BROKEN, price_usd=PRICE, now_ms=5), accepted())


def succeeded() -> Record:
    """Success, by p1."""
    return apply(succeed(1, seen(accepted())), accepted())


def succeed(fence: int, job: Job, reference: str = "") -> Write:
    return lifecycle.succeed(
        fence,
        job,
        PICTURE,
        reference=reference,
        image_key="ab/x.png",
        price_usd=PRICE,
        latency_ms=1,
        now_ms=9,
    )


def finish(job: Job, reference: str, event_id: str = "e1", attempt: int = 1) -> Write:
    return lifecycle.finish(
        job,
        PICTURE,
        attempt=attempt,
        reference=reference,
        image_key="ab/x.png",
        price_usd=PRICE,
        latency_ms=1,
        event_id=event_id,
        now_ms=9,
    )
