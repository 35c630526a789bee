"""The splitter, the tracker and the reporter do what the sample events ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from functions import reporter, splitter, tracker
from functions.core.batches.messages import Chunk, parse_intake
from functions.core.batches.recount import SILENCE_SECONDS
from functions.core.batches.tracking import LaneTracker
from functions.core.jobs.records import State
from functions.core.keys import batch_id_for
from functions.core.lanes.measures import Done, total
from functions.observability import publish
from tests.fakes.lane import Records
from tests.fakes.plant import PRICE, Plant

EVENTS = Path(__file__).resolve().parents[2] / "events"
KEY = "catalogue/summer 2026 (new).csv"
VERSION = "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"


class Context:
    """What Lambda tells of an invocation."""

    function_name = "imagebatch"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:imagebatch"
    aws_request_id = "8f5e2f9c-6a1b-4b8e-9b62-1f4f2f8d5c11"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 100_000


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return event


def sqs(*bodies: str) -> dict[str, Any]:
    """An SQS event like the sample, with these messages."""
    (record,) = sample("reporter-tick.json")["Records"]
    return {"Records": [{**record, "messageId": str(uuid4()), "body": body} for body in bodies]}


@pytest.fixture
def lanes() -> Records:
    return Records()


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch, lanes: Records) -> Plant:
    plant = Plant()
    guarded = plant.crashes.guard(lanes)
    lane_tracker = LaneTracker(lanes=guarded, catalog=plant.catalog, clock=plant.clock, publish=publish)
    monkeypatch.setattr("functions.runtime.splitter.splitter", lambda: plant.splitter)
    monkeypatch.setattr("functions.runtime.tracker.tracker", lambda: plant.tracker)
    monkeypatch.setattr("functions.runtime.tracker.lane_tracker", lambda: lane_tracker)
    monkeypatch.setattr("functions.runtime.reporter.reporter", lambda: plant.reporter)
    return plant


def test_an_upload_becomes_a_batch_and_its_chunks(plant: Plant) -> None:
    plant.inbox.objects[KEY] = b"prompt\ncat\n"
    answer = splitter.handler(sample("splitter-upload.json"), Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    ((chunk,),) = (parse_intake(body) for body in plant.intake.bodies)
    assert isinstance(chunk, Chunk)
    assert (chunk.batch_id, chunk.key, chunk.version) == (batch_id_for(KEY, VERSION), KEY, VERSION)


def test_the_test_event_of_a_new_bucket_is_passed_over(plant: Plant) -> None:
    answer = splitter.handler(sample("splitter-test-event.json"), Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": []}
    assert plant.batches.records == {}


def test_only_the_message_that_failed_comes_back(plant: Plant) -> None:
    plant.inbox.objects[KEY] = b"prompt\ncat\n"
    (good,) = sample("splitter-upload.json")["Records"]
    event = sqs('{"kind":"nonsense"}', good["body"])
    answer = splitter.handler(event, Context())  # type: ignore[arg-type]
    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert len(plant.batches.records) == 1


def test_when_all_messages_fail_they_come_back_and_nothing_is_raised(plant: Plant) -> None:
    event = sqs("no json")
    expected = {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
    assert splitter.handler(event, Context()) == expected  # type: ignore[arg-type]
    assert reporter.handler(event, Context()) == expected  # type: ignore[arg-type]


def counted(plant: Plant) -> str:
    """A batch of one job, whose stream record the sample is made to be."""
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    plant.track()
    plant.reports.messages.clear()
    return batch_id


def stream_event(plant: Plant, batch_id: str) -> dict[str, Any]:
    event = sample("tracker-job-succeeded.json")
    for image in ("OldImage", "NewImage"):
        event["Records"][0]["dynamodb"][image]["batches"] = {"SS": [batch_id]}
        event["Records"][0]["dynamodb"][image]["batch_id"] = {"S": batch_id}
    plant.batches.records[batch_id] |= {"pending": 0, "running": 1}
    return event


def test_a_job_that_succeeded_is_counted_and_its_batch_sent_to_be_closed(plant: Plant) -> None:
    batch_id = counted(plant)
    tracker.handler(stream_event(plant, batch_id), Context())  # type: ignore[arg-type]
    batch = plant.batch(batch_id)
    assert (batch.running, batch.succeeded, batch.cost_usd) == (0, 1, PRICE)
    assert plant.reports.bodies == [f'{{"kind":"close","batch_id":"{batch_id}"}}']


def test_records_that_speak_of_no_job_are_passed_over(plant: Plant) -> None:
    batch_id = counted(plant)
    event = stream_event(plant, batch_id)
    unknown: list[dict[str, Any]] = [
        {},
        {"dynamodb": {"NewImage": {"name": {"S": "no job"}}}},
        {"dynamodb": {"NewImage": {"job_id": {"B": "AA=="}}}},
    ]
    event["Records"] = [*unknown, *event["Records"]]
    tracker.handler(event, Context())  # type: ignore[arg-type]
    assert plant.batch(batch_id).succeeded == 1


def done(lanes: Records) -> Done:
    """What lanes did by the records of all minutes."""
    return total(lanes.records.values())


def test_a_job_that_succeeded_is_measured(
    plant: Plant, lanes: Records, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "imagebatch")
    tracker.handler(stream_event(plant, counted(plant)), Context())  # type: ignore[arg-type]
    measured = done(lanes)
    assert (measured.pictures, measured.cost_usd, measured.latency_ms) == (1, PRICE, 2874)
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "CloudWatchMetrics" in line]
    assert [(line.get("outcome"), line.get("size"), line.get("Latency")) for line in metrics] == [
        (None, None, None),
        ("success", None, None),
        (None, "medium", [2874]),
    ]


def test_the_tracker_never_raises_and_lanes_are_measured_when_batches_cannot_be_counted(
    plant: Plant, lanes: Records
) -> None:
    event = stream_event(plant, counted(plant))
    plant.crashes.countdown = 1
    tracker.handler(event, Context())  # type: ignore[arg-type]
    assert plant.crashes.countdown == 0
    assert done(lanes).pictures == 1


def test_batches_are_counted_when_lanes_cannot_be_measured(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_configured() -> None:
        raise LookupError("no table")

    batch_id = counted(plant)
    monkeypatch.setattr("functions.runtime.tracker.lane_tracker", not_configured)
    tracker.handler(stream_event(plant, batch_id), Context())  # type: ignore[arg-type]
    assert plant.batch(batch_id).succeeded == 1


def test_a_tick_looks_after_silent_batches(plant: Plant) -> None:
    counted(plant)
    plant.clock.pass_time(SILENCE_SECONDS)
    assert reporter.handler(sample("reporter-tick.json"), Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert len(plant.reports.bodies) == 1


def test_a_finished_batch_is_closed(plant: Plant) -> None:
    batch_id = counted(plant)
    (job_id,) = plant.jobs.records
    plant.end_job(job_id, State.SUCCESS)
    plant.track()
    assert reporter.handler(sqs(*plant.reports.bodies), Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert plant.batch(batch_id).state == "completed"
