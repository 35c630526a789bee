"""What the operator decides about held jobs, as it is typed, on a mocked AWS."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import typer
from typer.testing import Result

from functions.adapters.dynamodb import DynamoJobStore
from functions.adapters.sqs import SqsQueue, UndeliveredError
from functions.core.catalog import OnAmbiguous, load_catalog
from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Job, Stage, State
from functions.core.messages import parse_doorbell
from functions.core.writes import Write
from ops.cli import held as command
from ops.stack import Stack

NOW_MS = 1_795_250_000_000
PRICE = Decimal("0.003")
A, B, C = ("a1" * 32, "b2" * 32, "c3" * 32)

PutBatch = Callable[..., None]
PutHeld = Callable[..., Job]
Run = Callable[..., Result]


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], bool]], None]:
    """Somebody at a terminal, who answers so."""

    def there_is(answer: Callable[[], bool]) -> None:
        monkeypatch.setattr(command, "is_interactive", lambda: True)
        monkeypatch.setattr(typer, "confirm", lambda *_, **__: answer())

    return there_is


def job(stack: Stack, job_id: str) -> Job:
    return stack.jobs().get_many([job_id], consistent=True)[job_id]


def states(stack: Stack, *job_ids: str) -> list[State]:
    return [job(stack, job_id).state for job_id in job_ids]


def rung(stack: Stack) -> list[str]:
    """The jobs that the lane was told of, as often as it was."""
    sqs, found = stack.session.client("sqs"), list[str]()
    while True:
        answer = sqs.receive_message(QueueUrl=stack.lane_queues["flux-schnell"], MaxNumberOfMessages=10)
        messages = answer.get("Messages", [])
        if not messages:
            return sorted(found)
        found += [parse_doorbell(message["Body"]).job_id for message in messages]


def test_looking_again_costs_nothing_and_sends_a_worker(run: Run, stack: Stack, put_held: PutHeld) -> None:
    put_held(A)

    result = run("held", "resolve", A[:6].upper(), "--look", "--yes")

    assert result.exit_code == 0
    assert "Price: $0." in result.stderr
    after = job(stack, A)
    assert (after.state, after.stage, after.repays, after.cost_usd) == (State.PENDING, Stage.SUBMITTING, 0, None)
    assert rung(stack) == [A]


def test_looking_says_what_a_model_that_repays_may_cost(
    run: Run, put_held: PutHeld, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = load_catalog()
    repaying = replace(catalog.models["flux-schnell"], on_ambiguous=OnAmbiguous.REPAY)
    monkeypatch.setattr(command, "load_catalog", lambda: replace(catalog, models={"flux-schnell": repaying}))
    put_held(A)
    put_held(B, reference="task-1")

    assert "on_ambiguous = repay: $0.003 at most." in run("held", "resolve", "--all", "--look", "--yes").stderr


def test_a_prediction_that_the_operator_found_is_the_jobs(run: Run, stack: Stack, put_held: PutHeld) -> None:
    put_held(A)

    assert run("held", "resolve", A, "--look", "--reference", "task-1", "--yes").exit_code == 0

    after = job(stack, A)
    assert (after.state, after.stage, after.reference) == (State.PENDING, Stage.ACCEPTED, "task-1")
    assert rung(stack) == [A]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((A, "--reference", "task 1"), "is no prediction's id"),
        ((A, "--reference", "x" * 129), "is no prediction's id"),
        ((A, B, "--reference", "task-9"), "one job"),
        ((A, "--reference", "task-b"), "the prediction of another job"),
        ((B, "--reference", "task-9"), "gave this job's call the id task-b"),
    ],
)
def test_a_prediction_that_cannot_be_the_jobs_is_refused(
    run: Run, stack: Stack, put_held: PutHeld, arguments: tuple[str, ...], sentence: str
) -> None:
    put_held(A)
    put_held(B, reference="task-b")

    result = run("held", "resolve", *arguments, "--look", "--yes")

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert states(stack, A, B) == [State.HELD, State.HELD]
    assert rung(stack) == []


def test_the_id_that_the_provider_gave_may_be_named_again(run: Run, stack: Stack, put_held: PutHeld) -> None:
    put_held(A, reference="task-1")

    assert run("held", "resolve", A, "--look", "--reference", "task-1", "--yes").exit_code == 0
    assert job(stack, A).state is State.PENDING


@pytest.mark.parametrize(("options", "repays"), [((), 1), (("--not-taken",), 0)])
def test_submitting_again_says_its_price_and_counts_the_risk(
    run: Run, stack: Stack, put_held: PutHeld, options: tuple[str, ...], repays: int
) -> None:
    put_held(A)
    put_held(B, reference="task-1")

    result = run("held", "resolve", A[:8], B[:8], "--resubmit", *options, "--yes")

    assert result.exit_code == 0
    assert "To submit: 2 held jobs. Price in all: $0.006." in result.stderr
    assert ("has taken 1 of the earlier calls; --look" in result.stderr) is bool(repays)
    for job_id in (A, B):
        after = job(stack, job_id)
        assert (after.state, after.stage, after.repays) == (State.PENDING, None, repays)
    assert rung(stack) == [A, B]


@pytest.mark.parametrize(("options", "cost"), [((), Decimal(0)), (("--paid",), PRICE)])
def test_giving_up_fails_the_job_and_counts_what_was_charged(
    run: Run, stack: Stack, put_held: PutHeld, options: tuple[str, ...], cost: Decimal
) -> None:
    put_held(A)

    result = run("held", "resolve", A, "--give-up", *options, "--yes")

    assert result.exit_code == 0
    assert f"Counted as paid for the earlier calls: ${cost or 0}." in result.stderr
    after = job(stack, A)
    assert (after.state, after.cost_usd, after.error_class) == (State.FAILED, cost, ErrorClass.AMBIGUOUS)
    assert rung(stack) == []


def test_what_was_counted_as_paid_before_is_not_counted_again(run: Run, stack: Stack, put_held: PutHeld) -> None:
    held = put_held(A, reference="task-1")
    stack.jobs().write(A, lifecycle.count_payment(held, "task-1", PRICE, NOW_MS))

    assert run("held", "resolve", A, "--give-up", "--paid", "--yes").exit_code == 0
    assert job(stack, A).cost_usd == PRICE


def test_without_a_terminal_it_has_to_be_said_that_nobody_is_asked(run: Run, stack: Stack, put_held: PutHeld) -> None:
    put_held(A)

    result = run("held", "resolve", A, "--resubmit")

    assert result.exit_code == 2
    assert "$0.003" in result.stderr
    assert "add --yes" in result.stderr
    assert states(stack, A) == [State.HELD]


@pytest.mark.parametrize(("answer", "exit_code", "state"), [(True, 0, State.PENDING), (False, 1, State.HELD)])
def test_at_a_terminal_the_operator_is_asked(
    run: Run, stack: Stack, put_held: PutHeld, somebody: Any, answer: bool, exit_code: int, state: State
) -> None:
    put_held(A)
    somebody(lambda: answer)

    result = run("held", "resolve", A, "--resubmit")

    assert result.exit_code == exit_code
    assert states(stack, A) == [state]
    assert ("Nothing was changed." in result.stderr) is not answer


def test_a_job_that_moves_on_while_the_operator_thinks_is_left_and_the_others_are_resolved(
    run: Run, stack: Stack, put_held: PutHeld, somebody: Any
) -> None:
    held = put_held(A)
    put_held(B)

    def think() -> bool:
        stack.jobs().write(A, lifecycle.heal(held, 1, reference="task-1", now_ms=NOW_MS))
        return True

    somebody(think)
    result = run("held", "resolve", "--all", "--resubmit", "--json")

    assert result.exit_code == 7
    assert json.loads(result.stdout) == {"resolved": [B], "moved_on": [{"job": A, "state": "pending"}]}
    assert f"The job {A[:16]} is pending by now; it was left as it is." in result.stderr
    assert "Not held any more: 1 of 2 jobs." in result.stderr
    assert job(stack, A).stage is Stage.ACCEPTED


def test_a_job_that_was_resolved_before_is_left_as_it_is(run: Run, stack: Stack, put_held: PutHeld) -> None:
    put_held(A)
    put_held(B)
    assert run("held", "resolve", A[:8], "--give-up", "--yes").exit_code == 0

    again = run("held", "resolve", A, A[:8], B[:8], "--resubmit", "--yes")

    assert again.exit_code == 7
    assert f"The job {A[:16]} is failed by now" in again.stderr
    assert f"The job {A[:8]} is not held: it may be on its way again" in again.stderr
    assert "Not held any more: 2 of 3 jobs." in again.stderr
    assert states(stack, A, B) == [State.FAILED, State.PENDING]


def test_nothing_is_asked_where_nothing_that_was_named_is_held(run: Run, stack: Stack) -> None:
    result = run("held", "resolve", "abcd", "--look")

    assert (result.exit_code, result.stdout) == (7, "")
    assert run("held", "resolve", "--all", "--look").stdout == "No job is held; there was nothing to do.\n"


def test_a_job_that_the_index_does_not_know_yet_is_found_by_its_whole_id(
    run: Run, stack: Stack, put_held: PutHeld, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_held(A)
    monkeypatch.setattr(DynamoJobStore, "held", lambda _: iter(()))

    assert run("held", "resolve", A, "--look", "--yes").exit_code == 0
    assert states(stack, A) == [State.PENDING]


def test_the_beginning_of_several_ids_names_them(run: Run, stack: Stack, put_held: PutHeld) -> None:
    like_a = A[:9] + "0" * 55
    put_held(A)
    put_held(like_a)

    result = run("held", "resolve", A[:9], "--look", "--yes")

    assert result.exit_code == 2
    assert A[:13] in result.stderr
    assert like_a[:13] in result.stderr
    assert states(stack, A, like_a) == [State.HELD, State.HELD]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((A,), "what becomes of the jobs: --look, --resubmit or --give-up."),
        ((A, "--look", "--give-up"), "--look and --give-up exclude each other"),
        (("--look",), "which jobs are meant: JOB, --all or --batch."),
        ((A, "--all", "--look"), "JOB and --all exclude each other"),
        (("--all", "--batch", "products", "--look"), "--all and --batch exclude each other"),
        ((A, "--look", "--reference", ""), "--reference needs the id"),
        ((A, "--resubmit", "--reference", "x"), "--reference goes with --look alone"),
        ((A, "--look", "--not-taken"), "--not-taken goes with --resubmit alone"),
        ((A, "--look", "--paid"), "--paid goes with --give-up alone"),
        (("no-id", "--look"), "'no-id' is no job's id"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(
    run: Run, stack: Stack, put_held: PutHeld, arguments: tuple[str, ...], sentence: str
) -> None:
    put_held(A)

    result = run("held", "resolve", *arguments, "--yes")

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert states(stack, A) == [State.HELD]


@pytest.mark.parametrize("options", [("--resubmit",), ("--look",), ("--give-up", "--paid")])
def test_what_cannot_be_done_for_a_model_that_is_gone_is_a_sentence(
    run: Run, stack: Stack, put_held: PutHeld, options: tuple[str, ...]
) -> None:
    put_held(A, model="gone")
    put_held(B)

    result = run("held", "resolve", "--all", *options, "--yes")

    assert result.exit_code == 2
    assert "'gone'" in result.stderr
    assert states(stack, A, B) == [State.HELD, State.HELD]
    assert run("held", "resolve", "--all", "--give-up", "--yes").exit_code == 0
    assert states(stack, A, B) == [State.FAILED, State.FAILED]


def test_a_batch_stands_for_the_held_jobs_that_it_asked_for_closed_or_gone(
    run: Run, stack: Stack, put_batch: PutBatch, put_held: PutHeld
) -> None:
    put_batch("products-aaa", state="completed", held=1)
    put_held(A, batch="products-aaa")
    put_held(B, batch="posters-bbb")
    put_held(C, batch="other-ccc")

    assert run("held", "resolve", "--batch", "products", "--look", "--yes").exit_code == 0
    assert run("held", "resolve", "--batch", "posters-bbb", "--look", "--yes").exit_code == 0

    assert states(stack, A, B, C) == [State.PENDING, State.PENDING, State.HELD]
    assert rung(stack) == [A, B]


def test_many_are_resolved_at_once(run: Run, stack: Stack, put_held: PutHeld) -> None:
    ids = [f"{number:064x}" for number in range(60)]
    for job_id in ids:
        put_held(job_id)

    result = run("held", "resolve", "--all", "--resubmit", "--yes", "--json")

    assert sorted(json.loads(result.stdout)["resolved"]) == ids
    assert "Price in all: $0.180." in result.stderr
    assert rung(stack) == ids


def test_workers_that_could_not_be_told_are_a_sentence(
    run: Run, stack: Stack, put_held: PutHeld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise UndeliveredError("SQS went on refusing messages")

    put_held(A)
    monkeypatch.setattr(SqsQueue, "send", refuse)

    result = run("held", "resolve", A, "--look", "--yes")

    assert result.exit_code == 1
    assert "The workers could not be told of 1 of the jobs" in result.stderr
    assert states(stack, A) == [State.PENDING]


def test_whoever_is_interrupted_leaves_no_job_that_was_set_free_and_not_rung(
    run: Run, stack: Stack, put_held: PutHeld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_one(jobs: DynamoJobStore, writes: Mapping[str, Write]) -> dict[str, Job]:
        jobs.write(A, writes[A])
        raise KeyboardInterrupt

    put_held(A)
    put_held(B)
    monkeypatch.setattr(DynamoJobStore, "write_many", write_one)

    assert run("held", "resolve", "--all", "--look", "--yes").exit_code == 130

    assert states(stack, A, B) == [State.PENDING, State.HELD]
    assert A in rung(stack)


def test_help_says_what_each_choice_means_for_money(run: Run) -> None:
    text = " ".join(run("held", "resolve", "--help", env={"COLUMNS": "200"}).stdout.split())

    for sentence in (
        "Ask the provider again, which is free.",
        "Submit again, and pay the price again.",
        "Let the job fail, and pay nothing more.",
        "Exit code 7",
    ):
        assert sentence in text
