"""What WaveSpeed says a picture costs: as the sandbox quotes it over real HTTP, and in answers that are handed in."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from functions.core.catalog import Model
from functions.core.errors import ErrorClass
from functions.core.ports import PollError
from functions.providers.wavespeed import WaveSpeed
from tests.fakes.sandbox import Sandbox
from tests.providers.calls import MODEL, QUICK, accepted, api

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

KEY = "sk-live-secret"


def quote(sandbox: Sandbox, *, key: str = "k", model: Model = MODEL) -> Decimal:
    async def one() -> Decimal:
        async with api(sandbox.url, key, model) as provider:
            return await provider.quote()

    return asyncio.run(one())


def asked(answer: httpx.Response | Exception) -> tuple[httpx.Request, Decimal]:
    """The request that is answered so, and what is made of it."""
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def one() -> Decimal:
        async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as http:
            api = WaveSpeed(http=http, base_url="https://p.example", key=KEY, model=MODEL, monotonic=lambda: 0.0)
            return await api.quote()

    price = asyncio.run(one())
    (request,) = requests
    return request, price


def quoted(answer: httpx.Response | Exception) -> Decimal:
    return asked(answer)[1]


def priced(unit_price: str, more: str = "") -> httpx.Response:
    return httpx.Response(200, text=f'{{"code": 200, "data": {{"unit_price": {unit_price}{more}}}}}')


def answer(status: int, content: Any, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=content, headers=headers)


@pytest.mark.parametrize(("unit_price", "price"), [(0.003, "0.003"), (0.1 + 0.2, "0.30000000000000004"), (2, "2")])
def test_a_quote_is_the_providers_price_of_now_to_the_digit(sandbox: Sandbox, unit_price: float, price: str) -> None:
    sandbox.behave(unit_price_usd=unit_price)
    assert quote(sandbox) == Decimal(price)


def test_a_quote_costs_nothing_and_is_what_the_next_call_is_charged(sandbox: Sandbox) -> None:
    sandbox.behave(latency_seconds=QUICK, unit_price_usd=0.0045)
    before = sandbox.ledger()["summary"]["submits"]
    price = quote(sandbox)
    assert sandbox.ledger()["summary"]["submits"] == before
    reference = accepted(sandbox)
    charge = next(charge for charge in sandbox.ledger()["charges"] if charge["id"] == reference)
    assert (charge["usd"], price) == (0.0045, Decimal("0.0045"))


@pytest.mark.parametrize(
    ("behaviour", "model", "error_class"),
    [
        ({"api_key": "another"}, MODEL, ErrorClass.AUTH),
        ({"outage_until": 1e11}, MODEL, ErrorClass.PROVIDER_ERROR),
        ({}, replace(MODEL, provider_model="wavespeed-ai/none"), ErrorClass.INVALID),
    ],
)
def test_a_quote_that_is_not_given_is_told_apart(
    sandbox: Sandbox, behaviour: dict[str, Any], model: Model, error_class: ErrorClass
) -> None:
    sandbox.behave(**behaviour)
    with pytest.raises(PollError) as refused:
        quote(sandbox, key="canary-key", model=model)
    assert refused.value.fault.error_class is error_class
    assert "canary" not in str(refused.value)


def test_a_provider_that_cannot_be_reached_gives_no_quote() -> None:
    with pytest.raises(PollError) as refused:
        quote(Sandbox("http://127.0.0.1:9"))
    assert refused.value.fault.error_class is ErrorClass.NETWORK


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("0.003", "0.003"),
        ("0.00300", "0.003"),
        ("3e-3", "0.003"),
        ("1", "1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("0.10000000000000000555", "0.10000000000000000555"),
    ],
)
def test_a_quote_is_exactly_the_number_that_the_provider_wrote(written: str, price: str) -> None:
    assert quoted(priced(written)) == Decimal(price)


def test_a_quote_is_asked_for_by_model_with_one_picture_and_no_prompt_of_anybodys() -> None:
    request, price = asked(priced("0.003", ', "currency": "USD"'))
    assert price == Decimal("0.003")
    assert (request.method, str(request.url)) == ("POST", "https://p.example/api/v3/model/pricing")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(request.content) == {
        "model_id": "wavespeed-ai/flux-schnell",
        "inputs": {"prompt": "a picture", "num_images": 1},
    }


@pytest.mark.parametrize(
    "response",
    [
        *map(priced, ["0", "0.0", "-0.0", "-0.003", "-1", "true", "null", '"0.003"', "[0.003]", "{}"]),
        *map(priced, ["NaN", "Infinity", "-Infinity", "1e9999999999999999999", "7" * 5000, "0,003"]),
        priced("0.003", ', "currency": "EUR"'),
        priced("0.003", ', "currency": null'),
        answer(200, {"code": 200, "data": {"canary": 1}}),
        answer(200, {"code": 200, "data": [0.003]}),
        answer(200, {"code": 200, "unit_price": 0.003}),
        answer(200, {"code": 500, "message": "canary", "data": {"unit_price": 0.003}}),
        answer(200, [0.003]),
        answer(201, {"code": 200, "data": {"unit_price": 0.003}}),
        answer(302, {}, location="https://canary.example"),
        answer(404, {"message": "canary"}),
        answer(429, {}),
        answer(500, {"code": 200, "data": {"unit_price": 0.003}}),
        httpx.Response(200, content=b"<html>canary"),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.ReadTimeout("canary"),
        httpx.RemoteProtocolError("canary"),
    ],
)
def test_without_a_positive_price_in_dollars_there_is_no_quote(response: httpx.Response | Exception) -> None:
    with pytest.raises(PollError) as refused:
        quoted(response)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("status", [400, 401, 403, 422, 500])
def test_a_quote_that_is_refused_repeats_nothing_of_what_was_said(status: int) -> None:
    with pytest.raises(PollError) as refused:
        quoted(answer(status, {"message": f"Bad key {KEY} for prompt 'a picture'"}))
    assert KEY not in str(refused.value)
    assert "picture" not in str(refused.value)
