"""What the WaveSpeed adapter makes of answers that no well-behaved provider gives. No network: they are handed in."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
from dataclasses import replace
from typing import Any

import httpx
import pytest

from functions.adapters.http import client, download, is_public
from functions.core.catalog import load_catalog
from functions.core.errors import ErrorClass
from functions.core.input.identity import PictureSpec
from functions.core.ports import (
    Accepted,
    Ambiguous,
    Completed,
    Output,
    PollAnswer,
    PollError,
    Refused,
    SubmitAnswer,
    Working,
)
from functions.providers.wavespeed import WaveSpeed

MODEL = load_catalog().models["flux-schnell"]
SPEC = PictureSpec(model="flux-schnell", prompt="a canary in a red kettle")
KEY = "sk-live-secret"
CALLBACK = "https://api.example/callbacks/wavespeed?key=job.1.99.signed"
DATA = {"id": "p1", "status": "created", "outputs": []}


def provider(answer: httpx.Response | Exception, key: str = KEY) -> WaveSpeed:
    def respond(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    http = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    return WaveSpeed(http=http, base_url="https://provider.example", key=key, model=MODEL, monotonic=lambda: 0.0)


def submitted(answer: httpx.Response | Exception, key: str = KEY, spec: PictureSpec = SPEC) -> SubmitAnswer:
    return asyncio.run(provider(answer, key).submit(spec, job_id="ab" * 32, callback_url=CALLBACK, not_after=1e9))


def polled(data: Any) -> PollAnswer:
    return asyncio.run(provider(httpx.Response(200, json={"code": 200, "data": data})).poll("p1"))


def answer(status: int, content: Any, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=content, headers=headers)


@pytest.mark.parametrize(
    ("response", "error_class"),
    [
        (answer(400, {"message": "size is invalid"}), ErrorClass.INVALID),
        (answer(400, {"message": "Insufficient credits."}), ErrorClass.FUNDS),
        (answer(401, {}), ErrorClass.AUTH),
        (answer(402, {}), ErrorClass.FUNDS),
        (answer(403, {}), ErrorClass.AUTH),
        (answer(404, {"message": "Model not found"}), ErrorClass.PROVIDER_ERROR),
        (answer(429, {}), ErrorClass.RATE_LIMITED),
        (answer(200, {"code": 429, "message": "slow down"}), ErrorClass.RATE_LIMITED),
        (answer(200, {"code": 1200, "message": "no"}), ErrorClass.MODERATED),
        (answer(200, {"code": 200, "data": {**DATA, "status": "failed", "code": 1407}}), ErrorClass.FUNDS),
        (httpx.LocalProtocolError("illegal header"), ErrorClass.NETWORK),
        (httpx.UnsupportedProtocol("no scheme"), ErrorClass.NETWORK),
    ],
)
def test_a_refused_submit_is_told_apart(response: httpx.Response | Exception, error_class: ErrorClass) -> None:
    refused = submitted(response)
    assert isinstance(refused, Refused)
    assert refused.fault.error_class is error_class


@pytest.mark.parametrize(
    "response",
    [
        answer(500, {"code": 500}),
        answer(504, {}),
        answer(302, {}),
        answer(200, {"code": 500, "data": None}),
        answer(200, {"code": 200, "data": []}),
        answer(200, {"code": 200, "data": {"id": 7}}),
        answer(200, {"code": 200, "data": {"id": "../../admin"}}),
        answer(200, [1, 2]),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("cut"),
        httpx.DecodingError("bad gzip"),
    ],
)
def test_a_submit_that_cannot_be_read_may_have_been_taken(response: httpx.Response | Exception) -> None:
    assert isinstance(submitted(response), Ambiguous)


@pytest.mark.parametrize("key", ["", "two\nlines", "schlüssel", "space ", " "])
def test_a_key_that_is_none_is_said_to_be_none_and_sent_nowhere(key: str) -> None:
    refused = submitted(RuntimeError("it was sent"), key)
    assert isinstance(refused, Refused)
    assert refused.fault.error_class is ErrorClass.AUTH
    unsent = provider(RuntimeError("it was sent"), key)
    for question in (unsent.poll("p1"), unsent.predictions(0, 1), unsent.quote()):
        with pytest.raises(PollError) as unasked:
            asyncio.run(question)
        assert unasked.value.fault == refused.fault


@pytest.mark.parametrize("status", [400, 401, 422])
def test_neither_key_nor_prompt_nor_callback_key_comes_back_in_words(status: int) -> None:
    said = f"Bad key {KEY} for prompt '{SPEC.prompt}', to {CALLBACK}"
    refused = submitted(answer(status, {"message": said}))
    assert isinstance(refused, Refused)
    assert KEY not in refused.fault.message
    assert "canary" not in refused.fault.message
    assert "signed" not in refused.fault.message
    assert KEY not in repr(provider(answer(200, {})))


def test_a_prompt_that_occurs_in_a_key_leaves_no_key_with_holes() -> None:
    refused = submitted(answer(400, {"message": f"{KEY} {CALLBACK}"}), spec=replace(SPEC, prompt="e"))
    assert isinstance(refused, Refused)
    assert "liv" not in refused.fault.message
    assert "sign" not in refused.fault.message


@pytest.mark.parametrize(("said", "seconds"), [("17", 17), ("1e9", 900), ("inf", None), ("soon", None), ("-3", 0)])
def test_what_to_wait_is_believed_within_reason(said: str, seconds: float | None) -> None:
    refused = submitted(answer(429, {}, **{"retry-after": said}))
    assert isinstance(refused, Refused)
    assert refused.fault.retry_after == seconds


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({**DATA, "status": "processing"}, Working),
        ({**DATA, "status": "something new"}, Working),
        ({**DATA, "status": []}, Working),
        ({**DATA, "status": "completed", "code": 5004}, Working),
        ({**DATA, "status": "timeout", "code": 5004}, Working),
        ({**DATA, "status": "completed", "outputs": ["https://x.example/1.png"]}, Completed),
        ({**DATA, "status": "completed", "outputs": []}, Refused),
        ({**DATA, "status": "completed", "outputs": [{"url": "x"}]}, Refused),
        ({**DATA, "status": "failed", "has_nsfw_contents": True}, Refused),
        ({**DATA, "status": "failed", "error": {"deep": 1}}, Refused),
    ],
)
def test_a_prediction_is_what_its_status_says(data: Any, expected: type) -> None:
    assert isinstance(polled(data), expected)


@pytest.mark.parametrize(
    ("fields", "error_class"),
    [
        ({"code": 1200}, ErrorClass.MODERATED),
        ({"error": "failed (code 1402): bad media"}, ErrorClass.INVALID),
        ({"code": 5003}, ErrorClass.CAPACITY),
        ({"has_nsfw_contents": [True]}, ErrorClass.MODERATED),
        ({"error": "who knows"}, ErrorClass.PROVIDER_ERROR),
    ],
)
def test_a_failed_task_has_the_class_of_its_code(fields: dict[str, Any], error_class: ErrorClass) -> None:
    refused = polled({**DATA, "status": "failed", **fields})
    assert isinstance(refused, Refused)
    assert refused.fault.error_class is error_class
    assert not refused.fault.resumable, "failures are refunded"


@pytest.mark.parametrize(
    "content",
    [
        {"code": 500, "data": []},
        {"code": 429, "data": {"items": []}},
        {"code": 200, "data": []},
        {"code": 200, "data": {"items": [7]}},
        {},
    ],
)
def test_a_listing_that_is_none_proves_nothing(content: Any) -> None:
    with pytest.raises(PollError):
        asyncio.run(provider(answer(200, content)).predictions(0, 1))


def test_an_accepted_submit_is_accepted() -> None:
    assert submitted(answer(200, {"code": 200, "data": DATA})) == Accepted("p1", 200)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:93.184.216.34", False),
        ("::127.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
        ("ff02::1", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(address: str, expected: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is expected


@pytest.mark.parametrize("url", ["https://[::1/x", "https://h:99999/"])
def test_an_address_that_is_none_is_no_surprise(url: str) -> None:
    with pytest.raises(PollError):
        asyncio.run(download(client(1), url))


def test_a_picture_that_came_compressed_is_not_blown_up() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    response = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(bomb))
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda request: response))
    with pytest.raises(PollError) as refused:
        asyncio.run(download(http, "http://gateway.example/x.png", trusted_origin="http://gateway.example"))
    assert refused.value.fault.error_class is ErrorClass.CORRUPT


def test_a_moved_provider_is_trusted_with_its_own_outputs_alone() -> None:
    moved = replace(provider(httpx.Response(200, stream=httpx.ByteStream(b"bytes"))), base_url="http://gateway.example")
    assert asyncio.run(moved.fetch(Output(url="http://gateway.example/x.png"))) == b"bytes"
    with pytest.raises(PollError):
        asyncio.run(moved.fetch(Output(url="http://other.example/x.png")))
