"""Which held jobs a decision is for, as it is typed, on a mocked AWS."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from functions.adapters.dynamodb import DynamoJobStore
from functions.core.jobs.records import Job, State
from ops.stack import Stack
from tests.ops.held_jobs import rung, states

A, B, C = ("a1" * 32, "b2" * 32, "c3" * 32)

PutBatch = Callable[..., None]
PutHeld = Callable[..., Job]
Run = Callable[..., Result]


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
    nothing = run("held", "resolve", "--all", "--look")
    assert nothing.stdout == "No job that was meant is held; there was nothing to do.\n"


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
        (("--look",), "which jobs are meant: JOB, --all, --batch or --model."),
        ((A, "--all", "--look"), "JOB and --all exclude each other"),
        (("--all", "--batch", "products", "--look"), "--all and --batch exclude each other"),
        ((A, "--model", "flux-schnell", "--look"), "JOB and --model exclude each other"),
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


def test_a_model_stands_for_its_held_jobs_and_narrows_a_batch_down(run: Run, stack: Stack, put_held: PutHeld) -> None:
    put_held(A, batch="products-aaa")
    put_held(B, batch="products-aaa", model="other")
    put_held(C, batch="posters-bbb")

    both = ("--batch", "products-aaa", "--model", "flux-schnell")
    assert run("held", "resolve", *both, "--look", "--yes").exit_code == 0
    assert states(stack, A, B, C) == [State.PENDING, State.HELD, State.HELD]

    assert run("held", "resolve", "--model", "flux-schnell", "--give-up", "--yes").exit_code == 0
    assert states(stack, A, B, C) == [State.PENDING, State.HELD, State.FAILED]


def test_many_are_resolved_at_once(run: Run, stack: Stack, put_held: PutHeld) -> None:
    ids = [f"{number:064x}" for number in range(60)]
    for job_id in ids:
        put_held(job_id)

    result = run("held", "resolve", "--all", "--resubmit", "--yes", "--json")

    assert sorted(json.loads(result.stdout)["resolved"]) == ids
    assert "Price in all: $0.180." in result.stderr
    assert rung(stack) == ids
