"""Held jobs for people: which there are, and what comes of what the operator decides about them.

A job is held when a call of it may have been paid for and nobody can say. It stays so until a callback brings the truth
or the operator decides: each decision is a conditional write on the job as it was seen.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from functions.adapters.clock import SystemClock
from functions.adapters.sqs import SqsQueue, UndeliveredError
from functions.core.catalog import Catalog, Model, OnAmbiguous
from functions.core.jobs import operator
from functions.core.jobs.records import Job, Stage, State, timestamp
from functions.core.messages import DeadLetter, Doorbell, dump
from functions.core.writes import Write
from ops.batches import find_batch
from ops.errors import CommandError, UsageError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from ops.stack import Stack

SHORTEST_ID = 8
"""Characters of a job's id that are shown at least; more where they do not tell two held jobs apart."""

_JOB_ID_LENGTH = 64
_JOB_ID = re.compile(rf"[0-9a-f]{{4,{_JOB_ID_LENGTH}}}")
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_JOBS_AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the provider once more; about the prediction that the operator found, if one is named."""

    rings: ClassVar[bool] = True
    reference: str = ""

    def write(self, job: Job, now_ms: int) -> Write:
        """The change of a held job."""
        named = self.reference if job.payment_unknown else ""
        return operator.look_again(job, reference=named, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Resubmit:
    """Pay for a new call. `not_taken`: the operator knows that the earlier one was never taken. `prices`: by model."""

    rings: ClassVar[bool] = True
    not_taken: bool = False
    prices: Mapping[str, Decimal] = field(default_factory=dict)

    def write(self, job: Job, now_ms: int) -> Write:
        """The change of a held job."""
        price = self.prices.get(job.model, Decimal(0))
        return operator.resubmit(job, repays=not self.not_taken, price_usd=price, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Let the job fail, with a dead letter as when a worker does so. `prices`: by model what its call cost; empty if it
    cost nothing."""

    rings: ClassVar[bool] = False
    prices: Mapping[str, Decimal] = field(default_factory=dict)

    def write(self, job: Job, now_ms: int) -> Write:
        """The change of a held job."""
        return operator.give_up(job, cost_usd=self.cost(job), now_ms=now_ms)

    def cost(self, job: Job) -> Decimal:
        """What is counted as paid for the job by giving it up, beside what was counted before."""
        counted = job.stage is Stage.ACCEPTED and job.reference in job.settled_calls
        return Decimal(0) if counted else self.prices.get(job.model, Decimal(0))


Decision = Look | Resubmit | GiveUp


@dataclass(frozen=True, slots=True)
class Selection:
    """The held jobs that were asked for. `moved_on`: what else was asked for, and what is known of it."""

    jobs: Sequence[Job]
    moved_on: Sequence[MovedOn] = ()


@dataclass(frozen=True, slots=True)
class MovedOn:
    """A job that is not held (any more), as it was named; `state` is empty if nothing is known of it."""

    job: str
    state: str = ""


def held_jobs(stack: Stack) -> list[Job]:
    """All held jobs, the longest held first."""
    return list(stack.jobs().held())


def of_batch(stack: Stack, jobs: Sequence[Job], text: str) -> tuple[str, list[Job]]:
    """The batch that is meant, by its id or the beginning of it, and those of the jobs that it asked for.

    Raises:
        NotFoundError: when there is no such batch.
        UsageError: when there are several.
    """
    batch_id = text if any(text in job.batches for job in jobs) else find_batch(stack, text).batch_id
    return batch_id, [job for job in jobs if batch_id in job.batches]


def short_ids(jobs: Sequence[Job]) -> dict[str, str]:
    """For each job's id so much of its beginning as tells it from the others."""
    ids = sorted(job.job_id for job in jobs)
    shared = [0, *(_shared(one, other) for one, other in itertools.pairwise(ids)), 0]
    return {
        job_id: job_id[: max(SHORTEST_ID, 1 + max(before, after))]
        for job_id, (before, after) in zip(ids, itertools.pairwise(shared), strict=True)
    }


def select(stack: Stack, texts: Collection[str]) -> Selection:
    """The held jobs of these ids, or beginnings of ids.

    Raises:
        UsageError: when one is no job's id, or may be several jobs'.
    """
    held = held_jobs(stack)
    chosen: dict[str, Job] = {}
    moved_on = []
    for text in dict.fromkeys(one.strip().lower() for one in texts):
        if not _JOB_ID.fullmatch(text):
            raise UsageError(
                f"'{text}' is no job's id: those are of 0-9 and a-f, 4 or more. See `imagebatch held list`."
            )
        found = [job for job in held if job.job_id.startswith(text)] or _by_whole_id(stack, text)
        if len(found) > 1:
            names = ", ".join(job.job_id[: max(SHORTEST_ID, len(text) + 4)] for job in found[:5])
            raise UsageError(f"'{text}' may be {names}{' …' if len(found) > 5 else ''}; write some characters more.")
        if found and found[0].state is State.HELD:
            chosen[found[0].job_id] = found[0]
        else:
            moved_on.append(MovedOn(text, found[0].state if found else ""))
    return Selection(list(chosen.values()), moved_on)


def check(stack: Stack, catalog: Catalog, jobs: Sequence[Job], decision: Decision) -> None:
    """See that a decision can be carried out for all of these jobs.

    Raises:
        UsageError: when it cannot; nothing was changed.
    """
    if isinstance(decision, Look) and decision.reference:
        _check_reference(stack, jobs, decision.reference)
    if isinstance(decision, Resubmit) and (unknown := _models(jobs) - set(catalog.models)):
        raise UsageError(
            f"The catalog has no model {_named(unknown)} any more, so what a picture would cost is not known. "
            "Give its jobs up (--give-up), or put the model back into functions/catalog.toml."
        )
    if decision.rings and (closed := _models(jobs) - set(stack.lane_queues)):
        raise UsageError(
            f"No lane works for the model {_named(closed)}. Enable it in functions/catalog.toml and deploy, "
            "or give its jobs up (--give-up)."
        )


def give_up(catalog: Catalog, jobs: Sequence[Job], *, paid: bool) -> GiveUp:
    """The decision to let these jobs fail.

    Raises:
        UsageError: when they were paid for and the price of one is not known.
    """
    if not paid:
        return GiveUp()
    if unknown := _models(jobs) - set(catalog.models):
        raise UsageError(
            f"The catalog has no model {_named(unknown)} any more, so what was paid is not known. Without --paid "
            "nothing is counted for its jobs."
        )
    return GiveUp({model: catalog.models[model].price_usd for model in _models(jobs)})


def price_again(catalog: Catalog, job: Job) -> Decimal | None:
    """What another call of the job would cost, in dollars; None if its model is not in the catalog any more."""
    model = catalog.models.get(job.model)
    return model.price_usd if model else None


def may_repay(catalog: Catalog, job: Job) -> bool:
    """Whether looking at the job again may come to a second payment, by the policy of its model."""
    model: Model | None = catalog.models.get(job.model)
    policy = model is not None and model.on_ambiguous is OnAmbiguous.REPAY
    return policy and job.payment_unknown and not job.repays


def resolve(stack: Stack, jobs: Sequence[Job], decision: Decision, on_done: Callable[[int], None]) -> Iterator[MovedOn]:
    """Carry out a decision, and tell which jobs were not held any more and so were left as they are.

    on_done is told of how many jobs more it was carried out.

    Raises:
        CommandError: when the lanes could not be told of jobs that are on their way again, or no dead letter be left.
    """
    clock, sqs = SystemClock(), stack.sqs()
    for at in range(0, len(jobs), _JOBS_AT_A_TIME):
        some = jobs[at : at + _JOBS_AT_A_TIME]
        if not decision.rings:
            _leave_letters(sqs, stack.dead_letter_queues, some)
        try:
            refused = stack.jobs().write_many({job.job_id: decision.write(job, clock.now_ms()) for job in some})
        finally:
            # After an error or Ctrl-C too: some were written. Ringing a job that was not changes nothing.
            if decision.rings:
                _ring(sqs, stack.lane_queues, some)
        on_done(len(some))
        yield from (MovedOn(job_id, job.state) for job_id, job in refused.items())


def record(catalog: Catalog, job: Job) -> dict[str, Any]:
    """A held job as `imagebatch held list --json` prints it."""
    return {
        "job_id": job.job_id,
        "model": job.model,
        "spec": json.loads(job.spec) | {"seed": job.asked_for().seed},
        "provider_model": catalog.models[job.model].provider_model if job.model in catalog.models else None,
        "batch_id": job.batch_id,
        "batches": sorted(job.batches),
        "created_at": job.created_at,
        "held_at": job.held_at,
        "called_at": timestamp(job.submitting_at) if job.submitting_at else None,
        "stage": job.stage,
        "reference": job.reference if job.stage is Stage.ACCEPTED else None,
        "error_class": job.error_class,
        "error_message": job.error_message,
        "last_response_code": job.last_response_code,
        "attempt_count": job.attempt_count,
        "call_attempt": job.call_attempt,
        "tries": dict(job.tries),
        "repays": job.repays,
        "settled_calls": sorted(job.settled_calls),
        "cost_usd": job.cost_usd or Decimal(0),
        "price_again_usd": price_again(catalog, job),
    }


def _by_whole_id(stack: Stack, text: str) -> list[Job]:
    """The job of this id: it may be held since a moment, or not held any more."""
    return list(stack.jobs().get_many([text], consistent=True).values()) if len(text) == _JOB_ID_LENGTH else []


def _check_reference(stack: Stack, jobs: Sequence[Job], reference: str) -> None:
    if len(jobs) != 1:
        raise UsageError("--reference names the prediction of one job; name that job alone.")
    if not _REFERENCE.fullmatch(reference):
        raise UsageError(f"'{reference}' is no prediction's id: those are of letters, digits, - and _.")
    (job,) = jobs
    known = job.reference if job.stage is Stage.ACCEPTED else ""
    if known == reference:
        return
    if known:
        raise UsageError(
            f"The provider gave this job's call the id {known}, so '{reference}' is another one's. "
            "Without --reference the provider is asked about its own."
        )
    if reference not in (job.reference, *job.settled_calls) and stack.jobs().known_references([reference]):
        raise UsageError(f"'{reference}' is the prediction of another job, so it cannot be this one's.")


def _ring(sqs: SQSClient, lane_queues: Mapping[str, str], jobs: Sequence[Job]) -> None:
    try:
        for model in sorted(_models(jobs)):
            doorbells = [dump(Doorbell(job.job_id)) for job in jobs if job.model == model]
            SqsQueue(sqs, lane_queues[model]).send(doorbells)
    except (UndeliveredError, BotoCoreError, ClientError) as error:
        raise CommandError(
            f"The workers could not be told of {len(jobs)} of the jobs, which may be on their way again ({error}). A "
            "batch that is open sends for its jobs within some minutes; where it has ended, submit its file again: "
            "what is there costs nothing."
        ) from error


def _leave_letters(sqs: SQSClient, dead_letter_queues: Mapping[str, str], jobs: Sequence[Job]) -> None:
    """Leave what is known of jobs for triage, before they fail: a letter too many does no harm, one too few does.

    The dead-letter queue of a model that was disabled is gone, and the jobs of one fail without.
    """
    try:
        for model in sorted(_models(jobs) & set(dead_letter_queues)):
            letters = [dump(_letter(job)) for job in jobs if job.model == model]
            SqsQueue(sqs, dead_letter_queues[model]).send(letters)
    except (UndeliveredError, BotoCoreError, ClientError) as error:
        raise CommandError(
            f"The dead letters of {len(jobs)} of the jobs could not be left ({error}). These jobs are held as before; "
            "give them up again."
        ) from error


def _letter(job: Job) -> DeadLetter:
    return DeadLetter(
        job_id=job.job_id,
        model=job.model,
        batch_id=job.batch_id,
        error_class=job.error_class or "",
        error_message=job.error_message,
        last_response_code=job.last_response_code,
        attempt_count=job.attempt_count,
        tries=dict(job.tries),
    )


def _models(jobs: Sequence[Job]) -> set[str]:
    return {job.model for job in jobs}


def _named(models: Collection[str]) -> str:
    return ", ".join(f"'{model}'" for model in sorted(models))


def _shared(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
