"""One table of all runs, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.report import say, show
from tests.chaos.runs import Outcome

COLUMNS = (
    "run, lane",
    "rows",
    "unique",
    "paid",
    "paid ÷\nunique",
    "lost",
    "made",
    "failed",
    "held",
    "bad",
    "wrong",
    "kills",
    "s",
)


def show_table(outcomes: Sequence[Outcome]) -> None:
    """Print it, and what its columns and runs are."""
    show("What is left after each run", COLUMNS, [_row(outcome) for outcome in outcomes])
    say(
        "unique: jobs that were paid for; lost: rows without an end in results.csv; bad: broken pictures that were "
        "kept; wrong: counters that are not what the raw tables say."
    )
    for outcome in outcomes:
        if outcome.verdict.repays:
            say(f"{outcome.run}, {outcome.lane}: {outcome.verdict.repays} repaid by policy")
    for name, about in {outcome.run: outcome.about for outcome in outcomes}.items():
        say(f"{name}: {about}")


def _row(outcome: Outcome) -> tuple[str, ...]:
    verdict = outcome.verdict
    return (
        f"{outcome.run}, {outcome.lane}",
        str(verdict.rows),
        str(verdict.unique),
        str(verdict.paid),
        f"{verdict.paid_per_unique:.3f}",
        str(verdict.lost_rows),
        str(verdict.succeeded),
        str(verdict.failed),
        str(verdict.held),
        str(verdict.broken),
        str(len(verdict.wrong_counters)),
        str(outcome.counts.get("kills", 0)),
        f"{outcome.seconds:.0f}",
    )


def to_json(outcome: Outcome) -> dict[str, Any]:
    """One outcome."""
    verdict: Mapping[str, Any] = {
        **asdict(outcome.verdict),
        "unknown_usd": str(outcome.verdict.unknown_usd),
        "double": list(outcome.verdict.double),
        "paid_per_unique": round(outcome.verdict.paid_per_unique, 4),
    }
    return {
        "run": outcome.run,
        "about": outcome.about,
        "lane": outcome.lane,
        **verdict,
        "counts": dict(outcome.counts),
        "injected": dict(outcome.injected),
        "notes": outcome.notes,
        "seconds": round(outcome.seconds, 1),
        "broken_invariants": list(outcome.broken),
    }
