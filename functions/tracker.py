"""The tracker: batches' counters and lanes' measures follow the jobs table's stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.adapters.attribute_values import from_item
from functions.core.batches.counting import Change
from functions.core.jobs.records import Job, job_from_record
from functions.observability import log_event, logger
from functions.runtime import tracker as runtime


def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001  # Lambda passes both
    """Follow the changes of a stream batch.

    Never raises: Lambda would send the same records again and again and hold up all that come after. What batches lose
    here, the recount at their end makes good; places in flight are swept when their time is over; measures stay lost.
    """
    changes = list(_changes(event))
    for follower in (runtime.tracker, runtime.lane_tracker):
        try:
            follower().follow(changes)
        except Exception:  # noqa: BLE001  # whatever it is
            logger().exception("changes_lost")


def _changes(event: Mapping[str, Any]) -> Iterator[Change]:
    """The changes that the stream records speak of. What is no job is passed over."""
    for record in event.get("Records", ()):
        try:
            images = record["dynamodb"]
            yield Change(_job(images.get("OldImage")), _job(images.get("NewImage")))
        except Exception:  # noqa: BLE001  # whatever it is that is no job
            log_event("record_unknown", event_id=str(record.get("eventID", "")))


def _job(image: Mapping[str, Any] | None) -> Job | None:
    return job_from_record(from_item(image)) if image else None
