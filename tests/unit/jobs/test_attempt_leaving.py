"""Callback mode, seen from the worker: it leaves, and its message is the alarm clock that asks when nobody called."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.core.errors import ErrorClass
from functions.core.jobs.attempt import LOOK_AGAIN_SECONDS, OPEN_PATIENCE_SECONDS, POLL_MOST_SECONDS
from functions.core.jobs.callback_key import LIFE_SECONDS, read_key
from functions.core.jobs.records import Stage, State
from functions.core.ports import Completed, Output, Working
from tests.fakes.lane import (
    API_URL,
    CALLBACK_MODEL,
    JOB,
    LEASE_SECONDS,
    MODEL,
    NO_ANSWER,
    PRICE,
    SIGNING_SECRET,
    SYNC_MODEL,
    TASK_FAILED,
    UNREADABLE,
    Lane,
    ScriptedApi,
)
from tests.fakes.races import RacedLane
from tests.fakes.virtual_time import START_MS, run

AT_ONCE = replace(CALLBACK_MODEL, inline_seconds=0)
SLOW = 100.0
"""Seconds of work that no worker waits for in callback mode."""


def slow_lane(**changes: object) -> RacedLane:
    return RacedLane(model=replace(CALLBACK_MODEL, **changes), api=ScriptedApi(work_seconds=SLOW))  # type: ignore[arg-type]  # fields of the model


async def seconds(lane: Lane) -> float:
    """How long one delivery takes."""
    began = lane.clock.monotonic()
    await lane.deliver()
    return lane.clock.monotonic() - began


def test_the_provider_is_told_where_to_call_back_about_this_call() -> None:
    lane = Lane(model=CALLBACK_MODEL)
    run(lane.deliver())
    (url,) = lane.api.callback_urls
    address, _, text = url.partition("?key=")
    assert address == f"{API_URL}/callbacks/wavespeed"
    key = read_key(text, secret=SIGNING_SECRET, provider="wavespeed", now_ms=START_MS)
    assert (key.job_id, key.attempt, key.expires) == (JOB, 1, START_MS // 1000 + LIFE_SECONDS)


def test_each_call_has_a_key_of_its_own() -> None:
    lane = Lane(model=CALLBACK_MODEL, api=ScriptedApi(polls=[TASK_FAILED]))
    run(lane.until_gone())
    texts = [url.partition("?key=")[2] for url in lane.api.callback_urls]
    keys = [read_key(text, secret=SIGNING_SECRET, provider="wavespeed", now_ms=START_MS) for text in texts]
    assert [key.attempt for key in keys] == [1, 2]


@pytest.mark.parametrize("model", [MODEL, SYNC_MODEL])
def test_in_other_modes_nobody_is_to_call_back(model: object) -> None:
    lane = Lane(model=model)  # type: ignore[arg-type]  # it is a model
    run(lane.deliver())
    assert lane.api.callback_urls == [""]


def test_a_fast_picture_is_fetched_before_the_worker_would_leave() -> None:
    lane = Lane(model=CALLBACK_MODEL)
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.jobs.written) == (
        State.SUCCESS,
        ["create", "claim_to_submit", "accept", "succeed"],
    )


def test_the_worker_leaves_after_its_inline_seconds_for_the_time_of_its_patience() -> None:
    lane = slow_lane()
    waited = run(seconds(lane))
    assert CALLBACK_MODEL.inline_seconds <= waited + POLL_MOST_SECONDS
    assert waited <= CALLBACK_MODEL.inline_seconds + 1
    assert (lane.receives[JOB], lane.hidden()) == (1, CALLBACK_MODEL.patience_seconds)
    job = lane.job()
    assert (job.state, job.stage, job.reference, job.tries) == (State.RUNNING, Stage.ACCEPTED, "p0", {})
    assert job.lease_expires_at <= START_MS + round(waited * 1000)
    assert job.waiting_since


def test_without_inline_seconds_it_leaves_with_the_acceptance_in_one_write() -> None:
    lane = Lane(model=AT_ONCE)
    assert run(lane.deliver()) == {JOB}
    assert lane.jobs.written == ["create", "claim_to_submit", "accept"]
    assert (lane.api.polled, lane.hidden()) == (0, AT_ONCE.patience_seconds)
    assert lane.job().lease_expires_at <= START_MS + 1000
    assert lane.job().waiting_since


def test_the_alarm_clock_finds_the_picture_when_nobody_called() -> None:
    lane = slow_lane()
    assert run(lane.until_gone()) == 2
    job = lane.job()
    assert (job.state, job.cost_usd, job.attempt_count) == (State.SUCCESS, PRICE, 2)
    assert (len(lane.api.submitted), lane.api.paid) == (1, 1)


@pytest.mark.parametrize("inline", [0, 8])
def test_the_alarm_clock_goes_off_again_while_the_provider_works(inline: int) -> None:
    lane = Lane(model=replace(CALLBACK_MODEL, inline_seconds=inline), api=ScriptedApi(work_seconds=1000))

    async def patiences() -> float:
        await lane.until_gone()
        return lane.clock.monotonic() / CALLBACK_MODEL.patience_seconds

    assert 5 <= run(patiences()) <= 7
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 1)
    assert lane.receives[JOB] in (6, 7)


def test_a_worker_that_leaves_looks_once_more_since_a_callback_may_have_left_the_picture_to_it() -> None:
    lane = slow_lane()
    done = Completed(Output(url="p0"), 200)
    lane.jobs.before["leave"] = [lambda: lane.api.polls.append(done)]
    assert run(lane.deliver()) == set()
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 1)
    assert lane.jobs.written[-2:] == ["leave", "succeed"]


def test_the_last_look_takes_no_lease_again() -> None:
    lane = slow_lane(inline_seconds=9)
    slow_poll = lane.api.poll

    async def poll(reference: str) -> object:
        if "leave" in lane.jobs.written:
            await lane.clock.sleep(LEASE_SECONDS)
        return await slow_poll(reference)

    lane.api.poll = poll  # type: ignore[method-assign,assignment]  # it answers as the other does
    waited = run(seconds(lane))
    assert waited < 9 + 1 + 3
    assert lane.job().lease_expires_at < START_MS + waited * 1000
    assert lane.hidden() == CALLBACK_MODEL.patience_seconds


def test_a_last_look_that_fails_changes_nothing() -> None:
    lane = slow_lane()
    lane.jobs.before["leave"] = [lambda: lane.api.polls.append(UNREADABLE)]
    assert run(lane.deliver()) == {JOB}
    assert lane.hidden() == CALLBACK_MODEL.patience_seconds
    assert lane.job().stage is Stage.ACCEPTED


def test_after_a_long_pause_one_poll_without_an_answer_decides_nothing() -> None:
    lane = slow_lane()

    async def paused() -> set[str]:
        await lane.deliver()
        await lane.clock.sleep(2 * OPEN_PATIENCE_SECONDS)
        lane.api.polls = [UNREADABLE] * 50
        return await lane.deliver()

    assert run(paused()) == {JOB}
    assert (lane.job().state, lane.hidden()) == (State.RUNNING, LOOK_AGAIN_SECONDS)


def test_who_cannot_be_asked_is_asked_again_soon() -> None:
    lane = Lane(model=CALLBACK_MODEL, api=ScriptedApi(polls=[UNREADABLE] * 50))
    assert run(lane.deliver()) == {JOB}
    assert lane.hidden() == LOOK_AGAIN_SECONDS


def test_a_lost_answer_is_looked_for_soon_and_not_left_to_the_callback() -> None:
    lane = Lane(model=CALLBACK_MODEL, api=ScriptedApi(submits=[NO_ANSWER]))
    assert run(lane.deliver()) == {JOB}
    assert lane.hidden() == LOOK_AGAIN_SECONDS
    assert lane.job().payment_unknown


def test_a_call_that_never_ends_is_held() -> None:
    lane = Lane(model=CALLBACK_MODEL, api=ScriptedApi(work_seconds=1e9))

    async def until_held() -> float:
        await lane.until_gone(most=1000)
        return lane.clock.monotonic()

    after = run(until_held())
    assert OPEN_PATIENCE_SECONDS < after < OPEN_PATIENCE_SECONDS + 2 * CALLBACK_MODEL.patience_seconds
    assert (lane.job().state, lane.job().error_class) == (State.HELD, ErrorClass.TIMEOUT)


def test_without_an_api_for_callbacks_it_polls_as_long_as_in_poll_mode() -> None:
    lane = slow_lane()
    lane.api_url = ""
    waited = run(seconds(lane))
    assert abs(waited - CALLBACK_MODEL.timeout_seconds) <= POLL_MOST_SECONDS + 1
    assert lane.api.callback_urls == [""]
    assert lane.hidden() == LOOK_AGAIN_SECONDS
    at_once = Lane(model=AT_ONCE, api_url="")
    assert run(at_once.deliver()) == set()
    assert at_once.job().state is State.SUCCESS


def test_a_provider_that_answers_working_for_ever_is_polled_for_the_inline_seconds_alone() -> None:
    lane = Lane(model=CALLBACK_MODEL, api=ScriptedApi(polls=[Working()] * 1000))
    assert abs(run(seconds(lane)) - CALLBACK_MODEL.inline_seconds) < 1
    assert lane.api.polled < 10


def test_in_poll_mode_nothing_is_asked_after_leaving() -> None:
    lane = RacedLane(model=MODEL, api=ScriptedApi(work_seconds=1000))
    lane.jobs.before["leave"] = [lambda: lane.api.polls.append(Completed(Output(url="p0"), 200))]
    assert run(lane.deliver()) == {JOB}
    assert lane.jobs.written[-1] == "leave"


def test_a_call_without_a_reference_is_not_left_to_the_callback() -> None:
    whole = Completed(Output(url="p0"), 200)
    lane = Lane(model=CALLBACK_MODEL, api=ScriptedApi(submits=[whole], submit_seconds=50))
    lane.remaining = lambda: 90 - lane.clock.monotonic()
    assert run(lane.deliver()) == {JOB}
    assert lane.job().payment_unknown
    assert lane.hidden() == LOOK_AGAIN_SECONDS
