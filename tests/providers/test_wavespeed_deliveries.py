"""Callbacks as the sandbox delivers them: from the submit to what is read of the request that comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from functions.core.errors import ErrorClass
from functions.core.ports import CallbackError, Completed, Notice, Refused, Working
from functions.providers.callbacks import CALLBACK_READERS
from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET
from tests.fakes.sandbox import Sandbox
from tests.ops.sandbox.receiver import Received, Receiver, listening
from tests.providers.calls import SHORT, accepted, poll

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def read(request: Received, secret: str = DEFAULT_WEBHOOK_SECRET, late_seconds: int = 0) -> Notice:
    now_ms = time.time_ns() // 1_000_000 + late_seconds * 1000
    return CALLBACK_READERS["wavespeed"](request.body, request.headers, secret=secret, now_ms=now_ms)


def test_a_delivery_is_believed_and_says_what_a_poll_says(sandbox: Sandbox, receiver: Receiver) -> None:
    path = "?key=ab.1.1714564800.cd&x=%2F"
    reference = accepted(sandbox, receiver.url + path)
    (request,) = receiver.wait_for(1)
    notice = read(request)
    assert request.path == "/callbacks" + path
    assert (notice.verified, notice.reference) == (True, reference)
    assert notice.event_id
    assert isinstance(notice.outcome, Completed)
    assert notice.outcome == poll(sandbox, reference)


@pytest.mark.parametrize(
    ("fault", "error_class"), [("moderation", ErrorClass.MODERATED), ("task_failed", ErrorClass.INVALID)]
)
def test_a_failure_is_told_as_a_poll_tells_it(
    sandbox: Sandbox, receiver: Receiver, fault: str, error_class: ErrorClass
) -> None:
    sandbox.behave(latency_seconds=SHORT, faults={fault: 1.0})
    reference = accepted(sandbox, receiver.url)
    (request,) = receiver.wait_for(1)
    outcome = read(request).outcome
    assert isinstance(outcome, Refused)
    assert outcome.fault.error_class is error_class
    assert outcome == poll(sandbox, reference)


def test_the_deliveries_of_one_event_have_one_id(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.behave(latency_seconds=SHORT, faults={"callback_duplicate": 1.0})
    accepted(sandbox, receiver.url)
    first, second = (read(request) for request in receiver.wait_for(2))
    assert first == second


def test_a_forged_delivery_is_told_from_the_true_one(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.behave(latency_seconds=SHORT, faults={"callback_forged": 1.0})
    accepted(sandbox, receiver.url)
    forged, true = receiver.wait_for(2)
    with pytest.raises(CallbackError) as refused:
        read(forged)
    assert refused.value.reason == "forged"
    assert isinstance(read(true).outcome, Completed)


def test_a_delivery_that_is_sent_again_later_is_a_replay(sandbox: Sandbox, receiver: Receiver) -> None:
    accepted(sandbox, receiver.url)
    (request,) = receiver.wait_for(1)
    with pytest.raises(CallbackError) as refused:
        read(request, late_seconds=302)
    assert refused.value.reason == "replayed"


def test_a_delivery_that_is_not_signed_is_a_hint_until_there_is_a_secret(sandbox: Sandbox, receiver: Receiver) -> None:
    sandbox.behave(latency_seconds=SHORT, sign_callbacks=False)
    reference = accepted(sandbox, receiver.url)
    (request,) = receiver.wait_for(1)
    assert read(request, secret="") == Notice("", reference, Working(), verified=False)
    with pytest.raises(CallbackError) as refused:
        read(request)
    assert refused.value.reason == "forged"
