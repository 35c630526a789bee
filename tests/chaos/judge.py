"""What a run has to have come to, by what is left of it: the provider's ledger, the tables, the buckets, results.csv.

Nothing of ours is believed that the provider's ledger or the bytes in the bucket could tell otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from functions.core.batches.records import Batch
from functions.core.jobs.lifecycle import SUBMIT_WITHIN_SECONDS

ENDED = ("success", "failed", "held")

LEAVES_WITHIN_SECONDS = SUBMIT_WITHIN_SECONDS + 1.5
"""From the announcement of a call until the provider takes it: what a busy machine needs on the way is allowed."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One paid call by the provider's ledger. `answered`: the answer to the submit was not lost by the provider; `at`:
    when it was taken, in epoch seconds."""

    job_id: str
    at: float
    usd: Decimal
    refunded: bool
    answered: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left of one batch.

    prompts: those of the input's rows, in its order, each different. results: the lines of results.csv, or None if
    there is none. jobs: the raw records. charges: of these jobs. pictures: SHA-256 by key of what lies in the images
    bucket for these jobs and is a whole picture of the size asked for; None for what is not. described: jobs with a
    metadata document. letters: job ids of the dead letters.
    """

    prompts: Sequence[str]
    results: Sequence[Mapping[str, str]] | None
    batch: Batch
    jobs: Sequence[Mapping[str, Any]]
    charges: Sequence[Charge]
    pictures: Mapping[str, str | None]
    described: frozenset[str]
    letters: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The figures of one batch.

    unique: jobs that were paid for at all, so that a job that failed unpaid hides no double payment of another. paid:
    charges that were not given back. double: jobs with more than one of those; unexplained: those of them whose repays
    are fewer than their further payments. lost_rows: rows without a line, or without an end in it. broken: pictures
    that count as made and are not whole, or not the ones that results.csv names. wrong_counters: counters of the batch
    that are not what the raw tables say. unknown_usd: charged, and in no record. lost_answers: calls that were taken
    and whose answer the provider lost. problems: all else that does not fit.
    """

    rows: int
    jobs: int
    unique: int
    paid: int
    double: tuple[str, ...]
    unexplained: tuple[str, ...]
    lost_rows: int
    succeeded: int
    failed: int
    held: int
    repays: int
    lost_answers: int
    broken: int
    wrong_counters: tuple[str, ...]
    unknown_usd: Decimal
    failures: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def paid_per_unique(self) -> float:
        """1.0 if no picture was paid for twice."""
        return self.paid / self.unique if self.unique else 1.0

    @property
    def failure_rate(self) -> float:
        """The share of the jobs that failed."""
        return self.failed / self.jobs if self.jobs else 0.0


def judge(seen: Evidence) -> Verdict:
    """Work out the figures."""
    states = Counter(job["state"] for job in seen.jobs)
    paid = Counter(charge.job_id for charge in seen.charges if not charge.refunded)
    charged = sum((charge.usd for charge in seen.charges if not charge.refunded), Decimal(0))
    known = sum((Decimal(job.get("cost_usd", 0)) for job in seen.jobs), Decimal(0))
    repays = {job["job_id"]: int(job.get("repays", 0)) for job in seen.jobs}
    failed = [job for job in seen.jobs if job["state"] == "failed"]
    return Verdict(
        rows=len(seen.prompts),
        jobs=len(seen.jobs),
        unique=len(paid),
        paid=paid.total(),
        double=tuple(sorted(job_id for job_id, count in paid.items() if count > 1)),
        unexplained=tuple(sorted(job_id for job_id, count in paid.items() if count > 1 + repays[job_id])),
        lost_rows=_lost_rows(seen),
        succeeded=states["success"],
        failed=states["failed"],
        held=states["held"],
        repays=sum(repays.values()),
        lost_answers=sum(not charge.answered for charge in seen.charges),
        broken=sum(_is_broken(job, seen) for job in seen.jobs if job["state"] == "success"),
        wrong_counters=tuple(_wrong_counters(seen, states)),
        unknown_usd=charged - known,
        failures=dict(Counter(str(job.get("error_class", "")) for job in failed)),
        problems=tuple(_problems(seen, paid)),
    )


def _lost_rows(seen: Evidence) -> int:
    """Rows that are not where they were in the input, or have no end there."""
    lines = list(seen.results or ())
    kept = sum(
        line["prompt"] == prompt and line["status"] in ENDED for prompt, line in zip(seen.prompts, lines, strict=False)
    )
    return len(seen.prompts) - kept


def _is_broken(job: Mapping[str, Any], seen: Evidence) -> bool:
    named = next((line["sha256"] for line in seen.results or () if line["job_id"] == job["job_id"]), job.get("sha256"))
    found = seen.pictures.get(str(job.get("image_key")))
    return found is None or found != named or found != job.get("sha256")


def _wrong_counters(seen: Evidence, states: Counter[str]) -> Iterator[str]:
    batch_id = seen.batch.batch_id
    ours = [job for job in seen.jobs if job["batch_id"] == batch_id]
    truth: dict[str, int | Decimal] = {
        "jobs": len(seen.jobs),
        "pending": states["pending"],
        "running": states["running"],
        "held": states["held"],
        "succeeded": states["success"],
        "failed": states["failed"],
        "repaid": sum(int(job.get("repays", 0)) for job in ours),
        "cost_usd": sum((Decimal(job.get("cost_usd", 0)) for job in ours), Decimal(0)),
        "rows": len(seen.prompts),
        "requested": len(seen.prompts),
        "invalid_rows": 0,
        "duplicates_prevented": len(seen.prompts) - len(ours),
    }
    for name, number in truth.items():
        if getattr(seen.batch, name) != number:
            yield f"{name} is {getattr(seen.batch, name)}, not {number}"


def _problems(seen: Evidence, paid: Counter[str]) -> Iterator[str]:
    lines = {line["job_id"]: line for line in seen.results or ()}
    for job in seen.jobs:
        name, state = job["job_id"][:12], job["state"]
        line = lines.get(job["job_id"])
        if state not in ENDED:
            yield f"{name} is still {state}"
        if line is not None and line["status"] != state:
            yield f"{name} is {state}, and {line['status']} in results.csv"
        if state == "success" and not paid[job["job_id"]]:
            yield f"{name} has its picture, and the provider was never paid for it"
        if state == "success" and job["job_id"] not in seen.described:
            yield f"{name} has no metadata"
        if state == "failed" and job["job_id"] not in seen.letters:
            yield f"{name} failed and left no dead letter"
        if state != "success" and any(job["job_id"] in key for key in seen.pictures):
            yield f"{name} has a picture in the bucket and is {state}"
    yield from _wrong_costs(seen)
    yield from _late_calls(seen)


def _wrong_costs(seen: Evidence) -> Iterator[str]:
    """Charges that a job's record does not know, and does not have to: of a call that is held or was repaid."""
    for job in seen.jobs:
        charges = [one.usd for one in seen.charges if one.job_id == job["job_id"] and not one.refunded]
        unknown = sum(charges, Decimal(0)) - Decimal(job.get("cost_usd", 0))
        doubtful = int(job.get("repays", 0)) + (job["state"] == "held")
        if unknown < 0:
            yield f"{job['job_id'][:12]} costs ${-unknown} that were never charged"
        if unknown > doubtful * max(charges, default=Decimal(0)):
            yield f"{job['job_id'][:12]} was charged ${unknown} that are in no record"


def _late_calls(seen: Evidence) -> Iterator[str]:
    """Calls that left long after they were announced. Of jobs with one call: else the record names only the last."""
    announced = {job["job_id"]: float(job["submitting_at"]) / 1000 for job in seen.jobs if "submitting_at" in job}
    calls = Counter(charge.job_id for charge in seen.charges)
    for charge in seen.charges:
        late = charge.at - announced.get(charge.job_id, charge.at)
        if calls[charge.job_id] == 1 and late > LEAVES_WITHIN_SECONDS:
            yield f"{charge.job_id[:12]} was paid for {late:.1f} s after its announcement"


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """The figures of several batches as one."""
    failures: Counter[str] = Counter()
    for verdict in verdicts:
        failures.update(verdict.failures)
    numbers = ("rows", "jobs", "unique", "paid", "lost_rows", "succeeded", "failed", "held", "repays", "lost_answers")
    return Verdict(
        **{name: sum(getattr(verdict, name) for verdict in verdicts) for name in (*numbers, "broken")},
        double=tuple(job_id for verdict in verdicts for job_id in verdict.double),
        unexplained=tuple(job_id for verdict in verdicts for job_id in verdict.unexplained),
        wrong_counters=tuple(what for verdict in verdicts for what in verdict.wrong_counters),
        unknown_usd=sum((verdict.unknown_usd for verdict in verdicts), Decimal(0)),
        failures=dict(failures),
        problems=tuple(what for verdict in verdicts for what in verdict.problems),
    )
