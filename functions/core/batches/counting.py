"""Counting a batch's jobs: what one job is worth to a batch, and how a change of the job changes that.

A batch's counters are the sum of what each of its jobs is worth. So the counters follow from the changes alone: each
change adds what the job is worth after it and takes away what it was worth before. A job that had already ended when
the batch met it never changes for the batch; whoever meets it counts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from functions.core.batches.records import COUNTERS
from functions.core.jobs.records import Job, State

Counts = Mapping[str, int | Decimal]
"""Numbers by counter of the batch record; a counter that is not named counts as 0."""

COUNTED_SECONDS = 10
"""A batch looks finished until its new jobs are counted, which takes some seconds; to close it is not tried before."""

_COUNTER_OF = {
    State.PENDING: "pending",
    State.RUNNING: "running",
    State.HELD: "held",
    State.SUCCESS: "succeeded",
    State.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A job's record before and after one write; None where there was none."""

    before: Job | None
    after: Job | None


def worth(batch_id: str, job: Job) -> Counts:
    """What a job counts for in a batch that wants it; its cost and its repays as far as that batch pays for them.

    A job may have cost something before it ends: a second payment is counted when it is learnt of.
    """
    counts: dict[str, int | Decimal] = {"jobs": 1, _COUNTER_OF[job.state]: 1}
    if cost_usd := job.cost_to(batch_id):
        counts["cost_usd"] = cost_usd
    if repaid := job.repays_of(batch_id):
        counts["repaid"] = repaid
    return counts


def add_to(total: dict[str, int | Decimal], counts: Counts, times: int = 1) -> None:
    """Add counts to a total."""
    for name, number in counts.items():
        total[name] = total.get(name, 0) + times * number


def exactly(counts: Counts) -> dict[str, int | Decimal]:
    """Counts with every counter named, those that are 0 too: what a recount writes down."""
    return {**dict.fromkeys(COUNTERS, 0), "cost_usd": Decimal(0), **counts}


def deltas(changes: Iterable[Change]) -> dict[str, dict[str, int | Decimal]]:
    """By how much each batch's counters change. Counters and batches that stay the same are left out."""
    total: dict[str, dict[str, int | Decimal]] = {}
    for change in changes:
        for job, sign in ((change.before, -1), (change.after, 1)):
            if job is None:
                continue
            for batch_id in job.batches:
                add_to(total.setdefault(batch_id, {}), worth(batch_id, job), sign)
    changed = {batch_id: {name: n for name, n in counts.items() if n} for batch_id, counts in total.items()}
    return {batch_id: counts for batch_id, counts in changed.items() if counts}
