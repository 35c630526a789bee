"""A turn with one job: the call that is paid for, its refusals, its polls, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from functions.core.errors import ErrorClass, Fault
from functions.core.input.identity import PictureSpec
from functions.core.jobs.records import Job, Stage, State
from functions.core.jobs.retry import MAX_TRIES
from functions.core.keys import image_key, metadata_key, seed_for
from functions.core.ports import Completed, NotSent, Output, Refused, Working
from functions.core.writes import Write
from tests.fakes.lane import (
    JOB,
    MODEL,
    PRICE,
    SPEC,
    SYNC_MODEL,
    TASK_FAILED,
    THROTTLED,
    UNREADABLE,
    Lane,
    ScriptedApi,
    picture,
)
from tests.fakes.records import accepted
from tests.fakes.stores import MemoryJobs
from tests.fakes.virtual_time import VirtualClock, run


def test_a_pending_job_becomes_a_stored_picture_and_its_message_goes() -> None:
    lane = Lane()
    assert run(lane.deliver()) == set()
    job = lane.job()
    assert (job.state, job.cost_usd, job.attempt_count) == (State.SUCCESS, Decimal("0.003"), 1)
    assert lane.images.objects[image_key(JOB, "png")] == picture(replace(SPEC, seed=seed_for(JOB)))
    assert json.loads(lane.metadata.objects[metadata_key(JOB)])["picture"]["sha256"] == job.sha256
    assert lane.api.paid == 1


def test_success_takes_three_writes() -> None:
    lane = Lane()
    run(lane.deliver())
    assert lane.jobs.written == ["create", "claim_to_submit", "accept", "succeed"]


def test_a_refused_key_is_tried_once_more_when_a_new_one_may_have_been_read() -> None:
    lane = Lane(api=ScriptedApi(submits=[Refused(Fault(ErrorClass.AUTH, "HTTP 401", 401))]))
    assert run(lane.until_gone()) == 2
    assert lane.job().state is State.SUCCESS


def test_a_refusal_is_retried_after_its_backoff_and_spends_a_try() -> None:
    lane = Lane(api=ScriptedApi(submits=[THROTTLED]))
    assert run(lane.deliver()) == {JOB}
    assert lane.hidden() == 2
    assert lane.job().tries == {"rate_limited": 1}


def test_the_last_try_fails_the_job_and_leaves_a_dead_letter() -> None:
    lane = Lane(api=ScriptedApi(submits=[THROTTLED] * MAX_TRIES))
    assert run(lane.until_gone()) == MAX_TRIES
    job = lane.job()
    assert (job.state, job.error_class, job.cost_usd) == (State.FAILED, ErrorClass.RATE_LIMITED, Decimal(0))
    (letter,) = lane.dead_letters.bodies
    assert json.loads(letter) == {
        "job_id": JOB,
        "model": "flux-schnell",
        "batch_id": "a",
        "error_class": "rate_limited",
        "error_message": "HTTP 429",
        "last_response_code": 429,
        "attempt_count": MAX_TRIES,
        "tries": {"rate_limited": MAX_TRIES},
    }


@pytest.mark.parametrize("error_class", [ErrorClass.INVALID, ErrorClass.MODERATED, ErrorClass.FUNDS])
def test_what_another_try_cannot_mend_fails_at_once(error_class: ErrorClass) -> None:
    lane = Lane(api=ScriptedApi(submits=[Refused(Fault(error_class, "no", 400))]))
    assert run(lane.until_gone()) == 1
    assert lane.job().state is State.FAILED
    assert len(lane.dead_letters.bodies) == 1


def test_a_call_that_did_not_leave_in_time_is_withdrawn_and_spends_no_try() -> None:
    lane = Lane(api=ScriptedApi(submits=[NotSent()]))
    assert run(lane.until_gone()) == 2
    assert (lane.job().state, lane.job().tries) == (State.SUCCESS, {})
    assert lane.jobs.written.count("withdraw") == 1


@dataclass
class FreezingJobs(MemoryJobs):
    """A jobs table whose worker is frozen for some seconds right after it has announced a call."""

    seconds: float = 6.0
    clock: Any = None

    def __post_init__(self) -> None:
        super().__init__()

    def write(self, job_id: str, write: Write) -> Job:
        job = super().write(job_id, write)
        if write.name == "claim_to_submit":
            self.clock.frozen += self.seconds
        return job


class FreezableClock(VirtualClock):
    frozen = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.frozen


def test_a_worker_frozen_between_announcing_and_sending_does_not_send() -> None:
    clock = FreezableClock()
    lane = Lane(jobs=FreezingJobs(clock=clock), clock=clock)
    lane.api = _OnClock(clock)

    async def one_turn() -> set[str]:
        return await lane.deliver()

    assert run(one_turn()) == {JOB}
    assert lane.api.submitted == []
    assert (lane.job().state, lane.job().stage) == (State.PENDING, None)


class _OnClock(ScriptedApi):
    """A provider that reads `not_after` on the worker's clock, as the real adapter does."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    async def submit(self, spec: PictureSpec, *, job_id: str, callback_url: str, not_after: float) -> Any:
        if self._clock.monotonic() > not_after:
            return NotSent()
        return await super().submit(spec, job_id=job_id, callback_url=callback_url, not_after=not_after)


def test_polls_that_break_do_not_end_the_wait() -> None:
    lane = Lane(api=ScriptedApi(polls=[UNREADABLE, UNREADABLE, Working()]))
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS


def test_a_provider_that_takes_longer_than_the_models_time_is_asked_again_later() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=3 * MODEL.timeout_seconds))
    assert run(lane.until_gone()) > 1
    assert (lane.job().state, lane.api.paid, lane.job().tries) == (State.SUCCESS, 1, {})


def test_a_provider_that_never_finishes_ends_as_held() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=1e9))
    run(lane.until_gone(most=1000))
    assert (lane.job().state, lane.job().stage, lane.api.paid) == (State.HELD, Stage.ACCEPTED, 1)


def test_a_failed_task_is_bought_again_since_the_provider_gave_the_money_back() -> None:
    lane = Lane(api=ScriptedApi(polls=[TASK_FAILED]))
    assert run(lane.until_gone()) == 2
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 2)


def test_the_log_has_a_line_for_each_request_and_outcome_and_never_the_prompt() -> None:
    lane = Lane()
    run(lane.deliver())
    assert {line["operation"] for line in lane.log.of("provider_request")} == {"submit", "poll", "fetch"}
    (outcome,) = lane.log.of("job_ended")
    assert outcome["outcome"] == "success"
    assert "kettle" not in repr(lane.log.lines)


def whole(reference: str) -> Completed:
    return Completed(Output(data=picture(SPEC)), 200, reference)


def test_a_synchronous_answer_with_a_reference_is_written_down_before_its_picture_is_touched() -> None:
    lane = Lane(model=SYNC_MODEL, api=ScriptedApi(submits=[whole("s0")]))
    known: list[tuple[Stage | None, str]] = []
    fetch = lane.api.fetch

    async def fetched(output: Output) -> bytes:
        known.append((lane.job().stage, lane.job().reference))
        return output.data or await fetch(output)

    lane.api.fetch = fetched  # type: ignore[method-assign]  # it answers as the other does
    assert run(lane.deliver()) == set()
    assert known == [(Stage.ACCEPTED, "s0")]
    assert lane.jobs.written == ["create", "claim_to_submit", "accept", "succeed"]
    assert (lane.job().cost_usd, lane.api.polled) == (PRICE, 0)


def test_a_synchronous_answer_without_a_reference_goes_straight_to_the_picture() -> None:
    lane = Lane(model=SYNC_MODEL, api=ScriptedApi(submits=[whole("")], fetches=[picture(SPEC)]))
    assert run(lane.deliver()) == set()
    assert lane.jobs.written == ["create", "claim_to_submit", "succeed"]
    assert lane.job().cost_usd == PRICE


def test_a_synchronous_picture_whose_worker_died_is_asked_for_by_its_reference() -> None:
    lane = Lane(model=SYNC_MODEL)
    lane.jobs.records[JOB] = {**accepted(), "reference": lane.api.take(SPEC)}
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.api.paid, lane.api.submitted) == (State.SUCCESS, 1, [])
