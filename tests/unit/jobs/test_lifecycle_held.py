"""A call of which nobody can say what became of it: it is held or repaid."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Stage, State
from functions.core.writes import StaleWriteError, apply
from tests.fakes.lane import PRICE
from tests.fakes.records import (
    LOST,
    Record,
    announced,
    announced_again,
    finish,
    held,
    held_accepted,
    seen,
    tried_again,
)


def repaid() -> Record:
    """Pending: the first call may have been taken, and another one is to be made."""
    return apply(lifecycle.repay(1, seen(announced()), LOST, 5), announced())


def test_a_held_job_remembers_its_call() -> None:
    job = seen(held())
    assert (job.state, job.stage, job.call_attempt) == (State.HELD, Stage.SUBMITTING, 1)
    assert (job.error_class, job.held_at) == (ErrorClass.AMBIGUOUS, "1970-01-01T00:00:00.005Z")


@pytest.mark.parametrize("record", [held, held_accepted])
def test_a_held_job_is_found_by_its_marks(record: Callable[[], Record]) -> None:
    assert record()["held"] == "held"
    assert record()["held_at"] == "1970-01-01T00:00:00.005Z"
    assert not seen(record()).owner


def test_a_repay_is_counted_and_spends_no_try() -> None:
    job = seen(repaid())
    assert (job.state, job.stage, job.repays, job.tries) == (State.PENDING, None, 1, {})
    assert tried_again(repaid(), 8)["call_attempt"] == 2


def test_a_job_is_repaid_once() -> None:
    record = tried_again(repaid(), 8)
    with pytest.raises(StaleWriteError):
        apply(lifecycle.repay(2, seen(record), LOST, 10), record)


@pytest.mark.parametrize("stage", [Stage.ACCEPTED, None])
def test_only_a_call_in_submission_is_repaid(stage: Stage | None) -> None:
    record = {**announced(), "stage": stage}
    if stage is None:
        del record["stage"]
    with pytest.raises(StaleWriteError):
        apply(lifecycle.repay(1, seen(record), LOST, 5), record)


def test_a_call_that_was_repaid_and_succeeds_after_all_finishes_the_job() -> None:
    record = tried_again(repaid(), 8)
    job = seen(apply(finish(seen(record), "p1"), record))
    assert (job.state, job.repays, job.cost_usd) == (State.SUCCESS, 1, PRICE)
    assert seen(announced_again()).repays == 0
