"""What a chaos run prints and writes can be read, and compared, by somebody who was not there."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.chaos import report
from tests.chaos.judge import Verdict
from tests.chaos.runs import Outcome


@pytest.fixture
def outcome() -> Outcome:
    """Of the run and the lane with the longest names."""
    verdict = Verdict(
        rows=1200,
        jobs=1200,
        unique=1000,
        paid=1020,
        double=("a" * 64,),
        unexplained=(),
        lost_rows=0,
        succeeded=1177,
        failed=18,
        held=5,
        repays=21,
        lost_answers=20,
        broken=0,
        wrong_counters=(),
        unknown_usd=Decimal("0.060"),
    )
    return Outcome(
        run="forgotten",
        about="2 % lost answers",
        lane="callback-inline",
        verdict=verdict,
        seconds=1234.5,
        counts={"kills": 10},
        injected={},
        notes=None,
        broken=(),
    )


def test_the_table_shows_each_figure_in_full_and_the_bound_under_it(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    report.show_table([outcome])

    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if "callback-inline" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    figures = ["1200", "1020", "1000", "1.020", "21", "5", "1.5%", "0", "0", "0", "10", "1234"]
    assert cells == ["callback-inline", *figures]
    assert report.BOUND in said
    assert "forgotten: 2 % lost answers" in said


def test_what_is_written_says_how_to_get_it_and_not_when_and_where(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    report.save("one", "make chaos", {"seed": 3}, [outcome])

    record = json.loads((tmp_path / "one.json").read_text())
    assert record.keys() == {"benchmark", "command", "seed", "runs"}
    assert record["command"] == "make chaos"
    (run,) = record["runs"]
    assert (run["paid_per_unique"], run["failure_rate"], run["unknown_usd"]) == (1.02, 0.015, "0.060")
