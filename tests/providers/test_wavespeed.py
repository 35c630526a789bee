"""The WaveSpeed adapter against the sandbox, which speaks WaveSpeed's protocol over real HTTP."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from functions.core.errors import ErrorClass
from functions.core.jobs.picture import check_picture
from functions.core.ports import Accepted, Ambiguous, Completed, NotSent, Output, PollError, Refused, Working
from tests.fakes.sandbox import Sandbox
from tests.providers.calls import ENDLESS, JOB, MODEL, QUICK, SHORT, SPEC, accepted, api, poll, submit

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_a_submit_is_accepted_polled_and_fetched_as_the_picture_that_was_asked_for(sandbox: Sandbox) -> None:
    async def all_of_it() -> bytes:
        async with api(sandbox.url) as provider:
            answer = await provider.submit(SPEC, job_id=JOB, callback_url="", not_after=time.monotonic() + 5)
            assert isinstance(answer, Accepted)
            finished = await provider.poll(answer.reference)
            assert isinstance(finished, Completed)
            return await provider.fetch(finished.output)

    picture = check_picture(asyncio.run(all_of_it()), SPEC)
    assert (picture.width, picture.height, picture.format) == (256, 320, "png")


def test_the_job_id_goes_along_as_the_idempotency_key(sandbox: Sandbox) -> None:
    reference = accepted(sandbox)
    charge = next(charge for charge in sandbox.ledger()["charges"] if charge["id"] == reference)
    assert charge["idempotency_key"] == JOB


def test_a_prediction_that_is_not_finished_is_working(sandbox: Sandbox) -> None:
    sandbox.behave(latency_seconds=ENDLESS)
    assert poll(sandbox, accepted(sandbox)) == Working()


@pytest.mark.parametrize(
    ("behaviour", "error_class"),
    [
        ({"faults": {"submit_429": 1.0}}, ErrorClass.RATE_LIMITED),
        ({"out_of_funds": True}, ErrorClass.FUNDS),
        ({"api_key": "another"}, ErrorClass.AUTH),
    ],
)
def test_a_refusal_is_told_apart_and_charges_nothing(
    sandbox: Sandbox, behaviour: dict[str, Any], error_class: ErrorClass
) -> None:
    sandbox.behave(**behaviour)
    before = sandbox.ledger()["summary"]["charged"]
    answer = submit(sandbox)
    assert isinstance(answer, Refused)
    assert answer.fault.error_class is error_class
    assert sandbox.ledger()["summary"]["charged"] == before


def test_a_size_the_provider_does_not_make_is_refused_as_invalid(sandbox: Sandbox) -> None:
    answer = submit(sandbox, replace(SPEC, width=4000))
    assert isinstance(answer, Refused)
    assert answer.fault.error_class is ErrorClass.INVALID


@pytest.mark.parametrize(
    "fault", ["submit_500_before", "submit_500_after", "submit_drop_after", "submit_timeout_after"]
)
def test_a_lost_answer_is_ambiguous_whether_or_not_the_call_was_taken(sandbox: Sandbox, fault: str) -> None:
    sandbox.behave(faults={fault: 1.0})
    before = sandbox.ledger()["summary"]["submits"]
    answer = submit(sandbox)
    assert isinstance(answer, Ambiguous)
    assert sandbox.ledger()["summary"]["submits"] == before + 1, "the request was sent a second time"


def test_a_provider_that_cannot_be_reached_was_not_paid() -> None:
    answer = submit(Sandbox("http://127.0.0.1:9"))
    assert isinstance(answer, Refused)
    assert answer.fault.error_class is ErrorClass.NETWORK


def test_a_call_whose_moment_has_passed_does_not_leave(sandbox: Sandbox) -> None:
    before = sandbox.ledger()["summary"]["submits"]
    assert submit(sandbox, not_after=time.monotonic() - 0.001) == NotSent()
    assert sandbox.ledger()["summary"]["submits"] == before


@pytest.mark.parametrize(
    ("fault", "error_class"), [("moderation", ErrorClass.MODERATED), ("task_failed", ErrorClass.INVALID)]
)
def test_a_failed_task_says_why(sandbox: Sandbox, fault: str, error_class: ErrorClass) -> None:
    sandbox.behave(latency_seconds=SHORT, faults={fault: 1.0})
    reference = accepted(sandbox)
    while isinstance(answer := poll(sandbox, reference), Working):
        pass
    assert isinstance(answer, Refused)
    assert answer.fault.error_class is error_class


def test_a_poll_that_breaks_says_nothing_about_the_picture(sandbox: Sandbox) -> None:
    reference = accepted(sandbox)
    sandbox.behave(latency_seconds=QUICK, faults={"poll_500": 1.0})
    with pytest.raises(PollError) as broken:
        poll(sandbox, reference)
    assert broken.value.fault.error_class is ErrorClass.PROVIDER_ERROR


def test_the_listing_shows_what_was_submitted_between_two_moments(sandbox: Sandbox) -> None:
    reference, now_ms = accepted(sandbox), time.time_ns() // 1_000_000

    async def listed(since_ms: int, until_ms: int) -> set[str]:
        async with api(sandbox.url) as provider:
            return {prediction.reference for prediction in await provider.predictions(since_ms, until_ms)}

    assert reference in asyncio.run(listed(now_ms - 10_000, now_ms + 10_000))
    assert reference not in asyncio.run(listed(now_ms + 10_000, now_ms + 20_000))


@pytest.mark.parametrize(("faults", "failed"), [({}, False), ({"task_failed": 1.0}, True)])
def test_the_listing_says_which_predictions_failed(sandbox: Sandbox, faults: dict[str, float], failed: bool) -> None:
    async def listed() -> dict[str, bool]:
        now_ms = time.time_ns() // 1_000_000
        async with api(sandbox.url) as provider:
            found = await provider.predictions(now_ms - 10_000, now_ms + 10_000)
        return {prediction.reference: prediction.failed for prediction in found}

    sandbox.behave(latency_seconds=SHORT, faults=faults)
    reference = accepted(sandbox)
    while isinstance(poll(sandbox, reference), Working):
        pass
    assert asyncio.run(listed())[reference] is failed


def test_the_listing_is_read_to_its_last_page(sandbox: Sandbox) -> None:
    async def many() -> tuple[set[str], set[str]]:
        async with api(sandbox.url) as provider:
            soon = time.monotonic() + 30
            calls = [provider.submit(SPEC, job_id=f"{n:064x}", callback_url="", not_after=soon) for n in range(130)]
            answers = await asyncio.gather(*calls)
            now_ms = time.time_ns() // 1_000_000
            listed = await provider.predictions(now_ms - 60_000, now_ms + 60_000)
            return (
                {answer.reference for answer in answers if isinstance(answer, Accepted)},
                {prediction.reference for prediction in listed},
            )

    submitted, listed = asyncio.run(many())
    assert len(submitted) == 130
    assert submitted <= listed


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/outputs/x/0.png",
        "https://127.0.0.1/x.png",
        "https://[::1]/x.png",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.7/x.png",
        "file:///etc/passwd",
        "https:///x.png",
    ],
)
def test_a_picture_is_fetched_from_public_https_addresses_alone(url: str) -> None:
    async def fetch() -> bytes:
        async with api(MODEL.account.base_url) as provider:
            return await provider.fetch(Output(url=url))

    with pytest.raises(PollError) as refused:
        asyncio.run(fetch())
    assert refused.value.fault.error_class is ErrorClass.CORRUPT


def test_where_the_operator_points_the_provider_its_other_ports_are_not_trusted(sandbox: Sandbox) -> None:
    async def fetch() -> bytes:
        async with api(sandbox.url) as provider:
            return await provider.fetch(Output(url="http://127.0.0.1:9/outputs/x/0.png"))

    with pytest.raises(PollError):
        asyncio.run(fetch())
