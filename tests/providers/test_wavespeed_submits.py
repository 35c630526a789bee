"""How a submit asks for its outcome: at once, in sync mode, or by a callback."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from functions.core.catalog import Model
from functions.core.errors import ErrorClass
from functions.core.jobs.picture import check_picture
from functions.core.ports import Accepted, Ambiguous, Completed, Output, Refused, SubmitAnswer
from functions.providers.wavespeed import WaveSpeed
from tests.fakes.sandbox import Sandbox
from tests.providers.calls import ENDLESS, JOB, MODEL, QUICK, SHORT, SPEC, SYNC, api, poll, submit

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

CALLBACK = "https://api.example/callbacks/wavespeed?key=ab.1.1714564800.cd&x=ä b"
URL = "https://cdn.example/p1/0.png"
DATA = {"id": "p1", "status": "processing", "outputs": []}
DONE = {**DATA, "status": "completed", "outputs": [URL]}


def sent(model: Model = MODEL, callback_url: str = "") -> httpx.Request:
    """What leaves for the provider."""
    return asked(model, httpx.Response(500), callback_url)[0]


def asked(model: Model, answer: httpx.Response, callback_url: str = "") -> tuple[httpx.Request, SubmitAnswer]:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer

    async def one() -> SubmitAnswer:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http:
            api = WaveSpeed(http=http, base_url="https://p.example", key="k", model=model, monotonic=lambda: 0.0)
            return await api.submit(SPEC, job_id=JOB, callback_url=callback_url, not_after=1e9)

    answered = asyncio.run(one())
    (request,) = requests
    return request, answered


def answered(data: dict[str, Any], model: Model = SYNC) -> SubmitAnswer:
    return asked(model, httpx.Response(200, json={"code": 200, "data": data}))[1]


def test_the_callback_url_goes_along_whole_in_the_query() -> None:
    url = sent(callback_url=CALLBACK).url
    assert url.copy_with(query=None) == "https://p.example/api/v3/wavespeed-ai/flux-schnell"
    assert url.params.multi_items() == [("webhook", CALLBACK)]
    assert re.fullmatch(rb"webhook=[A-Za-z0-9._~%+-]+", url.query), "a character of the URL is one of ours"


def test_without_a_callback_url_there_is_no_query() -> None:
    assert sent().url.query == b""


@pytest.mark.parametrize(("model", "waits"), [(MODEL, False), (SYNC, True)])
def test_in_sync_mode_alone_the_provider_is_asked_to_wait_and_never_for_base64(model: Model, waits: bool) -> None:
    body = json.loads(sent(model).content)
    assert (body["enable_sync_mode"], body["enable_base64_output"]) == (waits, False)


def test_in_sync_mode_the_answer_to_the_submit_has_the_picture(sandbox: Sandbox) -> None:
    async def all_of_it() -> tuple[str, bytes]:
        async with api(sandbox.url, model=SYNC) as provider:
            done = await provider.submit(SPEC, job_id=JOB, callback_url="", not_after=provider.monotonic() + 5)
            assert isinstance(done, Completed)
            return done.reference, await provider.fetch(done.output)

    sandbox.behave(latency_seconds=SHORT)
    reference, data = asyncio.run(all_of_it())
    assert check_picture(data, SPEC).format == "png"
    assert reference in {charge["id"] for charge in sandbox.ledger()["charges"]}


def test_in_sync_mode_a_task_that_takes_longer_is_accepted_and_can_be_polled(sandbox: Sandbox) -> None:
    sandbox.behave(latency_seconds={"min": 0.5, "mean": 0.5, "max": 0.5}, sync_timeout_seconds=0.1)
    answer = submit(sandbox, model=SYNC)
    assert isinstance(answer, Accepted)
    while not isinstance(polled := poll(sandbox, answer.reference), Completed):
        assert not isinstance(polled, Refused)


@pytest.mark.parametrize(
    ("fault", "error_class"), [("moderation", ErrorClass.MODERATED), ("task_failed", ErrorClass.INVALID)]
)
def test_in_sync_mode_a_task_that_failed_is_refused_by_its_code(
    sandbox: Sandbox, fault: str, error_class: ErrorClass
) -> None:
    sandbox.behave(latency_seconds=SHORT, faults={fault: 1.0})
    answer = submit(sandbox, model=SYNC)
    assert isinstance(answer, Refused)
    assert answer.fault.error_class is error_class


@pytest.mark.parametrize(
    ("fault", "latency"), [("submit_500_after", QUICK), ("submit_drop_after", QUICK), ("submit_timeout_after", ENDLESS)]
)
def test_in_sync_mode_a_lost_answer_is_ambiguous(sandbox: Sandbox, fault: str, latency: dict[str, float]) -> None:
    sandbox.behave(latency_seconds=latency, faults={fault: 1.0})
    assert isinstance(submit(sandbox, model=SYNC), Ambiguous)


def test_a_gateway_that_gave_up_says_nothing_about_the_task() -> None:
    gave_up = httpx.Response(504, json={"code": 504, "data": {**DATA, "status": "failed"}})
    assert isinstance(asked(SYNC, gave_up)[1], Ambiguous)


def test_a_picture_in_the_answer_comes_with_its_reference() -> None:
    assert answered(DONE) == Completed(Output(url=URL), 200, "p1")


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        {**DATA, "code": 5004, "error": "Sync mode timed out."},
        {**DONE, "code": 5004},
        {**DATA, "status": "timeout", "code": 5004},
        {**DATA, "status": "something new"},
        {**DATA, "status": None},
        {**DONE, "outputs": []},
        {**DONE, "outputs": [{"url": URL}]},
    ],
)
def test_whatever_is_no_end_is_a_task_to_be_asked_about(data: dict[str, Any]) -> None:
    assert answered(data) == Accepted("p1", 200)


def test_a_worker_that_did_not_ask_for_the_picture_at_once_polls_for_it() -> None:
    assert answered(DONE, MODEL) == Accepted("p1", 200)
