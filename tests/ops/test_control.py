"""Pausing, resuming and cancelling, as it is typed, on a mocked AWS."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import Result

from functions.adapters.batches import DynamoBatchStore
from functions.adapters.clock import SystemClock
from functions.adapters.mappings import EventSourceMappings
from functions.adapters.sqs import SqsQueue, UndeliveredError
from functions.core.batches.messages import Close, Ring, parse_intake, parse_report
from functions.core.batches.price_check import TO_BE_CONFIRMED
from functions.core.batches.records import Batch
from functions.core.batches.steering import PAUSED_BY_OPERATOR
from functions.core.catalog import load_catalog
from functions.core.lanes import control as lane_control
from functions.core.lanes.control import Intake, intake_of
from functions.core.lanes.records import INTAKE, Pace, account_record, pace_of
from functions.core.writes import StaleWriteError, Write
from ops import control
from ops.cli import asking
from ops.stack import Stack

LANE = "flux-schnell"
BATCH = "products-aaa"

PutBatch = Callable[..., None]
Run = Callable[..., Result]


@pytest.fixture
def running(stack: Stack, put_batch: PutBatch, put_part: Callable[..., None]) -> None:
    """A batch that is half done, with one part of 9 rows that begins at byte 10."""
    put_batch(
        BATCH,
        state="running",
        rows=9,
        rows_expected=9,
        requested=9,
        jobs=9,
        pending=4,
        running=2,
        succeeded=3,
        cost_usd=0,
    )
    put_part(BATCH, [])


def batch(stack: Stack, batch_id: str = BATCH) -> Batch:
    found = DynamoBatchStore(stack.dynamodb(), stack.batches_table).get(batch_id)
    assert found is not None
    return found


def pace(stack: Stack) -> Pace:
    key = account_record("wavespeed")
    return pace_of(stack.lanes().get_many([key], consistent=True).get(key, {}), load_catalog().models[LANE])


def intake_record(stack: Stack) -> Intake:
    return intake_of(stack.lanes().get_many([INTAKE], consistent=True).get(INTAKE, {}))


def intake(stack: Stack) -> str:
    return intake_record(stack).paused


def reads_files(stack: Stack) -> bool:
    return EventSourceMappings(stack.lambda_()).look(stack.intake_mapping).enabled


def sent(stack: Stack, queue: str) -> list[str]:
    """The bodies of the messages that wait in a queue, delayed ones too."""
    attributes = stack.sqs().get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    bodies: list[str] = []
    while int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesDelayed"]):
        answer = stack.sqs().receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        if not (messages := answer.get("Messages", [])):
            break
        bodies += [message["Body"] for message in messages]
    return bodies


@pytest.mark.usefixtures("running")
def test_a_batch_is_paused_and_resumed(run: Run, stack: Stack) -> None:
    result = run("pause", BATCH[:9])
    assert (result.exit_code, batch(stack).paused) == (0, PAUSED_BY_OPERATOR)
    assert f"imagebatch resume {BATCH}" in result.stdout

    again = run("pause", BATCH)
    assert (again.exit_code, "is paused already: by the operator" in again.stdout) == (0, True)

    resumed = run("resume", BATCH)
    assert (resumed.exit_code, batch(stack).paused) == (0, "")
    assert "goes on. It was paused: by the operator." in resumed.stdout
    ((ring,),) = (parse_intake(body) for body in sent(stack, stack.intake_queue))
    assert ring == Ring(BATCH, 10, LANE, 0, batch(stack).ring_chain(LANE))

    again = run("resume", BATCH)
    assert (again.exit_code, "is not paused; what waits of it is sent for anew." in again.stdout) == (0, True)
    ((second,),) = (parse_intake(body) for body in sent(stack, stack.intake_queue))
    assert second == Ring(BATCH, 10, LANE, 0, batch(stack).ring_chain(LANE))
    assert second != ring


def test_a_batch_that_waits_to_be_confirmed_is_confirmed_by_resuming_it(
    run: Run, stack: Stack, put_batch: PutBatch
) -> None:
    put_batch(BATCH, state="running", rows=9, paused=f"{TO_BE_CONFIRMED}: $9 a picture")
    assert "waits to be confirmed: $9 a picture" in run("resume", BATCH).stdout
    assert (batch(stack).confirmed, batch(stack).paused) == (True, "")


@pytest.mark.parametrize("command", ["pause", "resume", "cancel"])
def test_a_batch_that_has_ended_is_left_as_it_is(run: Run, put_batch: PutBatch, command: str) -> None:
    put_batch(BATCH, state="completed", rows=1)
    result = run(command, BATCH)
    assert (result.exit_code, f"has ended: completed. There is nothing to {command}." in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_batch_that_is_being_cancelled_cannot_be_paused(run: Run, put_batch: PutBatch, command: str) -> None:
    put_batch(BATCH, state="running", rows=1, cancelled=True)
    result = run(command, BATCH)
    assert (result.exit_code, "is being cancelled" in result.stderr) == (2, True)


@pytest.mark.usefixtures("running")
def test_a_lane_is_paused_and_resumed_with_the_batches_that_wait_for_it(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("pause", "--lane", LANE)
    assert (result.exit_code, pace(stack).paused) == (0, PAUSED_BY_OPERATOR)
    assert f"imagebatch resume --lane {LANE}" in result.stdout
    assert "is paused already" in run("pause", "--lane", LANE).stdout

    told: list[tuple[str, int]] = []
    monkeypatch.setattr(
        SqsQueue, "send", lambda _, bodies, delay_seconds=0: told.extend((body, delay_seconds) for body in bodies)
    )
    resumed = run("resume", "--lane", LANE)
    assert (resumed.exit_code, pace(stack).paused) == (0, "")
    assert "goes on, and 1 batch with it" in resumed.stdout
    ((body, delay),) = told
    assert (parse_intake(body), delay > 0) == ((Ring(BATCH, 10, LANE, 0, batch(stack).ring_chain(LANE)),), True)
    settings = pace(stack).settings
    again = run("resume", "--lane", LANE)
    assert "is not paused; what waits for it is sent for anew, of 1 batch." in again.stdout
    assert (again.exit_code, len(told), pace(stack).settings) == (0, 2, settings)


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_a_lane_that_there_is_not_is_refused_with_those_there_are(run: Run, command: str) -> None:
    result = run(command, "--lane", "flux-dev")
    assert (result.exit_code, f"has no lane 'flux-dev'; there is: {LANE}." in result.stderr) == (3, True)


def test_the_intake_is_paused_and_resumed_at_once(run: Run, stack: Stack) -> None:
    result = run("pause", "--intake")
    assert (result.exit_code, intake(stack), reads_files(stack)) == (0, PAUSED_BY_OPERATOR, False)
    assert "imagebatch resume --intake" in result.stdout
    assert "is paused already" in run("pause", "--intake").stdout

    resumed = run("resume", "--intake")
    assert (resumed.exit_code, intake(stack), reads_files(stack)) == (0, "", True)
    assert "goes on. It was paused: by the operator." in resumed.stdout
    assert "is not paused" in run("resume", "--intake").stdout


def test_an_intake_that_a_guardrail_paused_keeps_its_reason_until_it_is_resumed(run: Run, stack: Stack) -> None:
    stack.lanes().write(INTAKE, lane_control.pause_intake("pictures became dear", 1))
    assert "is paused already: pictures became dear" in run("pause", "--intake").stdout
    result = run("resume", "--intake")
    assert "It was paused: pictures became dear." in result.stdout
    assert "For an hour" not in result.stdout


def test_an_intake_that_was_stopped_for_a_price_goes_on_at_it_for_an_hour(run: Run, stack: Stack) -> None:
    def stop(change: str) -> Write:
        return lane_control.stop_intake(LANE, "dear", notice="dear", change=change, now_ms=SystemClock().now_ms())

    stack.lanes().write(INTAKE, stop("09:00"))
    resumed = run("resume", "--intake")
    assert f"For an hour it is not stopped for the price of {LANE} again." in resumed.stdout
    with pytest.raises(StaleWriteError):
        stack.lanes().write(INTAKE, stop("10:00"))
    assert intake(stack) == ""


def test_an_intake_that_is_stopped_while_somebody_resumes_it_stays_so_and_says_why(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("pause", "--intake")
    stack.lanes().write(INTAKE, lane_control.resume_intake(intake_record(stack), 1))
    stack.lanes().write(INTAKE, lane_control.pause_intake("pictures became dear", 2))
    monkeypatch.setattr(control, "_intake", lambda _: Intake(paused=PAUSED_BY_OPERATOR, paused_at=1))
    result = run("resume", "--intake")
    assert (result.exit_code, "The intake is paused: pictures became dear." in result.stdout) == (0, True)
    assert (intake(stack), reads_files(stack)) == ("pictures became dear", False)


def test_a_mapping_that_is_being_changed_is_left_to_the_governor(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EventSourceMappings, "change", lambda *_, **__: False)
    result = run("pause", "--intake")
    assert (result.exit_code, intake(stack)) == (0, PAUSED_BY_OPERATOR)
    assert "within a minute" in result.stderr


@pytest.mark.usefixtures("running")
def test_everything_is_paused_and_resumed_but_not_a_batch_that_was_paused_by_itself(run: Run, stack: Stack) -> None:
    run("pause", BATCH)
    assert run("pause", "--all").exit_code == 0
    assert (pace(stack).paused, intake(stack), reads_files(stack)) == (PAUSED_BY_OPERATOR, PAUSED_BY_OPERATOR, False)

    result = run("resume", "--all", "--json")
    changes: list[Any] = json.loads(result.stdout)["changes"]
    assert [(one["kind"], one["name"], one["changed"], one["paused"]) for one in changes] == [
        ("lane", LANE, True, ""),
        ("intake", "", True, ""),
    ]
    assert (pace(stack).paused, intake(stack), reads_files(stack)) == ("", "", True)
    assert batch(stack).paused == PAUSED_BY_OPERATOR


@pytest.mark.usefixtures("running")
def test_whoever_resumes_while_the_intake_is_paused_is_told_that_it_waits(run: Run) -> None:
    run("pause", "--intake")
    run("pause", BATCH)
    assert "imagebatch resume --intake" in run("resume", BATCH).stderr


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Say what is meant: BATCH, --lane, --all or --intake."),
        (["x", "--all"], "BATCH and --all exclude each other."),
        (["--lane", LANE, "--intake"], "--lane and --intake exclude each other."),
    ],
)
def test_one_thing_is_paused_or_resumed_at_a_time(run: Run, command: str, arguments: list[str], sentence: str) -> None:
    result = run(command, *arguments)
    assert (result.exit_code, sentence in result.stderr) == (2, True)


@pytest.mark.usefixtures("running")
def test_a_batch_is_cancelled_after_it_was_said_what_that_means(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "is_interactive", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: True)
    result = run("cancel", BATCH)
    assert result.exit_code == 0
    assert "Not made: 4 pictures that wait" in result.stderr
    assert "Kept: 3 pictures, and 2 being made" in result.stderr
    assert batch(stack).cancelled
    assert [parse_report(body) for body in sent(stack, stack.reports_queue)] == [Close(BATCH)]


@pytest.mark.usefixtures("running")
def test_a_batch_is_not_cancelled_by_somebody_who_says_no(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "is_interactive", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    result = run("cancel", BATCH, "--json")
    assert (result.exit_code, json.loads(result.stdout)["cancelled"]) == (0, False)
    assert (batch(stack).cancelled, sent(stack, stack.reports_queue)) == (False, [])


@pytest.mark.usefixtures("running")
def test_without_anybody_to_ask_nothing_is_cancelled(run: Run, stack: Stack) -> None:
    result = run("cancel", BATCH)
    assert (result.exit_code, "add --yes" in result.stderr, batch(stack).cancelled) == (2, True, False)


@pytest.mark.usefixtures("running")
def test_cancelling_twice_tells_the_reporter_twice(run: Run, stack: Stack) -> None:
    answer = json.loads(run("cancel", BATCH, "--yes", "--json").stdout)
    assert (answer["batch_id"], answer["cancelled"], answer["pending"]) == (BATCH, True, 4)
    again = run("cancel", BATCH, "--yes")
    assert (again.exit_code, "is being cancelled already" in again.stderr) == (0, True)
    assert len(sent(stack, stack.reports_queue)) == 2


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("prepare", "command"),
    [
        (["pause", BATCH], ["resume", BATCH]),
        (["pause", "--lane", LANE], ["resume", "--lane", LANE]),
        ([], ["cancel", BATCH, "--yes"]),
    ],
)
def test_what_was_decided_holds_although_the_queue_does_not_take_the_message(
    run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch, prepare: list[str], command: list[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise UndeliveredError("SQS went on refusing messages")

    if prepare:
        run(*prepare)
    monkeypatch.setattr(SqsQueue, "send", refuse)
    result = run(*command)
    assert (result.exit_code, "could not be told" in result.stderr) == (1, True)
    assert (batch(stack).paused, pace(stack).paused, batch(stack).cancelled) == ("", "", command[0] == "cancel")


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({"paused": "by the operator"}, ["running, paused", "by the operator; go on: imagebatch resume products-aaa"]),
        ({"cancelled": True}, ["running, being cancelled"]),
        ({"state": "cancelled", "cancelled": True}, ["cancelled"]),
    ],
)
def test_the_status_says_what_was_decided(
    run: Run, put_batch: PutBatch, attributes: dict[str, Any], shown: list[str]
) -> None:
    put_batch(BATCH, **{"state": "running", "rows": 9, "pending": 4, **attributes})
    one, every = run("status", BATCH).stdout, run("status").stdout
    assert all(text in one for text in shown)
    assert shown[0] in every
