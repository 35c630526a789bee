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
from functions.core.writes import Write
from ops.cli import asking
from ops.cli import held as command
from ops.stack import Stack
from tests.ops.held_jobs import job, rung, states

NOW_MS = 1_795_250_000_000
PRICE = Decimal("0.003")
A, B = ("a1" * 32, "b2" * 32)

PutHeld = Callable[..., Job]
Run = Callable[..., Result]


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], bool]], None]:
    """Somebody at a terminal, who answers so."""

    def there_is(answer: Callable[[], bool]) -> None:
        monkeypatch.setattr(asking, "is_interactive", lambda: True)
        monkeypatch.setattr(typer, "confirm", lambda *_, **__: answer())

    return there_is


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


def test_giving_up_leaves_a_dead_letter(run: Run, stack: Stack, put_held: PutHeld) -> None:
    """As a worker does; a model that is gone has no queue for it."""
    put_held(A, batch="products-aaa", reference="task-1")
    put_held(B, model="gone")

    assert run("held", "resolve", "--all", "--give-up", "--yes").exit_code == 0

    queue = SqsQueue(stack.sqs(), stack.dead_letter_queues["flux-schnell"])
    (message,) = queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"]) == {
        "job_id": A,
        "model": "flux-schnell",
        "batch_id": "products-aaa",
        "error_class": "ambiguous",
        "error_message": "the answer to the submit was lost",
        "last_response_code": 200,
        "attempt_count": 1,
        "tries": {},
    }
    assert states(stack, A, B) == [State.FAILED, State.FAILED]


def refuse_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on SQS takes no message."""

    def refuse(*_: Any, **__: Any) -> None:
        raise UndeliveredError("SQS went on refusing messages")

    monkeypatch.setattr(SqsQueue, "send", refuse)


def test_jobs_whose_dead_letters_cannot_be_left_stay_held(
    run: Run, stack: Stack, put_held: PutHeld, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_held(A)
    refuse_messages(monkeypatch)

    result = run("held", "resolve", A, "--give-up", "--yes")

    assert result.exit_code == 1
    assert "dead letters of 1 of the jobs could not be left" in result.stderr
    assert states(stack, A) == [State.HELD]


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


@pytest.mark.parametrize(("answer", "state"), [(True, State.PENDING), (False, State.HELD)])
def test_at_a_terminal_the_operator_is_asked(
    run: Run, stack: Stack, put_held: PutHeld, somebody: Any, answer: bool, state: State
) -> None:
    """A no is an answer that was carried out, not a failure."""
    put_held(A)
    somebody(lambda: answer)

    result = run("held", "resolve", A, "--resubmit", "--json")

    assert result.exit_code == 0
    assert states(stack, A) == [state]
    assert ("Nothing was changed." in result.stderr) is not answer
    assert json.loads(result.stdout) == {"resolved": [A] if answer else [], "moved_on": []}


def test_ctrl_c_in_place_of_an_answer_is_a_sentence(run: Run, stack: Stack, put_held: PutHeld, somebody: Any) -> None:
    def interrupted() -> bool:
        raise typer.Abort

    put_held(A)
    somebody(interrupted)

    result = run("held", "resolve", A, "--resubmit")

    assert result.exit_code == 130
    assert "Nothing was changed." in result.stderr
    assert "Aborted" not in result.stderr
    assert states(stack, A) == [State.HELD]


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


def test_workers_that_could_not_be_told_are_a_sentence(
    run: Run, stack: Stack, put_held: PutHeld, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_held(A)
    refuse_messages(monkeypatch)

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
