"""What the operator lets lanes and accounts have, on a mocked AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import Result

from functions.adapters.mappings import EventSourceMappings
from functions.core.catalog import Catalog, load_catalog
from functions.core.lanes import control
from functions.core.lanes.records import Pace, account_record, lane_record, pace_of
from ops.cli import asking, lanes
from ops.stack import Stack

LANE = "flux-schnell"
MODEL = load_catalog().models[LANE]
ACCOUNT = account_record("wavespeed")

Run = Callable[..., Result]


def pace(stack: Stack) -> Pace:
    """The lane's pace as workers read it."""
    return pace_of(stack.lanes().get_many([ACCOUNT], consistent=True).get(ACCOUNT, {}), MODEL)


def most_workers(stack: Stack) -> int | None:
    """The operator's limit, as the governor reads it."""
    name = lane_record(LANE)
    return control.control_of(stack.lanes().get_many([name], consistent=True).get(name, {})).workers_limit


def employed(stack: Stack) -> int | None:
    """How many workers the mapping lets work at a time."""
    return EventSourceMappings(stack.lambda_()).look(stack.lane_mappings[LANE]).workers


def with_catalog(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> None:
    """Let the catalog say something else of the model or of its account."""
    account = replace(MODEL.account, **attributes.pop("account", {}))
    catalog = Catalog({"wavespeed": account}, {LANE: replace(MODEL, account=account, **attributes)})
    monkeypatch.setattr(lanes, "load_catalog", lambda: catalog)


def test_limits_are_kept_where_workers_and_governor_read_them(run: Run, stack: Stack) -> None:
    result = run("lanes", "set", LANE, "--rate", 300, "--workers", 4, "--in-flight", 120, "--account-rate", "450")

    assert result.exit_code == 0, result.output
    found = pace(stack)
    assert (found.limit, found.account_rate) == (Decimal(300), Decimal(450))
    assert (found.ceiling, most_workers(stack)) == (120, 4)


def test_workers_that_go_by_older_limits_learn_of_new_ones(run: Run, stack: Stack) -> None:
    run("lanes", "set", LANE, "--rate", 300)
    settings = pace(stack).settings

    run("lanes", "set", LANE, "--rate", 300)
    assert pace(stack).settings == settings

    run("lanes", "set", LANE, "--rate", 200)
    assert pace(stack).settings == settings + 1


def test_each_limit_is_told_as_it_was_and_as_it_is(run: Run) -> None:
    run("lanes", "set", LANE, "--rate", 300)

    result = run("lanes", "set", LANE, "--rate", "200", "--workers", "4", "--in-flight", "120")

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    together = "all lanes of wavespeed together"
    assert lines == [
        "Was Is Takes effect",
        f"{LANE}: images a minute, at most 300 200 within half a minute",
        f"{LANE}: workers at a time, at most auto: 8, as the catalog says 4 now",
        f"{together}: calls in flight, at most auto: 300, as the plan allows 120 within half a minute",
    ]
    assert "a deploy does not" in result.stderr


def test_a_change_is_a_record_for_scripts(run: Run) -> None:
    run("lanes", "set", LANE, "--rate", 300)

    result = run("lanes", "set", LANE, "--rate", "auto", "--workers", 4, "--json")

    assert json.loads(result.stdout) == {
        "model": LANE,
        "account": "wavespeed",
        "changes": [
            {"limit": "rate", "before": 300, "after": None, "at_once": False},
            {"limit": "workers", "before": None, "after": 4, "at_once": True},
        ],
    }


def test_auto_takes_back_what_was_set(run: Run, stack: Stack) -> None:
    run("lanes", "set", LANE, "--rate", 50, "--workers", 4, "--in-flight", 50, "--account-rate", 50)
    assert (pace(stack).limit, most_workers(stack)) == (Decimal(50), 4)

    auto = ("--rate", "auto", "--workers", "AUTO", "--in-flight", "auto", "--account-rate", "auto")
    result = run("lanes", "set", LANE, *auto)

    assert result.exit_code == 0, result.output
    found = pace(stack)
    assert (found.limit, found.ceiling, found.account_rate, most_workers(stack)) == (None, None, None, None)


def test_fewer_workers_work_at_once_and_as_many_as_are_needed_when_they_may(run: Run, stack: Stack) -> None:
    run("lanes", "set", LANE, "--workers", 3)
    assert employed(stack) == 3

    run("lanes", "set", LANE, "--workers", "auto")
    assert employed(stack) == 8


def test_a_limit_does_not_undo_what_the_governor_throttles(run: Run, stack: Stack) -> None:
    halve = control.halve(workers=4, rate=Decimal(100), notice="", interval_ms=1, now_ms=10)
    stack.lanes().write(lane_record(LANE), halve)

    run("lanes", "set", LANE, "--workers", 6)

    assert employed(stack) == 4
    assert most_workers(stack) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Say what to set: --rate, --workers, --in-flight or --account-rate."),
        (("--rate", "0"), f"--rate 0 would be a pause, which is: imagebatch pause --lane {LANE}"),
        (("--rate", "fast"), "--rate takes a whole number above 0, or 'auto' to take back what was set; not 'fast'."),
        (("--in-flight", "2.5"), "--in-flight takes a whole number"),
        (("--account-rate=-5",), "--account-rate takes a whole number"),
        (("--rate", ""), "--rate takes a whole number"),
        (("--rate", "501"), "--rate 501 is beyond the 500 images a minute that all lanes of the account wavespeed may"),
        (("--rate", "301", "--account-rate", "300"), "--rate 301 is beyond the 300 images a minute"),
        (("--workers", "1"), "--workers is 2 at least"),
        (("--workers", "9"), f"--workers is 8 at most: so many are reserved (workers of models.{LANE} in"),
        (("--account-rate", "10001"), "--account-rate is 10,000 at most, which is more than any provider's plan."),
        (("--in-flight", "100001"), "--in-flight is 100,000 at most"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(run: Run, stack: Stack, options: tuple[str, ...], said: str) -> None:
    result = run("lanes", "set", LANE, *options)

    assert result.exit_code == 2
    assert said in result.stderr
    assert (pace(stack), most_workers(stack), employed(stack)) == (Pace(), None, 8)


def test_a_lane_may_go_as_fast_as_its_account_was_set_to(run: Run, stack: Stack) -> None:
    run("lanes", "set", LANE, "--account-rate", 900, "--yes")

    assert run("lanes", "set", LANE, "--rate", 700).exit_code == 0
    assert run("lanes", "set", LANE, "--rate", 700, "--account-rate", "auto").exit_code == 2
    assert pace(stack).lane_per_minute(MODEL) == 700


def test_a_lane_goes_no_faster_than_the_catalog_lets_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with_catalog(monkeypatch, images_per_minute=100)

    assert "images_per_minute of models.flux-schnell" in run("lanes", "set", LANE, "--rate", 101).stderr
    assert run("lanes", "set", LANE, "--rate", 100).exit_code == 0


@pytest.mark.parametrize(
    ("option", "number", "what"),
    [
        ("--account-rate", 501, "500 images a minute"),
        ("--in-flight", 301, "300 calls in flight"),
    ],
)
def test_beyond_the_plan_needs_a_yes(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch, option: str, number: int, what: str
) -> None:
    nobody = run("lanes", "set", LANE, option, number)
    assert nobody.exit_code == 2
    assert f"wavespeed's plan 'silver' allows {what}, says the catalog. The provider will refuse" in nobody.stderr

    monkeypatch.setattr(asking, "is_interactive", lambda: True)
    assert "Nothing was changed." in run("lanes", "set", LANE, option, number, input="n\n").stderr
    assert pace(stack) == Pace()

    assert run("lanes", "set", LANE, option, number, input="y\n").exit_code == 0
    assert pace(stack) != Pace()
    assert run("lanes", "set", LANE, option, number, "--yes").exit_code == 0


def test_a_plan_that_nobody_knows_has_no_beyond(run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with_catalog(monkeypatch, account={"plan": "", "images_per_minute": None, "concurrency": None})

    result = run("lanes", "set", LANE, "--account-rate", 3_000, "--in-flight", 900)

    assert result.exit_code == 0, result.output
    assert result.stdout.count("auto: the plan is not known") == 2
    assert pace(stack).account_rate == 3_000


def test_a_lane_that_is_not_there_is_a_sentence(run: Run) -> None:
    result = run("lanes", "set", "flux", "--rate", 5)

    assert result.exit_code == 3
    assert f"has no lane 'flux'; there is: {LANE}." in result.stderr


def test_what_aws_cannot_change_now_the_governor_changes(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventSourceMappings, "change", lambda *_, **__: False)

    result = run("lanes", "set", LANE, "--workers", 4)

    assert (result.exit_code, most_workers(stack)) == (0, 4)
    assert "within a minute" in result.stdout
