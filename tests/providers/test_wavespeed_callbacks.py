"""What is believed of a WaveSpeed callback, and what is made of it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.errors import ErrorClass
from functions.core.ports import CallbackError, Completed, Gone, Notice, Output, Refused, Working
from functions.providers import PROVIDERS
from functions.providers.callbacks import CALLBACK_READERS
from functions.providers.wavespeed_callbacks import LARGEST_BODY, read_callback

SECRET = "whsec_c2VjcmV0LW9mLWEtdGVzdA=="
SIGNED_AT = 1_714_564_800
NOW_MS = SIGNED_AT * 1000
URL = "https://cdn.example/p-1/0.png"
BODY = (
    '{"id":"p-1","model":"wavespeed-ai/flux-schnell","input":{"prompt":"ein Drache, rot – 赤い"},'
    '"outputs":["https://cdn.example/p-1/0.png"],'
    '"urls":{"get":"https://api.wavespeed.ai/api/v3/predictions/p-1/result"},"has_nsfw_contents":[false],'
    '"status":"completed","created_at":"2024-05-01T12:00:00.000Z","error":""}'
).encode()
SIGNATURE = "v3,778fab6e4ca7f03c97574593aa1039eba97979bd24580f7b1fc069dcde38f652"
HEADERS = {
    "content-type": "application/json",
    "webhook-id": "evt_0001",
    "webhook-timestamp": str(SIGNED_AT),
    "webhook-signature": SIGNATURE,
}


@dataclass(frozen=True)
class Vector:
    """A signature that another program made: ``openssl dgst -sha256 -hmac <key>`` over ``<id>.<timestamp>.<body>``."""

    secret: str
    event: str
    timestamp: int
    body: bytes
    digest: str


VECTORS = {
    "base64 that is not decoded": Vector(SECRET, "evt_0001", SIGNED_AT, BODY, SIGNATURE.removeprefix("v3,")),
    "no prefix": Vector(
        "plainly-no-base64",
        "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        1_714_564_801,
        b'{"id":"p-2","status":"failed","code":1200,"error":"flagged","outputs":[],"has_nsfw_contents":[true]}',
        "0c961c50cd061b7c8d932cd337c1591b2cb43a5274d527196fcc8c18aa6d1635",
    ),
    "raw bytes as they came": Vector(
        "whsec_schlüssel",
        "3b1f8e4e-0d5c-4e2f-9a53-7c1d2a6b9f10",
        1_714_564_802,
        b'{ "id" : "p-3",\r\n  "status" : "processing" }\n',
        "b8a940f9724e133b6f8d58fac60f3cacc54473a61737869685eb578ff4026a1f",
    ),
}

OF_ANOTHER_SCHEME = {
    "the base64-decoded key": "v3,04db1c138a6422e78819ef426d1cfe402013adfb4afb9be73f22642bc9551776",
    "Standard Webhooks": "v1,BNscE4pkIueIGe9CbRz+QCATrftK+5vnPyJkK8lVF3Y=",
    "another version": SIGNATURE.replace("v3", "v1"),
    "no version": SIGNATURE.removeprefix("v3,"),
    "the start of it": SIGNATURE[:-1],
    "more than it": SIGNATURE + "0",
    "no ASCII": SIGNATURE + "é",
    "no Unicode": SIGNATURE + "\ud800",
    "no digest": "v3,",
    "nothing": "",
}


def read(body: bytes, headers: Mapping[str, str], secret: str = SECRET, now_ms: int = NOW_MS) -> Notice:
    return read_callback(body, headers, secret=secret, now_ms=now_ms)


def signed(body: bytes, *, event: str = "evt_1", timestamp: str = str(SIGNED_AT)) -> dict[str, str]:
    """Headers of a body, signed with the secret."""
    message = f"{event}.{timestamp}.".encode() + body
    digest = hmac.new(SECRET.removeprefix("whsec_").encode(), message, sha256).hexdigest()
    return {"webhook-id": event, "webhook-timestamp": timestamp, "webhook-signature": f"v3,{digest}"}


def told(**fields: Any) -> Notice:
    """What a signed callback with these fields is read as."""
    body = json.dumps({"id": "p-1", "input": {"prompt": "canary"}, **fields}).encode()
    return read(body, signed(body))


def refusal(body: bytes, headers: Mapping[str, str], secret: str = SECRET, now_ms: int = NOW_MS) -> str:
    """The word that a callback is refused with. Nothing of the body is in what is said about it."""
    with pytest.raises(CallbackError) as refused:
        read(body, headers, secret, now_ms)
    said = f"{refused.value} {refused.value.__cause__}"
    assert "canary" not in said
    assert "Drache" not in said
    return refused.value.reason


def test_it_is_the_reader_of_a_provider() -> None:
    assert CALLBACK_READERS["wavespeed"] is read_callback
    assert CALLBACK_READERS.keys() <= PROVIDERS.keys()


@pytest.mark.parametrize("name", VECTORS)
def test_a_signature_made_elsewhere_is_right(name: str) -> None:
    vector = VECTORS[name]
    headers = {
        "webhook-id": vector.event,
        "webhook-timestamp": str(vector.timestamp),
        "webhook-signature": f"v3,{vector.digest}",
    }
    notice = read(vector.body, headers, vector.secret, vector.timestamp * 1000)
    assert (notice.verified, notice.event_id) == (True, vector.event)


def test_a_finished_picture_is_told_with_its_event_its_reference_and_its_address() -> None:
    assert read(BODY, HEADERS) == Notice("evt_0001", "p-1", Completed(Output(url=URL), 200, "p-1"), verified=True)


@pytest.mark.parametrize("name", OF_ANOTHER_SCHEME)
def test_no_other_signature_is_right(name: str) -> None:
    assert refusal(BODY, {**HEADERS, "webhook-signature": OF_ANOTHER_SCHEME[name]}) == "forged"


@pytest.mark.parametrize("signatures", [f"{SIGNATURE} v3,00", f"v3,00 v1,AA== {SIGNATURE}", f" {SIGNATURE} "])
def test_of_several_signatures_one_is_enough(signatures: str) -> None:
    assert read(BODY, {**HEADERS, "webhook-signature": signatures}).verified


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_without_each_of_its_headers_a_callback_is_not_signed(name: str) -> None:
    assert refusal(BODY, {header: value for header, value in HEADERS.items() if header != name}) == "forged"
    assert refusal(BODY, {**HEADERS, name: ""}) == "forged"
    assert refusal(BODY, {**HEADERS, name: "\ud800"}) == "forged"


@pytest.mark.parametrize("secret", ["whsec_another", "c2VjcmV0LW9mLWEtdGVzdA", "whsec_whsec_c2VjcmV0LW9mLWEtdGVzdA=="])
def test_another_secret_has_signed_nothing(secret: str) -> None:
    assert refusal(BODY, HEADERS, secret) == "forged"


@given(at=st.integers(0, len(BODY) - 1), byte=st.integers(0, 255))
def test_any_other_byte_in_the_body_is_a_forgery(at: int, byte: int) -> None:
    changed = BODY[:at] + bytes([byte]) + BODY[at + 1 :]
    if changed != BODY:
        assert refusal(changed, HEADERS) == "forged"


@given(cut=st.integers(0, len(BODY) - 1), more=st.binary(min_size=1, max_size=40))
def test_a_body_that_is_cut_or_goes_on_is_a_forgery(cut: int, more: bytes) -> None:
    assert refusal(BODY[:cut], HEADERS) == "forged"
    assert refusal(BODY + more, HEADERS) == "forged"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
@given(data=st.data())
def test_any_other_character_in_what_is_signed_beside_the_body_is_a_forgery(name: str, data: st.DataObject) -> None:
    value = HEADERS[name]
    at = data.draw(st.integers(0, len(value) - 1))
    changed = value[:at] + data.draw(st.characters(exclude_characters=value[at])) + value[at + 1 :]
    assert refusal(BODY, {**HEADERS, name: changed}) == "forged"


@given(event=st.text(), timestamp=st.text(), signature=st.text(), body=st.binary())
def test_nothing_that_anybody_sends_is_a_surprise(event: str, timestamp: str, signature: str, body: bytes) -> None:
    headers = {"webhook-id": event, "webhook-timestamp": timestamp, "webhook-signature": signature}
    assert refusal(body, headers) == "forged"
    with suppress(CallbackError):
        assert not read(body, headers, "").verified


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_a_signature_counts_for_five_minutes_either_way(seconds: int) -> None:
    assert read(BODY, HEADERS, now_ms=NOW_MS + seconds * 1000).verified


@pytest.mark.parametrize("off_ms", [-300_001, 300_001, -(10**12), 10**12])
def test_a_signature_of_another_time_is_a_replay(off_ms: int) -> None:
    assert refusal(BODY, HEADERS, now_ms=NOW_MS + off_ms) == "replayed"


def test_a_forgery_of_another_time_is_a_forgery() -> None:
    assert refusal(BODY + b" ", HEADERS, now_ms=NOW_MS + 10**9) == "forged"


@pytest.mark.parametrize(
    "timestamp", ["soon", "1714564800.5", "-1714564800", " 1714564800", "1_714_564_800", "١٧١٤٥٦٤٨٠٠", "9" * 5000]
)
def test_a_signed_moment_that_is_none_is_unreadable(timestamp: str) -> None:
    assert refusal(BODY, signed(BODY, timestamp=timestamp)) == "unreadable"


@pytest.mark.parametrize("secret", ["", "unset", "whsec_", "whsec_unset"])
@pytest.mark.parametrize("headers", [{}, HEADERS, {**HEADERS, "webhook-signature": "v3,00"}])
def test_without_a_secret_a_callback_is_a_hint_of_its_reference(secret: str, headers: Mapping[str, str]) -> None:
    assert read(BODY, headers, secret, NOW_MS + 10**9) == Notice("", "p-1", Working(), verified=False)


@pytest.mark.parametrize("key", ["", "unset"])
def test_nobody_signs_with_the_key_that_everybody_knows(key: str) -> None:
    digest = hmac.new(key.encode(), f"evt_0001.{SIGNED_AT}.".encode() + BODY, sha256).hexdigest()
    assert not read(BODY, {**HEADERS, "webhook-signature": f"v3,{digest}"}, f"whsec_{key}").verified


@pytest.mark.parametrize(
    ("fields", "error_class"),
    [
        ({"code": 1200, "error": "canary was flagged"}, ErrorClass.MODERATED),
        ({"error": "Task failed with code 1402: canary"}, ErrorClass.INVALID),
        ({"error": "canary", "has_nsfw_contents": [True]}, ErrorClass.MODERATED),
        ({"error": "1407 Insufficient credits"}, ErrorClass.FUNDS),
        ({"error": "canary"}, ErrorClass.PROVIDER_ERROR),
        ({"error": {"said": "canary"}, "has_nsfw_contents": "canary"}, ErrorClass.PROVIDER_ERROR),
    ],
)
def test_a_task_that_failed_is_told_as_a_poll_tells_it(fields: dict[str, Any], error_class: ErrorClass) -> None:
    outcome = told(status="failed", **fields).outcome
    assert isinstance(outcome, Refused)
    assert outcome.fault.error_class is error_class
    assert "canary" not in outcome.fault.message


@pytest.mark.parametrize("status", ["cancelled", "timeout", "deleted"])
def test_what_ended_without_being_a_failure_may_have_been_charged(status: str) -> None:
    outcome = told(status=status, error="Task failed with code 1402: canary").outcome
    assert isinstance(outcome, Gone)
    assert outcome.fault.error_class is ErrorClass.AMBIGUOUS
    assert "canary" not in outcome.fault.message


def test_a_picture_that_was_flagged_and_made_is_a_picture() -> None:
    outcome = told(status="completed", outputs=[URL], has_nsfw_contents=[True]).outcome
    assert outcome == Completed(Output(url=URL), 200, "p-1")


def test_a_completed_task_without_a_picture_is_still_to_be_had() -> None:
    outcome = told(status="completed", outputs=[]).outcome
    assert isinstance(outcome, Refused)
    assert outcome.fault.resumable


@pytest.mark.parametrize("status", ["created", "processing", "pending", "something new", None, 7, [], {}])
def test_what_is_no_end_is_working(status: object) -> None:
    assert told(status=status).outcome == Working()


@pytest.mark.parametrize("event", ["", "evt 1", "e" * 129, "évt", "evt\n1"])
def test_an_event_that_is_no_name_has_none(event: str) -> None:
    notice = read(BODY, signed(BODY, event=event))
    assert (notice.verified, notice.event_id) == (True, "")


UNREADABLE = {
    "nothing": b"",
    "no JSON": b"canary",
    "no object": b'["canary"]',
    "no text": b"\xff\xfe\xfd",
    "no UTF-8": b'{"id":"p-1","input":"canary\xe9"}',
    "no id": b'{"status":"completed","outputs":["https://cdn.example/p-1/0.png"],"input":"canary"}',
    "an id of another kind": b'{"id":7,"input":"canary"}',
    "an id that is a path": b'{"id":"../../canary"}',
    "an endless id": b'{"id":"' + b"p" * 129 + b'"}',
    "an envelope": b'{"code":200,"data":{"id":"p-1","status":"completed"}}',
    "a deep list": b"[" * 100_000,
    "a deep object": b'{"id":"p-1","error":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "an endless number": b'{"id":"p-1","code":' + b"7" * 10_000 + b"}",
    "a heap": b'{"id":"p-1","input":"' + b"canary" * LARGEST_BODY + b'"}',
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_says_nothing_is_unreadable_with_a_signature_and_without(name: str) -> None:
    body = UNREADABLE[name]
    assert refusal(body, signed(body)) == "unreadable"
    assert refusal(body, {}, "") == "unreadable"
    assert refusal(body, {}) == "forged", "what nobody signed is not read"


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_however_deep_a_body_is_it_is_read_or_refused(depth: int) -> None:
    body = b'{"id":"p-1","status":"failed","error":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    with suppress(CallbackError):
        assert isinstance(read(body, signed(body)).outcome, Refused)
