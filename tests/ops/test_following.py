from collections.abc import Callable

import pytest

from ops.following import APPEARS_WITHIN_SECONDS, NoBatchError, follow
from ops.stack import Stack

PutBatch = Callable[..., None]


def states(stack: Stack, steps: list[Callable[[], None]]) -> list[str | None]:
    """What follow shows while the steps happen, one after each reading."""
    remaining = iter(steps)
    readings = follow(
        stack, "b-1", every_seconds=1, sleep=lambda _: next(remaining, lambda: None)(), monotonic=lambda: 0
    )
    return [batch.state.value if batch else None for batch in readings]


def test_a_batch_is_followed_from_before_it_begins_to_its_end(stack: Stack, put_batch: PutBatch) -> None:
    steps = [
        lambda: put_batch("b-1", state="scanning", scanned=False),
        lambda: put_batch("b-1", state="running", jobs=1, running=1),
        lambda: put_batch("b-1", state="completed", jobs=1, succeeded=1),
    ]

    assert states(stack, steps) == [None, "scanning", "running", "completed"]


def test_a_rejected_batch_has_ended(stack: Stack, put_batch: PutBatch) -> None:
    assert states(stack, [lambda: put_batch("b-1", state="rejected")]) == [None, "rejected"]


def test_held_jobs_end_it_once_they_are_surely_all_that_is_left(stack: Stack, put_batch: PutBatch) -> None:
    put_batch("b-1", state="running", jobs=2, held=1, succeeded=1)

    assert states(stack, []) == ["running"] * 3


def test_jobs_that_only_seemed_held_are_followed_on(stack: Stack, put_batch: PutBatch) -> None:
    put_batch("b-1", state="running", jobs=2, held=1, succeeded=1)
    steps = [
        lambda: put_batch("b-1", state="running", jobs=2, held=1, running=1),
        lambda: put_batch("b-1", state="completed", jobs=2, succeeded=2),
    ]

    assert states(stack, steps) == ["running", "running", "completed"]


def test_an_upload_that_becomes_no_batch_is_a_sentence(stack: Stack) -> None:
    clock = iter([0.0, 1.0, APPEARS_WITHIN_SECONDS + 1])

    with pytest.raises(NoBatchError, match="imagebatch status b-1"):
        list(follow(stack, "b-1", every_seconds=1, sleep=lambda _: None, monotonic=lambda: next(clock)))
