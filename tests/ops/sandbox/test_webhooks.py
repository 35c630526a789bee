"""Webhooks over real HTTP: the message, its signature, attempts, and who is never reached."""

import socket
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ops.sandbox import webhooks
from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET, Behaviour
from ops.sandbox.predictions import Order, Prediction, Webhook
from ops.sandbox.wavespeed_webhook import compose
from tests.ops.sandbox.conftest import NOON, Clock, running
from tests.ops.sandbox.receiver import DROP, until

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SLOW = {"min": 10.0, "mean": 10.0, "max": 10.0}


def test_a_completed_task_is_posted_unwrapped_with_its_input(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    url = receiver.url + "?key=a.b%2Fc&x=1"
    task = sandbox.accepted("ein Drache, rot – 赤い", webhook=url, seed=7, size="256*256", unknown=1)["id"]
    sandbox.clock.advance(10)
    (request,) = receiver.wait_for(1)
    polled = sandbox.poll(task)
    assert request.path == "/callbacks?key=a.b%2Fc&x=1"
    assert request.headers["content-type"] == "application/json"
    assert request.message == {
        "id": task,
        "model": "wavespeed-ai/flux-schnell",
        "input": {"prompt": "ein Drache, rot – 赤い", "seed": 7, "size": "256*256"},
        "outputs": polled["outputs"],
        "urls": polled["urls"],
        "has_nsfw_contents": [False],
        "status": "completed",
        "created_at": polled["created_at"],
        "error": "",
    }
    assert sandbox.http.get(request.message["outputs"][0]).status_code == 200


@pytest.mark.parametrize(("fault", "code"), [("task_failed", 1403), ("moderation", 1200)])
def test_a_failed_task_is_posted_with_its_code(sandbox: Any, receiver: Any, fault: str, code: int) -> None:
    sandbox.behave(faults={fault: 1})
    task = sandbox.accepted(webhook=receiver.url)["id"]
    (request,) = receiver.wait_for(1)
    polled = sandbox.poll(task)
    shown = {name: request.message[name] for name in ("status", "code", "error", "outputs", "has_nsfw_contents")}
    assert shown == {name: polled[name] for name in shown}
    assert (shown["status"], shown["code"]) == ("failed", code)


def test_it_is_posted_at_the_moment_the_task_ends(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    sandbox.accepted(webhook=receiver.url)
    sandbox.clock.advance(9.9)
    sandbox.clock.is_looked_at()
    assert receiver.received == []
    assert (sandbox.callbacks()["due"], sandbox.callbacks()["pending"]) == (0, 1)
    sandbox.clock.advance(0.1)
    (request,) = receiver.wait_for(1)
    assert request.timestamp == int(sandbox.clock.now)
    assert sandbox.settled() == {
        "due": 1,
        "pending": 0,
        "delivered": 1,
        "attempts": 1,
        "failed_attempts": {},
        "given_up": 0,
        "lost": 0,
        "late": 0,
        "duplicated": 0,
        "forged": 0,
        "refused_host": 0,
    }


def test_without_a_webhook_nothing_is_due(sandbox: Any, receiver: Any) -> None:
    sandbox.accepted()
    assert (sandbox.callbacks()["due"], sandbox.callbacks()["pending"]) == (0, 0)


@pytest.mark.parametrize("secret", [None, "whsec_" + "of an operator's own, not Base64"])
def test_it_is_signed_with_the_text_of_the_secret(sandbox: Any, receiver: Any, secret: str | None) -> None:
    sandbox.behave(webhook_secret=secret)
    sandbox.accepted(webhook=receiver.url)
    (request,) = receiver.wait_for(1)
    assert request.is_signed_with(secret or DEFAULT_WEBHOOK_SECRET)


def test_the_signature_of_a_known_message() -> None:
    """The digest is from ``printf '%s' '<id>.<timestamp>.<body>' | openssl dgst -sha256 -hmac 'a+key/0='``."""
    webhook = Webhook("http://127.0.0.1:1/", "http://127.0.0.1:2/", {"prompt": "ü"})
    order = Order("m", "ü", 1, 256, 256, "jpeg", 1, False, Decimal("0.003"), None, webhook)
    prediction = Prediction("0" * 32, order, 0, NOON, NOON + 1, None, None, None, None, NOON + 1)
    behaviour = Behaviour(webhook_secret="whsec_a+key/0=")
    body, headers = compose(prediction, webhook, behaviour, NOON + 1.9, forged=False)
    assert body.decode() == (
        '{"id":"00000000000000000000000000000000","model":"m","input":{"prompt":"ü"},'
        '"outputs":["http://127.0.0.1:2/outputs/00000000000000000000000000000000/0.jpg"],'
        '"urls":{"get":"http://127.0.0.1:2/api/v3/predictions/00000000000000000000000000000000/result"},'
        '"has_nsfw_contents":[false],"status":"completed","created_at":"2027-01-15T08:00:00.000Z","error":""}'
    )
    assert headers == {
        "content-type": "application/json",
        "webhook-id": "evt_84e0c0eafaa95a34c293f278ac52e45c",
        "webhook-timestamp": "1800000001",
        "webhook-signature": "v3,b035ae17261da70b32a99e0ce55ea261f913718352cf9747b51f412cc3bab25e",
    }
    _, signed_otherwise = compose(
        prediction, webhook, replace(behaviour, webhook_secret="a+key/0="), NOON, forged=False
    )
    assert compose(prediction, webhook, behaviour, NOON, forged=False)[1] == signed_otherwise


def test_unsigned_it_has_none_of_the_signatures_headers(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(sign_callbacks=False)
    sandbox.accepted(webhook=receiver.url)
    (request,) = receiver.wait_for(1)
    assert not [name for name in request.headers if name.startswith("webhook-")]


def test_after_two_failures_the_third_attempt_is_delivered_with_the_events_id(sandbox: Any, receiver: Any) -> None:
    """A redirect is a failure and is not followed; each attempt is stamped and signed anew."""
    receiver.answers.extend([500, 302])
    start = int(sandbox.clock.now)
    sandbox.accepted(webhook=receiver.url)
    until(lambda: sandbox.callbacks()["attempts"] == 1)
    sandbox.clock.advance(0.9)
    sandbox.clock.is_looked_at()
    assert len(receiver.received) == 1
    sandbox.clock.advance(0.1)
    until(lambda: sandbox.callbacks()["attempts"] == 2)
    sandbox.clock.advance(5)
    callbacks = sandbox.settled()
    assert [request.timestamp - start for request in receiver.received] == [0, 1, 6]
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert len({request.body for request in receiver.received}) == 1
    assert all(request.is_signed_with(DEFAULT_WEBHOOK_SECRET) for request in receiver.received)
    assert (callbacks["delivered"], callbacks["attempts"], callbacks["failed_attempts"]) == (1, 3, {"302": 1, "500": 1})


def test_while_callbacks_are_held_none_is_sent_and_what_is_due_is_sent_afterwards(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(hold_callbacks=True)
    sandbox.accepted(webhook=receiver.url)
    sandbox.clock.advance(60)
    sandbox.clock.is_looked_at()
    assert (sandbox.callbacks()["due"], sandbox.callbacks()["pending"], receiver.received) == (1, 1, [])

    sandbox.behave()

    assert sandbox.settled()["delivered"] == len(receiver.received) == 1


def test_an_attempt_that_fails_while_callbacks_are_held_is_not_the_last(
    sandbox: Any, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ATTEMPTS", 1)
    receiver.gate.clear()
    receiver.answers.append(503)
    sandbox.accepted(webhook=receiver.url)
    receiver.wait_for(1)

    sandbox.behave(hold_callbacks=True)
    receiver.gate.set()
    until(lambda: sandbox.callbacks()["attempts"] == 1)
    assert sandbox.callbacks()["pending"] == 1
    sandbox.behave()

    assert (sandbox.settled()["delivered"], sandbox.callbacks()["given_up"]) == (1, 0)


def test_after_three_failures_it_is_given_up(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(callback_retry_seconds=[0, 0])
    receiver.answers.extend([503, DROP, 404])
    sandbox.accepted(webhook=receiver.url)
    callbacks = sandbox.settled()
    assert len(receiver.received) == callbacks["attempts"] == 3
    assert callbacks["failed_attempts"] == {"404": 1, "503": 1, "unreachable": 1}
    assert (callbacks["due"], callbacks["delivered"], callbacks["given_up"]) == (1, 0, 1)


def test_no_answer_in_time_and_nobody_there_are_failures(
    sandbox: Any, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_ANSWER_SECONDS", 0.2)
    sandbox.behave(callback_retry_seconds=[0, 0])
    receiver.gate.clear()
    sandbox.accepted(webhook=receiver.url)
    assert sandbox.settled()["failed_attempts"] == {"timeout": 3}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    sandbox.accepted(webhook=f"http://127.0.0.1:{port}/")
    assert sandbox.settled()["failed_attempts"] == {"timeout": 3, "unreachable": 3}


def test_many_are_delivered_at_once_but_over_no_more_than_8_connections(sandbox: Any, receiver: Any) -> None:
    receiver.gate.clear()
    ids = [sandbox.accepted(f"row {number}", webhook=receiver.url)["id"] for number in range(70)]
    receiver.wait_for(8)
    receiver.gate.set()
    assert sandbox.settled()["delivered"] == 70
    assert Counter(request.message["id"] for request in receiver.received) == Counter(ids)
    assert receiver.most_at_once == 8


@pytest.mark.parametrize("fields", [{}, {"enable_sync_mode": True}])
@pytest.mark.parametrize("fault", ["submit_500_after", "submit_drop_after", "submit_timeout_after"])
def test_a_submit_whose_answer_is_lost_is_called_back(
    sandbox: Any, receiver: Any, fault: str, fields: dict[str, Any]
) -> None:
    sandbox.behave(faults={fault: 1})
    url = f"/api/v3/wavespeed-ai/flux-schnell?webhook={receiver.url}"
    try:
        answer = sandbox.http.post(url, json={"prompt": "p"} | fields, timeout=0.5)
    except httpx.TransportError:
        pass
    else:
        assert answer.status_code == 500
    (request,) = receiver.wait_for(1)
    (charge,) = sandbox.charges()
    assert (charge["lost_answer"], request.message["id"]) == (fault, charge["id"])
    assert sandbox.http.get(request.message["outputs"][0]).status_code == 200


def test_a_client_that_hangs_up_in_sync_mode_is_called_back(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(latency_seconds={"min": 2.0, "mean": 2.0, "max": 2.0})
    url = f"/api/v3/wavespeed-ai/flux-schnell?webhook={receiver.url}"
    with pytest.raises(httpx.ReadTimeout):
        sandbox.http.post(url, json={"prompt": "p", "enable_sync_mode": True}, timeout=0.2)
    assert receiver.received == []
    sandbox.clock.advance(2)
    (request,) = receiver.wait_for(1)
    assert [charge["id"] for charge in sandbox.charges()] == [request.message["id"]]


def test_sync_mode_answers_with_outputs_and_is_called_back_too(sandbox: Any, receiver: Any) -> None:
    data = sandbox.accepted(webhook=receiver.url, enable_sync_mode=True)
    (request,) = receiver.wait_for(1)
    assert request.message["outputs"] == data["outputs"] != []


@pytest.mark.parametrize("fault", ["submit_429", "submit_500_before"])
def test_a_submit_that_is_refused_is_not_called_back(sandbox: Any, receiver: Any, fault: str) -> None:
    sandbox.behave(faults={fault: 1})
    sandbox.submit(webhook=receiver.url)
    assert (sandbox.callbacks()["due"], sandbox.callbacks()["pending"]) == (0, 0)


@pytest.mark.parametrize(
    "host",
    ["example.com", "127.0.0.2", "10.0.0.1", "localhost.example.com", "127.0.0.1\\@example.com", "[::ffff:7f01]"],
)
def test_a_host_that_is_not_this_machine_is_counted_and_never_reached(
    sandbox: Any, receiver: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def post(*_: Any) -> str:
        pytest.fail("it was sent")

    monkeypatch.setattr(webhooks, "_post", post)
    sandbox.accepted(webhook=f"https://{host}/callbacks")
    callbacks = sandbox.settled()
    assert (callbacks["due"], callbacks["refused_host"], callbacks["attempts"]) == (1, 1, 0)


@pytest.mark.parametrize("host", ["localhost", "[::1]", "LOCALHOST"])
def test_every_name_of_this_machine_is_reached(
    sandbox: Any, receiver: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def post(client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> str:
        return "204"

    monkeypatch.setattr(webhooks, "_post", post)
    sandbox.accepted(webhook=f"http://{host}:81/callbacks")
    assert sandbox.settled()["delivered"] == 1


@pytest.mark.parametrize(
    "url", ["", "nowhere", "ftp://127.0.0.1/", "http://", "https:///path", "http://127.0.0.1:70000/", "http://h:x/"]
)
def test_a_webhook_that_is_no_http_address_is_refused_and_costs_nothing(sandbox: Any, url: str) -> None:
    answer = sandbox.submit(webhook=url)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert "webhook" in answer.json()["message"]
    assert sandbox.charges() == []


def test_base64_output_and_a_webhook_exclude_each_other(sandbox: Any, receiver: Any) -> None:
    answer = sandbox.submit(webhook=receiver.url, enable_base64_output=True)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert "enable_base64_output" in answer.json()["message"]
    assert sandbox.charges() == []
    sandbox.accepted(webhook=receiver.url, enable_base64_output=False)


def test_clearing_the_ledger_keeps_what_is_to_be_sent_but_does_not_count_it(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    sandbox.accepted(webhook=receiver.url)
    sandbox.http.delete("/_sandbox/ledger")
    assert sandbox.callbacks()["pending"] == 1
    sandbox.clock.advance(10)
    receiver.wait_for(1)
    assert not any(sandbox.settled().values())


def test_after_a_restart_what_was_not_delivered_is_and_what_was_is_not_again(receiver: Any, journal_path: Any) -> None:
    clock = Clock()
    with running(journal_path, clock) as before:
        before.behave()
        before.accepted("delivered", webhook=receiver.url)
        before.settled()
        receiver.answers.append(500)
        failed = before.accepted("failed once", webhook=receiver.url)["id"]
        until(lambda: before.callbacks()["attempts"] == 2)
        before.behave(latency_seconds=SLOW)
        later = before.accepted("not yet due", webhook=receiver.url)["id"]
    assert len(receiver.received) == 2
    with running(journal_path, clock) as after:
        receiver.wait_for(3)
        clock.advance(10)
        callbacks = after.settled()
    assert [request.message["id"] for request in receiver.received[1:]] == [failed, failed, later]
    assert receiver.received[1].headers["webhook-id"] == receiver.received[2].headers["webhook-id"]
    assert (callbacks["due"], callbacks["delivered"], callbacks["attempts"]) == (3, 3, 4)
    with running(journal_path, clock) as again:
        assert again.callbacks() == callbacks
