"""The worker does what its sample event asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from functions import worker
from functions.core.jobs.records import State
from functions.core.jobs.work import LaneWorker
from functions.runtime import worker as runtime
from tests.fakes.lane import JOB, Lane
from tests.fakes.virtual_time import VirtualLoop

EVENT: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[2] / "events" / "worker-doorbells.json").read_text()
)
DOORBELL, STRAY = EVENT["Records"]


class Context:
    """What Lambda tells of an invocation."""

    aws_request_id = "8f5e2f9c-6a1b-4b8e-9b62-1f4f2f8d5c11"

    def __init__(self, seconds: float = 900) -> None:
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return round(self.seconds * 1000)


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    lane, loop = Lane(), VirtualLoop()

    def lane_worker(owner: str, remaining: Callable[[], float]) -> LaneWorker:
        lane.remaining = remaining
        return lane.worker(owner)

    monkeypatch.setattr(runtime, "lane_worker", lane_worker)
    monkeypatch.setattr(runtime, "loop", lambda: loop)
    yield lane
    loop.close()


def test_a_doorbell_becomes_a_picture_and_a_stray_message_lands_in_the_dead_letter_queue(lane: Lane) -> None:
    answer = worker.handler(EVENT, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    assert lane.job().state is State.SUCCESS
    assert lane.dead_letters.bodies == [STRAY["body"]]


def test_messages_that_must_come_back_are_the_partial_batch_response(lane: Lane) -> None:
    answer = worker.handler(EVENT, Context(seconds=10))  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": DOORBELL["messageId"]}]}
    assert lane.job().attempt_count == 0


def test_the_loop_serves_one_invocation_after_the_other(lane: Lane) -> None:
    for _ in range(2):
        assert worker.handler({"Records": [DOORBELL]}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert lane.api.paid == 1


def test_the_owner_of_a_claim_is_the_invocation(lane: Lane) -> None:
    lane.api.work_seconds = 1e9
    worker.handler({"Records": [DOORBELL]}, Context())  # type: ignore[arg-type]
    assert lane.jobs.records[JOB]["owner"] == f"{Context.aws_request_id}/{DOORBELL['messageId']}"
