"""A callback that says a call has made its picture: the truth, however late, and whatever the job has become since."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from functions.core.errors import ErrorClass, Fault, StorageError
from functions.core.jobs import lifecycle
from functions.core.jobs.completion import Result
from functions.core.jobs.records import Stage, State
from functions.core.keys import image_key, metadata_key
from functions.core.ports import PollError
from functions.core.writes import apply
from tests.fakes.callbacks import Desk, hint, succeeded
from tests.fakes.lane import JOB, PRICE, SPEC, UNREADABLE, picture
from tests.fakes.races import ThrottledError
from tests.fakes.records import (
    LOST,
    Record,
    accepted,
    accepted_again,
    announced,
    announced_again,
    doubted,
    failed,
    failed_paid,
    given_back,
    held,
    held_accepted,
    left,
    seen,
)
from tests.fakes.records import succeeded as success
from tests.fakes.stores import MemoryObjects
from tests.fakes.virtual_time import START_MS


@pytest.mark.parametrize("record", [left, accepted, held_accepted])
def test_the_picture_of_a_job_whose_worker_has_left_is_stored_and_ends_it(record: Callable[[], Record]) -> None:
    at = Desk.with_job(record())
    assert at.tell(succeeded()) is Result.FINISHED
    job = at.job
    assert (job.state, job.reference, job.cost_usd, job.callback_ids) == (State.SUCCESS, "p1", PRICE, frozenset({"e1"}))
    assert at.lane.images.objects == {image_key(JOB, "png"): picture(SPEC)}
    assert json.loads(at.lane.metadata.objects[metadata_key(JOB)])["picture"]["sha256"] == job.sha256
    assert at.lane.jobs.written == ["create", "finish"]
    assert at.rung.messages == []
    (ended,) = at.lane.log.of("job_ended")
    assert (ended["outcome"], ended["job_id"], ended["model"]) == ("success", JOB, "flux-schnell")


def test_the_latency_runs_from_the_call_to_the_stored_picture() -> None:
    at = Desk.with_job(accepted(START_MS - 4500, leaving=True))
    at.tell(succeeded())
    assert at.job.latency_ms == 4500


@pytest.mark.parametrize("record", [announced, doubted, held])
def test_a_submit_whose_answer_was_lost_is_healed_and_finished(record: Callable[[], Record]) -> None:
    at = Desk.with_job(record())
    assert at.tell(succeeded()) is Result.FINISHED
    assert (at.job.state, at.job.reference, at.job.cost_usd) == (State.SUCCESS, "p1", PRICE)
    assert at.lane.jobs.written == ["create", "heal", "finish"]
    assert json.loads(at.lane.metadata.objects[metadata_key(JOB)])["reference"] == "p1"


def test_a_picture_of_a_job_whose_worker_polls_is_left_to_that_worker() -> None:
    at = Desk.with_job(accepted(START_MS))
    assert at.tell(succeeded()) is Result.LEFT
    assert at.lane.jobs.records[JOB] == accepted(START_MS)
    assert (at.lane.api.fetched, at.lane.images.objects, at.rung.messages) == (0, {}, [])


def test_a_picture_of_a_job_whose_worker_still_waits_for_an_answer_is_stored_under_it() -> None:
    at = Desk.with_job(announced(START_MS))
    assert at.tell(succeeded()) is Result.FINISHED
    assert (at.job.state, at.job.reference, at.job.cost_usd) == (State.SUCCESS, "p1", PRICE)
    assert at.lane.jobs.written == ["create", "heal", "finish"]


def test_the_same_event_is_acted_on_once() -> None:
    at = Desk.with_job(left())
    assert [at.tell(succeeded()) for _ in range(3)] == [Result.FINISHED, Result.DUPLICATE, Result.DUPLICATE]
    assert (at.job.cost_usd, at.lane.api.fetched) == (PRICE, 1)


def test_an_event_is_known_by_its_id_whatever_its_body_names() -> None:
    at = Desk.with_job(left())
    at.tell(succeeded("p1", "e1"))
    assert at.tell(succeeded("p2", "e1")) is Result.DUPLICATE
    assert at.job.cost_usd == PRICE


@pytest.mark.parametrize("event_id", ["", "e2"])
def test_another_event_about_the_call_that_made_the_picture_changes_nothing(event_id: str) -> None:
    at = Desk.with_job(success())
    assert at.tell(succeeded("p1", event_id)) is Result.DUPLICATE
    assert at.lane.jobs.records[JOB] == success()


def test_events_without_an_id_are_acted_on_by_what_they_say() -> None:
    at = Desk.with_job(left())
    assert at.tell(succeeded(event_id="")) is Result.FINISHED
    assert at.job.callback_ids == frozenset()
    assert at.tell(succeeded(event_id="")) is Result.DUPLICATE


EARLIER = {
    "pending": (given_back, PRICE, frozenset()),
    "running, a newer call submitting": (lambda: announced_again(START_MS), PRICE, frozenset()),
    "running, a newer call accepted": (lambda: accepted_again(START_MS), 2 * PRICE, frozenset({"p2"})),
    "left, a newer call accepted": (accepted_again, 2 * PRICE, frozenset({"p2"})),
    "failed": (failed, PRICE, frozenset()),
    "failed, and paid": (failed_paid, PRICE, frozenset({"p1"})),
    "held by a newer call": (
        lambda: apply(lifecycle.hold(2, seen(announced_again()), LOST, 9), announced_again()),
        PRICE,
        frozenset(),
    ),
}


@pytest.mark.parametrize("station", EARLIER)
def test_a_late_success_of_an_earlier_call_finishes_the_job(station: str) -> None:
    record, cost, paid = EARLIER[station]
    at = Desk.with_job(record())
    assert at.tell(succeeded("p1"), attempt=1) is Result.FINISHED
    job = at.job
    assert (job.state, job.reference, job.cost_usd, job.settled_calls) == (State.SUCCESS, "p1", cost, paid)
    assert "held" not in at.lane.jobs.records[JOB]
    assert at.lane.images.objects


def test_a_hint_about_another_call_than_the_one_waited_for_changes_nothing() -> None:
    for record in (success(), left()):
        at = Desk.with_job(record)
        assert at.tell(hint("p2"), attempt=2) is Result.OUTDATED
        assert (at.lane.jobs.records[JOB], at.lane.api.polled) == (record, 0)


def test_a_second_call_that_was_paid_for_is_counted_once_however_often_it_is_said() -> None:
    at = Desk.with_job(success())
    said = [succeeded("p2", "e2"), succeeded("p2", "e3")]
    assert [at.tell(one, attempt=2) for one in said] == [Result.COUNTED, Result.DUPLICATE]
    job = at.job
    assert (job.state, job.reference, job.cost_usd, job.settled_calls) == (
        State.SUCCESS,
        "p1",
        2 * PRICE,
        frozenset({"p2"}),
    )
    assert (at.lane.images.objects, at.lane.api.fetched) == ({}, 0)


def test_each_of_two_calls_that_finish_is_counted_in_whichever_order_they_are_heard_of() -> None:
    at = Desk.with_job(announced_again())
    assert at.tell(succeeded("p2", "e2"), attempt=2) is Result.FINISHED
    assert at.tell(succeeded("p1", "e1"), attempt=1) is Result.COUNTED
    assert (at.job.cost_usd, at.job.reference) == (2 * PRICE, "p2")


def test_of_two_calls_the_other_that_was_counted_by_the_first_is_a_duplicate() -> None:
    at = Desk.with_job(accepted_again())
    assert at.tell(succeeded("p1", "e1"), attempt=1) is Result.FINISHED
    assert at.tell(succeeded("p2", "e2"), attempt=2) is Result.DUPLICATE
    assert at.job.cost_usd == 2 * PRICE


class Refusing(MemoryObjects):
    """A bucket that cannot be written to so many times."""

    times = 1

    def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
        self.times -= 1
        if self.times >= 0:
            raise StorageError("an object could not be written: SlowDown")
        return super().put_if_absent(key, body, content_type)


GONE = PollError(Fault(ErrorClass.NETWORK, "HTTP 503", 503, resumable=True))


@pytest.mark.parametrize("record", [left, held_accepted, given_back, failed, accepted_again])
@pytest.mark.parametrize("fault", [GONE, b"", picture(SPEC)[:-60], picture(SPEC, size=(32, 64)), "images", "metadata"])
def test_a_picture_that_cannot_be_had_for_now_changes_nothing_and_a_later_delivery_finishes(
    record: Callable[[], Record], fault: PollError | bytes | str
) -> None:
    at = Desk.with_job(record())
    if fault == "images":
        at.lane.images = Refusing()
    elif fault == "metadata":
        at.lane.metadata = Refusing()
    elif not isinstance(fault, str):
        at.lane.api.fetches = [fault]
    assert at.tell(succeeded()) is Result.BROKEN
    assert at.lane.jobs.records[JOB] == record()
    assert at.rung.messages == []
    assert at.tell(succeeded()) is Result.FINISHED
    assert at.job.state is State.SUCCESS


def test_a_download_that_drips_is_given_up_before_the_provider_stops_waiting() -> None:
    at = Desk.with_job(left())
    slow = at.lane.api.fetch

    async def fetch(output: object) -> bytes:
        await at.lane.clock.sleep(1000)
        return await slow(output)  # type: ignore[arg-type]  # an output

    at.lane.api.fetch = fetch  # type: ignore[method-assign]  # it answers as the other does
    assert at.tell(succeeded()) is Result.BROKEN


def test_a_reference_that_was_lost_is_kept_even_if_its_picture_cannot_be_had() -> None:
    at = Desk.with_job(doubted())
    at.lane.api.fetches = [UNREADABLE]
    assert at.tell(succeeded()) is Result.BROKEN
    assert (at.job.state, at.job.stage, at.job.reference) == (State.RUNNING, Stage.ACCEPTED, "p1")
    assert at.tell(succeeded()) is Result.FINISHED


def test_a_picture_that_is_stored_already_is_the_jobs_picture() -> None:
    at = Desk.with_job(left())
    other = picture(replace(SPEC, seed=200))
    at.lane.images.objects[image_key(JOB, "png")] = other
    assert at.tell(succeeded()) is Result.FINISHED
    assert at.lane.images.objects[image_key(JOB, "png")] == other
    assert at.job.size == len(other)


def test_what_aws_refuses_is_raised_and_a_later_delivery_finishes() -> None:
    at = Desk.with_job(left())
    at.lane.jobs.failures["finish"] = 1
    with pytest.raises(ThrottledError):
        at.tell(succeeded())
    assert at.job.state is State.RUNNING
    assert at.tell(succeeded()) is Result.FINISHED
    assert at.job.cost_usd == PRICE


def test_a_hint_of_a_finished_call_finishes_the_job_by_what_the_provider_answers() -> None:
    at = Desk.with_job(left())
    assert at.tell(hint()) is Result.FINISHED
    assert (at.lane.api.polled, at.job.state, at.job.callback_ids) == (1, State.SUCCESS, frozenset())
    assert at.job.cost_usd == PRICE


def test_what_an_unsigned_body_claims_counts_for_nothing() -> None:
    at = Desk.with_job(left())
    at.lane.api.polls = [UNREADABLE]
    assert at.tell(succeeded(verified=False)) is Result.BROKEN
    assert at.lane.jobs.records[JOB] == left()
