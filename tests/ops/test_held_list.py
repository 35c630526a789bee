"""The held jobs as they are listed, on a mocked AWS."""

from __future__ import annotations

import json
from collections.abc import Callable

from typer.testing import Result

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import demand
from functions.core.jobs.records import Job
from ops.stack import Stack

A, B, C = ("a1" * 32, "b2" * 32, "c3" * 32)

PutBatch = Callable[..., None]
PutHeld = Callable[..., Job]
Run = Callable[..., Result]


def test_no_held_job_is_a_sentence(run: Run, put_batch: PutBatch, put_held: PutHeld) -> None:
    assert (run("held", "list").stdout, run("held", "list").stderr) == ("", "No job is held.\n")
    assert json.loads(run("held", "list", "--json").stdout) == {"held": []}

    put_held(A)
    put_batch("posters-bbb")

    assert run("held", "list", "--batch", "posters").stderr == "No job of the batch posters-bbb is held.\n"
    both = run("held", "list", "--model", "other", "--batch", "posters")
    assert both.stderr == "No job of the model other of the batch posters-bbb is held.\n"
    assert run("held", "list", "--batch", "nothing").exit_code == 3


def test_a_held_job_is_shown_with_why_and_what_it_would_cost(run: Run, stack: Stack, put_held: PutHeld) -> None:
    stuck = Fault(ErrorClass.TIMEOUT, "the provider [red]does not finish")
    put_held(A, minute=2, fault=stuck, reference="task-1")
    put_held(B, minute=1)
    stack.jobs().write(B, demand.join("posters-bbb"))

    result = run("held", "list")

    lines = [" ".join(line.split()) for line in result.stdout.splitlines()[1:]]
    assert [line.partition(" 2026-11-2")[0] for line in lines if "flux" in line] == [
        f"{B[:8]} flux-schnell",
        f"{A[:8]} flux-schnell",
    ]
    assert [line.partition("$0.003 ")[2] or line for line in lines] == [
        "ambiguous: the answer to the submit was lost",
        "provider's id: not known",
        "batch: products-aaa and 1 more",
        "timeout: the provider [red]does not finish",
        "provider's id: task-1",
        "batch: products-aaa",
    ]
    assert "Held: 2 jobs." in result.stderr
    assert "costs $0.006" in result.stderr


def test_a_model_that_is_in_no_catalog_any_more_has_no_price(run: Run, put_held: PutHeld) -> None:
    put_held(A, model="gone", reference="task-1")

    assert "not known  ambiguous" in run("held", "list").stdout
    assert json.loads(run("held", "list", "--json").stdout)["held"][0]["price_again_usd"] is None


def test_so_much_of_an_id_is_shown_as_tells_it_from_every_other(run: Run, put_held: PutHeld) -> None:
    like_a = A[:11] + "0" * 53
    for job_id, batch in ((A, "products-aaa"), (like_a, "posters-bbb"), (B, "products-aaa")):
        put_held(job_id, batch=batch)

    lines = run("held", "list", "--batch", "products-aaa").stdout.splitlines()[1:]

    assert {line.split()[0] for line in lines if "flux" in line} == {A[:12], B[:8]}


def test_held_jobs_are_chosen_by_batch_and_model(run: Run, stack: Stack, put_held: PutHeld) -> None:
    put_held(A, batch="products-aaa")
    put_held(B, batch="posters-bbb", model="other")
    put_held(C, batch="posters-bbb")
    stack.jobs().write(C, demand.join("products-aaa"))

    def listed(*options: str) -> set[str]:
        return {one["job_id"] for one in json.loads(run("held", "list", "--json", *options).stdout)["held"]}

    assert listed() == {A, B, C}
    assert listed("--batch", "products-aaa") == {A, C}
    assert listed("--batch", "posters-bbb", "--model", "other") == {B}


def test_the_record_says_all_that_a_search_in_the_providers_dashboard_needs(run: Run, put_held: PutHeld) -> None:
    put_held(A, reference="task-1")

    (record,) = json.loads(run("held", "list", "--json").stdout)["held"]

    assert (record["spec"]["prompt"], record["spec"]["seed"] is not None) == ("a mug", True)
    del record["spec"]
    assert record == {
        "job_id": A,
        "model": "flux-schnell",
        "provider_model": "wavespeed-ai/flux-schnell",
        "batch_id": "products-aaa",
        "batches": ["products-aaa"],
        "created_at": "2026-11-21T08:33:20.000Z",
        "held_at": "2026-11-21T08:33:20.000Z",
        "called_at": "2026-11-21T08:33:20.000Z",
        "stage": "accepted",
        "reference": "task-1",
        "error_class": "ambiguous",
        "error_message": "the answer to the submit was lost",
        "last_response_code": 200,
        "attempt_count": 1,
        "call_attempt": 1,
        "tries": {},
        "repays": 0,
        "settled_calls": [],
        "cost_usd": 0.0,
        "price_again_usd": 0.003,
    }
