"""Pausing, resuming and cancelling from the command line, while the deployed stack works."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.core.batches.records import BatchState
from ops.batches import get_batch
from tests.e2e.pipeline import Pipeline, file_of

MODEL = "flux-schnell"
ROWS = 120
A_MINUTE = "600"


@pytest.fixture
def slow(pipeline: Pipeline) -> Iterator[Pipeline]:
    """A lane that takes a while."""
    pipeline.imagebatch("lanes", "set", MODEL, "--rate", A_MINUTE)
    yield pipeline
    pipeline.imagebatch("resume", "--lane", MODEL)
    pipeline.imagebatch("lanes", "set", MODEL, "--rate", "auto")


def begun(pipeline: Pipeline, name: str) -> str:
    """A batch of which a few pictures are made."""
    batch_id = pipeline.put(f"{name}.csv", file_of(f"{name}, lamp {n}" for n in range(ROWS)))
    pipeline.wait_for(lambda: made(pipeline, batch_id) >= 5, lambda: "five pictures")
    return batch_id


def made(pipeline: Pipeline, batch_id: str) -> int:
    batch = get_batch(pipeline.stack, batch_id)
    return batch.succeeded if batch else 0


def rests(pipeline: Pipeline, batch_id: str) -> bool:
    """Whether nothing is under way and no message waits."""
    batch = get_batch(pipeline.stack, batch_id)
    return batch is not None and not batch.running and not pipeline.visible_messages()


def test_a_batch_that_is_paused_rests_and_goes_on_where_it_was(slow: Pipeline) -> None:
    batch_id = begun(slow, "paused")
    slow.imagebatch("pause", batch_id)
    slow.wait_for(lambda: rests(slow, batch_id), lambda: "the batch to rest")
    so_far = made(slow, batch_id)
    assert so_far < ROWS
    assert "by the operator" in slow.imagebatch("status", batch_id)

    slow.imagebatch("resume", batch_id)
    done = slow.ended(batch_id)
    assert (done.state, done.succeeded) == (BatchState.COMPLETED, ROWS)
    assert set(slow.charges().values()) == {1}


def test_a_lane_that_is_paused_buys_nothing_and_rings_all_that_waits_when_it_goes_on(slow: Pipeline) -> None:
    batch_id = begun(slow, "lane")
    slow.imagebatch("pause", "--lane", MODEL)
    slow.wait_for(lambda: rests(slow, batch_id), lambda: "the lane to rest")
    bought = len(slow.charges())
    assert bought < ROWS
    late = slow.put("late.csv", file_of(["a lamp that is late"]))
    slow.wait_for(lambda: get_batch(slow.stack, late), lambda: "the next file to be read")
    assert len(slow.charges()) == bought

    slow.imagebatch("resume", "--lane", MODEL)
    assert slow.ended(batch_id).succeeded == ROWS
    assert slow.ended(late).succeeded == 1
    assert set(slow.charges().values()) == {1}


def test_a_batch_that_is_cancelled_keeps_what_was_made_and_costs_no_more(slow: Pipeline) -> None:
    batch_id = begun(slow, "cancelled")
    slow.imagebatch("cancel", batch_id, "--yes")
    done = slow.ended(batch_id)
    assert done.state is BatchState.CANCELLED
    assert 5 <= done.succeeded < ROWS
    assert done.succeeded + done.failed == ROWS
    rows = slow.results(batch_id)
    assert [row["status"] for row in rows].count("success") == done.succeeded == len(slow.charges())
    assert {row["error_class"] for row in rows} == {"", "cancelled"}
