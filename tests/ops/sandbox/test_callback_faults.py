"""Callbacks that are lost, late, sent twice, forged, or held back by an outage."""

from typing import Any

import pytest

from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET
from tests.ops.sandbox.receiver import until

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

SLOW = {"min": 10.0, "mean": 10.0, "max": 10.0}


def test_a_lost_one_never_comes(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(faults={"callback_lost": 1})
    task = sandbox.accepted(webhook=receiver.url)["id"]
    callbacks = sandbox.settled()
    assert receiver.received == []
    assert (callbacks["due"], callbacks["lost"], callbacks["attempts"]) == (1, 1, 0)
    assert sandbox.summary()["injected"] == {"callback_lost": 1}
    assert sandbox.poll(task)["status"] == "completed"


def test_without_a_webhook_there_is_nothing_to_lose(sandbox: Any) -> None:
    sandbox.behave(faults={"callback_lost": 1})
    sandbox.accepted()
    assert sandbox.summary()["injected"] == {}


def test_a_late_one_comes_so_many_seconds_after_the_end(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(faults={"callback_late": 1}, callback_late_seconds=90)
    sandbox.accepted(webhook=receiver.url)
    sandbox.clock.advance(89)
    sandbox.clock.is_looked_at()
    assert receiver.received == []
    sandbox.clock.advance(1)
    receiver.wait_for(1)
    callbacks = sandbox.settled()
    assert (callbacks["delivered"], callbacks["late"], callbacks["attempts"]) == (1, 1, 1)
    assert sandbox.summary()["injected"] == {"callback_late": 1}


def test_a_duplicate_is_the_same_event_delivered_twice(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(faults={"callback_duplicate": 1})
    sandbox.accepted(webhook=receiver.url)
    callbacks = sandbox.settled()
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert (callbacks["due"], callbacks["delivered"], callbacks["duplicated"], callbacks["attempts"]) == (1, 1, 1, 2)
    assert sandbox.summary()["injected"] == {"callback_duplicate": 1}


def test_a_duplicate_is_tried_again_like_any_other(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(faults={"callback_duplicate": 1}, callback_retry_seconds=[0, 0])
    receiver.answers.extend([500, 200, 500, 500])
    sandbox.accepted(webhook=receiver.url)
    callbacks = sandbox.settled()
    assert (callbacks["delivered"], callbacks["duplicated"], callbacks["attempts"]) == (1, 1, 5)


@pytest.mark.parametrize(
    ("faults", "truth", "lie"), [({}, "completed", "failed"), ({"task_failed": 1}, "failed", "completed")]
)
def test_a_forged_one_comes_first_tells_the_opposite_and_does_not_verify(
    sandbox: Any, receiver: Any, faults: dict[str, float], truth: str, lie: str
) -> None:
    """It has the event's id, so that who remembers ids before checking signatures misses the real one."""
    sandbox.behave(faults={"callback_forged": 1, **faults})
    task = sandbox.accepted(webhook=receiver.url)["id"]
    callbacks = sandbox.settled()
    forged, real = receiver.received
    assert forged.headers["webhook-id"] == real.headers["webhook-id"]
    assert (forged.message["id"], forged.message["status"]) == (task, lie)
    assert (real.message["id"], real.message["status"]) == (task, truth)
    assert not forged.is_signed_with(DEFAULT_WEBHOOK_SECRET)
    assert real.is_signed_with(DEFAULT_WEBHOOK_SECRET)
    assert (callbacks["delivered"], callbacks["forged"], callbacks["attempts"]) == (1, 1, 1)
    assert sandbox.summary()["injected"]["callback_forged"] == 1


def test_what_the_forger_is_answered_changes_nothing(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(faults={"callback_forged": 1})
    receiver.answers.append(401)
    sandbox.accepted(webhook=receiver.url)
    callbacks = sandbox.settled()
    assert (callbacks["delivered"], callbacks["failed_attempts"], len(receiver.received)) == (1, {}, 2)


def test_what_is_due_in_an_outage_comes_after_it(sandbox: Any, receiver: Any) -> None:
    sandbox.behave(latency_seconds=SLOW)
    sandbox.accepted(webhook=receiver.url)
    end = sandbox.clock.now + 120
    sandbox.behave(outage_until=end)
    sandbox.clock.advance(119)
    sandbox.clock.is_looked_at()
    assert receiver.received == []
    sandbox.clock.advance(1)
    (request,) = receiver.wait_for(1)
    assert request.timestamp == int(end)
    assert sandbox.settled()["delivered"] == 1


def test_an_outage_holds_further_attempts_back_too(sandbox: Any, receiver: Any) -> None:
    receiver.answers.append(500)
    sandbox.accepted(webhook=receiver.url)
    until(lambda: sandbox.callbacks()["attempts"] == 1)
    sandbox.behave(outage_until=sandbox.clock.now + 60)
    sandbox.clock.advance(59)
    sandbox.clock.is_looked_at()
    assert len(receiver.received) == 1
    sandbox.clock.advance(1)
    receiver.wait_for(2)
    assert sandbox.settled()["delivered"] == 1
