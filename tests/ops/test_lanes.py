"""The lanes as they are listed, on a mocked AWS."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from typer.testing import Result

from functions.adapters.clock import SystemClock
from functions.adapters.mappings import EventSourceMappings
from functions.core.catalog import Catalog, load_catalog
from functions.core.governing.ports import Feed
from functions.core.jobs.records import State
from functions.core.lanes import control, measures
from functions.core.lanes.measures import Measures, Size
from functions.core.lanes.records import INTAKE, account_record, lane_record, minute_record
from functions.core.writes import AllOf, Write
from ops.cli import frame, lanes
from ops.stack import Stack

NOW_MS = 1_795_250_030_000
MINUTE = NOW_MS // 60_000
LANE = "flux-schnell"
ACCOUNT = account_record("wavespeed")

Put = Callable[[str, Write], object]
Made = Callable[..., None]
Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _half_a_minute_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "now_ms", lambda _: NOW_MS)


@pytest.fixture
def put(stack: Stack) -> Put:
    """`put(name, write)`: carry out a write on a record of the lanes table."""
    return stack.lanes().write


@pytest.fixture
def made(put: Put) -> Made:
    """`made(minutes_ago, pictures, faults=…)`: let the lane have made pictures of 2 s and $0.003, and failed calls."""

    def make(minutes_ago: int, pictures: int, *, faults: int = 0) -> None:
        done = Measures(
            attempts=pictures + faults,
            faults=faults,
            ended=Counter({State.SUCCESS: pictures}),
            costs_usd=[Decimal("0.003")] * pictures,
            expected_usd=Decimal("0.003") * pictures,
            latencies_ms={Size.SMALL: [2_000] * pictures},
        )
        put(minute_record(LANE, MINUTE - minutes_ago), measures.record(done, NOW_MS))

    return make


def sets(**attributes: Any) -> Write:
    """Attributes of a record, whatever was there."""
    return Write(name="put", when=AllOf(()), sets=attributes)


def line(result: Result) -> list[str]:
    """The lane's line: its name, its state and its figures."""
    assert result.exit_code == 0, result.output
    (found,) = (one for one in result.stdout.splitlines() if one.startswith(f"{LANE} ") and "/" in one)
    return found.split()


def listed(run: Run) -> dict[str, Any]:
    """The lane as JSON."""
    result = run("lanes", "--json")
    assert result.exit_code == 0, result.output
    (lane,) = json.loads(result.stdout)["lanes"]
    return dict(lane)


def notes(result: Result) -> str:
    """What is said beneath the table, in one line."""
    return " ".join(result.stdout.partition("\n\n")[2].split())


def test_a_lane_that_nothing_is_known_of_is_idle(run: Run) -> None:
    result = run("lanes")

    assert line(result) == [LANE, "idle", "0/500", "0/300", "8/8", "–", "–", "–", "$0", "0", "0"]
    assert notes(result) == "Files are taken in."


def test_a_lane_is_shown_with_its_figures(run: Run, stack: Stack, put: Put, made: Made) -> None:
    made(1, 480, faults=20)
    made(3, 500)
    made(59, 20)
    made(60, 7)  # an hour ago: that is over
    put(ACCOUNT, sets(in_flight=41))
    for queue, messages in ((stack.lane_queues[LANE], 3), (stack.dead_letter_queues[LANE], 1)):
        for _ in range(messages):
            stack.sqs().send_message(QueueUrl=queue, MessageBody="{}")

    result = run("lanes")

    assert line(result) == [
        *(LANE, "running", "480/500", "41/300", "8/8", "2", "%"),
        *("2.0", "s", "$0.003", "$3.00", "3", "1"),
    ]


def test_the_table_fits_a_window_of_100_columns(run: Run, stack: Stack, put: Put, made: Made) -> None:
    made(1, 9_999, faults=1_234)
    put(ACCOUNT, sets(in_flight=8_765, rate_per_minute=10_000, ceiling=10_000))
    for _ in range(12):
        stack.sqs().send_message(QueueUrl=stack.lane_queues[LANE], MessageBody="{}")

    lines = run("lanes").stdout.split("\n\n")[0].splitlines()

    assert max(len(one.rstrip()) for one in lines) <= 100
    assert "9,999/10,000" in lines[-1]


def test_the_last_minute_counts_when_it_is_over(run: Run, made: Made) -> None:
    made(0, 100)

    lane = listed(run)

    assert (lane["rate"]["last_minute"], lane["last_hour"]["pictures"]) == (0, 100)


def test_a_paused_lane_says_why_and_how_it_goes_on(run: Run, put: Put) -> None:
    put(ACCOUNT, control.pause(LANE, "the [red]bill is due"))

    result = run("lanes")

    assert line(result)[1] == "paused"
    assert f"{LANE} is paused: the [red]bill is due. Go on: imagebatch resume --lane {LANE}" in notes(result)
    assert (listed(run)["state"], listed(run)["paused"]) == ("paused", "the [red]bill is due")


def test_a_slowed_lane_says_to_what(run: Run, put: Put) -> None:
    halve = control.halve(workers=4, notice="", interval_ms=1, now_ms=NOW_MS)
    put(lane_record(LANE), halve)
    put(ACCOUNT, control.throttle_rate(LANE, Decimal("62.5"), seen=None))

    result = run("lanes")

    assert line(result)[1:3] == ["slowed", "0/62"]
    assert "to at most 4 workers and 62 images a minute, since too many of its calls failed" in notes(result)


def test_a_lane_whose_mapping_is_disabled_is_off(run: Run, stack: Stack) -> None:
    stack.lambda_().update_event_source_mapping(UUID=stack.lane_mappings[LANE], Enabled=False)

    assert line(run("lanes"))[1] == "off"


def test_a_lane_whose_mapping_is_being_changed_is_not_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    updating = Feed(enabled=False, workers=8, changing=True)
    monkeypatch.setattr(EventSourceMappings, "look", lambda *_: updating)

    assert line(run("lanes"))[1] == "idle"


def test_lanes_of_one_account_say_that_their_calls_are_counted_together(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, other = load_catalog(), "flux-dev"
    models = {**catalog.models, other: replace(catalog.models[LANE], name=other)}
    monkeypatch.setattr(lanes, "load_catalog", lambda: Catalog(catalog.accounts, models))
    both = replace(
        stack,
        lane_queues=dict.fromkeys(models, stack.lane_queues[LANE]),
        dead_letter_queues=dict.fromkeys(models, stack.dead_letter_queues[LANE]),
        lane_mappings=dict.fromkeys(models, stack.lane_mappings[LANE]),
    )
    monkeypatch.setattr(frame, "find_stack", lambda *_, **__: both)

    result = run("lanes")

    assert [one.split()[0] for one in result.stdout.splitlines()[2:4]] == [LANE, other]
    assert notes(result).startswith("In flight counts all 2 lanes of wavespeed together.")


def test_what_was_set_by_hand_is_told_with_the_way_back(run: Run, put: Put) -> None:
    put(ACCOUNT, control.limit(LANE, 300))
    put(ACCOUNT, control.ceiling(120))
    put(lane_record(LANE), control.workers_limit(6))

    result = run("lanes")

    assert line(result)[2:5] == ["0/300", "0/120", "8/6"]
    assert f"imagebatch lanes set {LANE} --rate auto --workers auto" in notes(result)
    assert "wavespeed: set by hand to 120 calls in flight, for all its lanes together." in notes(result)


def test_an_intake_that_is_paused_says_why_and_how_it_goes_on(run: Run, stack: Stack, put: Put) -> None:
    put(INTAKE, control.pause_intake("pictures cost more", NOW_MS))
    stack.sqs().send_message(QueueUrl=stack.intake_queue, MessageBody="{}")

    said = notes(run("lanes"))

    assert said.startswith("Files are not taken in since 2026-11-2")
    assert said.endswith("pictures cost more. Go on: imagebatch resume --intake In their queue: 1 waiting, 0 dead.")
    assert json.loads(run("lanes", "--json").stdout)["intake"] == {
        "takes_files": False,
        "paused": "pictures cost more",
        "paused_at_ms": NOW_MS,
        "waiting": 1,
        "dead_letters": 0,
    }


def test_an_intake_whose_mapping_is_disabled_takes_no_files(run: Run, stack: Stack) -> None:
    stack.lambda_().update_event_source_mapping(UUID=stack.intake_mapping, Enabled=False)

    assert "Files are not taken in: AWS Lambda reads nothing" in notes(run("lanes"))


def test_a_lane_of_a_plan_that_nobody_knows_has_no_ceiling(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "load_catalog", lambda: without_plan(load_catalog()))

    assert line(run("lanes"))[2:4] == ["0/60", "0/–"]


def test_lanes_that_the_catalog_does_not_have_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "load_catalog", lambda: Catalog({}, {}))

    assert run("lanes").stdout.startswith(f"The stack has lanes that the catalog here does not have: {LANE}.")
    assert json.loads(run("lanes", "--json").stdout)["not_in_catalog"] == [LANE]


def test_lanes_are_watched_until_ctrl_c(run: Run, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def wait(seconds: float) -> None:
        seen.append(seconds)
        made(1, 7)
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("ops.cli.lanes.time.sleep", wait)

    result = run("lanes", "--watch")

    assert (result.exit_code, len(seen)) == (0, 2)
    assert line(result)[2] == "7/500"


@pytest.mark.parametrize("options", [("--watch", "--json"), ("--json", "set", LANE, "--rate", "5")])
def test_options_that_do_not_go_together_are_refused(run: Run, options: tuple[str, ...]) -> None:
    assert run("lanes", *options).exit_code == 2


def without_plan(catalog: Catalog) -> Catalog:
    """The catalog as it would be if nobody knew the account's plan."""
    account = replace(catalog.accounts["wavespeed"], plan="", images_per_minute=None, concurrency=None)
    return Catalog({"wavespeed": account}, {LANE: replace(catalog.models[LANE], account=account)})
