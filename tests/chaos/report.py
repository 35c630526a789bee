"""One table of all runs, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from bench.report import RESULTS, say, show
from functions.core.jobs.reconcile import ANSWERED_SETTLES_SECONDS
from tests.chaos.runs import Outcome

COLUMNS = (
    "run, lanes",
    "rows",
    "paid",
    "unique",
    "paid ÷\nunique",
    "repays",
    "held",
    "failed",
    "lost\nrows",
    "broken",
    "wrong",
    "kills",
    "s",
)
LEGEND = (
    "paid: calls that the provider charged and did not give back; unique: jobs with such a call; repays: calls made "
    "once more by policy, since an earlier one may have been taken; held: jobs that wait for a person for that reason; "
    "failed: share of the jobs; lost rows: without an end in results.csv; broken: pictures that were kept and are not "
    "whole, or not what results.csv names; wrong: counters of the batch that are not what the raw tables say; kills: "
    "processes, with kill -9."
)
BOUND = (
    "Lanes without callbacks (poll, sync): with `hold`, paid ÷ unique is 1.000 as long as the provider lists what it "
    f"took in time: {ANSWERED_SETTLES_SECONDS} s after an error of its own, and the call's time-out later where it "
    "gave no answer. With `repay` it is at most 1 + the share of calls whose answer was lost although they were taken; "
    "in each run at most 1 + repays ÷ unique, which is checked job by job."
)


def show_table(outcomes: Sequence[Outcome]) -> None:
    """Print it, and what its columns and runs are."""
    rows: list[tuple[str, ...]] = []
    for run, lanes in groupby(outcomes, lambda outcome: outcome.run):
        rows += [(run, *[""] * (len(COLUMNS) - 1)), *map(_row, lanes)]
    show("What is left after each run", COLUMNS, rows)
    say(LEGEND)
    say(BOUND)
    for name, about in {outcome.run: outcome.about for outcome in outcomes}.items():
        say(f"{name}: {about}")


def _row(outcome: Outcome) -> tuple[str, ...]:
    verdict = outcome.verdict
    return (
        f" {outcome.lane}",
        str(verdict.rows),
        str(verdict.paid),
        str(verdict.unique),
        f"{verdict.paid_per_unique:.3f}",
        str(verdict.repays),
        str(verdict.held),
        f"{verdict.failure_rate:.1%}",
        str(verdict.lost_rows),
        str(verdict.broken),
        str(len(verdict.wrong_counters)),
        str(outcome.counts.get("kills", 0)),
        f"{outcome.seconds:.0f}",
    )


def save(name: str, command: str, figures: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Write the figures, and the command that gives them, into bench/results: nothing of when and where."""
    path = RESULTS / f"{name}.json"
    record = {"benchmark": "chaos", "command": command, **figures, "runs": [_to_json(outcome) for outcome in outcomes]}
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    say(f"Written to bench/results/{path.name}")


def _to_json(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "run": outcome.run,
        "about": outcome.about,
        "lane": outcome.lane,
        **asdict(verdict),
        "unknown_usd": str(verdict.unknown_usd),
        "paid_per_unique": round(verdict.paid_per_unique, 4),
        "failure_rate": round(verdict.failure_rate, 4),
        "counts": dict(outcome.counts),
        "injected": dict(outcome.injected),
        "notes": outcome.notes,
        "seconds": round(outcome.seconds),
        "broken_invariants": list(outcome.broken),
    }
