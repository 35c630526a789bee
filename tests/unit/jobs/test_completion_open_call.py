"""A callback about a call that is not done, or came to nothing: the reference is kept, and a worker decides."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle
from functions.core.jobs.completion import Result
from functions.core.jobs.records import Stage, State
from functions.core.messages import Doorbell, dump
from functions.core.ports import Notice, Working
from functions.core.writes import apply
from tests.fakes.callbacks import MODERATED, Desk, came_to_nothing, hint, notice
from tests.fakes.lane import JOB, PRICE, UNREADABLE
from tests.fakes.records import (
    BROKEN,
    BUSY,
    Record,
    accepted,
    accepted_again,
    announced,
    announced_again,
    created,
    doubted,
    failed,
    given_back,
    held,
    held_accepted,
    left,
    seen,
    succeeded,
)
from tests.fakes.virtual_time import START_MS, run

RUNG = [dump(Doorbell(JOB, "a"))]


def waiting_to_fetch() -> Record:
    """Pending: the picture of p1 is there, and could not be had so far."""
    return apply(lifecycle.give_back(1, seen(accepted()), BROKEN, 2), accepted())


@pytest.mark.parametrize("record", [announced, doubted, held, left, accepted, waiting_to_fetch])
def test_a_failed_call_that_nobody_is_at_rings_a_worker(record: Callable[[], Record]) -> None:
    at = Desk.with_job(record())
    assert at.tell(came_to_nothing()) is Result.LEFT
    assert at.rung.bodies == RUNG
    assert (at.job.stage, at.job.reference) == (Stage.ACCEPTED, "p1")
    assert at.job.state is (State.PENDING if record in (held, waiting_to_fetch) else State.RUNNING)


@pytest.mark.parametrize("record", [announced, accepted])
def test_a_failed_call_whose_worker_is_at_it_rings_nobody(record: Callable[..., Record]) -> None:
    at = Desk.with_job(record(START_MS))
    assert at.tell(came_to_nothing()) is Result.LEFT
    assert at.rung.messages == []
    assert (at.job.stage, at.job.reference, at.job.owner) == (Stage.ACCEPTED, "p1", "one")


def test_the_worker_that_is_rung_decides_about_the_next_try() -> None:
    at = Desk.with_job(left())
    at.tell(came_to_nothing())
    at.lane.api.polls = [MODERATED]
    assert run(at.lane.until_gone()) == 1
    assert (at.job.state, at.job.error_class, at.job.cost_usd) == (State.FAILED, ErrorClass.MODERATED, Decimal(0))


@pytest.mark.parametrize(
    "record", [created, given_back, failed, announced_again, accepted_again, lambda: announced_again(START_MS)]
)
def test_a_failed_call_that_the_job_does_not_wait_for_changes_nothing(record: Callable[[], Record]) -> None:
    at = Desk.with_job(record())
    assert at.tell(came_to_nothing("p9"), attempt=1) is Result.OUTDATED
    assert at.lane.jobs.records[JOB] == record()
    assert at.rung.messages == []


def test_a_failed_call_after_which_the_job_waits_for_its_next_try_is_outdated() -> None:
    record = apply(lifecycle.give_back(1, seen(accepted()), BUSY, 2), accepted())
    at = Desk.with_job(record)
    assert at.tell(came_to_nothing()) is Result.OUTDATED
    assert at.lane.jobs.records[JOB] == record
    assert at.rung.messages == []


def test_a_failed_call_of_a_job_that_has_its_picture_changes_nothing() -> None:
    at = Desk.with_job(succeeded())
    assert at.tell(came_to_nothing("p1")) is Result.DUPLICATE
    assert at.tell(came_to_nothing("p9"), attempt=2) is Result.OUTDATED
    assert at.lane.jobs.records[JOB] == succeeded()
    assert at.rung.messages == []


def test_the_same_failure_said_twice_is_harmless() -> None:
    at = Desk.with_job(doubted())
    assert [at.tell(came_to_nothing()) for _ in range(2)] == [Result.LEFT, Result.LEFT]
    assert at.lane.jobs.written == ["create", "heal"]


def test_a_held_job_is_rung_once_its_reference_is_known_whatever_becomes_of_the_call() -> None:
    for said in (hint(), notice(Working()), came_to_nothing()):
        at = Desk.with_job(held())
        at.lane.api.polls = [Working()]
        assert at.tell(said) is Result.LEFT
        assert (at.job.state, at.job.stage, at.job.reference) == (State.PENDING, Stage.ACCEPTED, "p1")
        assert at.rung.bodies == RUNG


@pytest.mark.parametrize("said", [notice(Working()), hint()])
@pytest.mark.parametrize("record", [announced, doubted, lambda: announced(START_MS)])
def test_news_of_a_call_that_goes_on_brings_its_lost_reference_back_and_rings_nobody(
    said: Notice, record: Callable[[], Record]
) -> None:
    at = Desk.with_job(record())
    at.lane.api.polls = [Working()]
    assert at.tell(said) is Result.LEFT
    assert (at.job.state, at.job.stage, at.job.reference) == (State.RUNNING, Stage.ACCEPTED, "p1")
    assert at.rung.messages == []


@pytest.mark.parametrize("said", [notice(Working()), hint()])
def test_news_of_a_known_call_that_goes_on_changes_nothing(said: Notice) -> None:
    at = Desk.with_job(left())
    at.lane.api.polls = [Working()]
    assert at.tell(said) is Result.LEFT
    assert at.lane.jobs.records[JOB] == left()


def test_a_hint_of_a_failed_call_is_believed_if_the_provider_says_so() -> None:
    at = Desk.with_job(left())
    at.lane.api.polls = [MODERATED]
    assert at.tell(hint()) is Result.LEFT
    assert (at.lane.api.polled, at.rung.bodies) == (1, RUNG)


@pytest.mark.parametrize("record", [doubted, left, held])
def test_a_hint_about_which_the_provider_cannot_be_asked_changes_nothing(record: Callable[[], Record]) -> None:
    at = Desk.with_job(record())
    at.lane.api.polls = [UNREADABLE]
    assert at.tell(hint()) is Result.BROKEN
    assert at.lane.jobs.records[JOB] == record()


def test_a_signed_callback_is_not_asked_about() -> None:
    at = Desk.with_job(left())
    at.tell(came_to_nothing())
    assert at.lane.api.polled == 0


def test_a_job_whose_model_was_disabled_has_no_lane_to_ring() -> None:
    at = Desk.with_job(left())
    at.lanes = {}
    assert at.tell(came_to_nothing()) is Result.LEFT


def test_a_job_that_is_held_for_a_call_that_is_known_stays_held_when_that_fails() -> None:
    at = Desk.with_job(held_accepted())
    assert at.tell(came_to_nothing()) is Result.LEFT
    assert at.lane.jobs.records[JOB] == held_accepted()


def test_what_was_paid_before_stays_counted() -> None:
    record = apply(lifecycle.count_payment(seen(doubted()), "p0", PRICE, 8), doubted())
    at = Desk.with_job(record)
    at.tell(came_to_nothing())
    assert (at.job.cost_usd, at.job.settled_calls) == (PRICE, frozenset({"p0"}))
