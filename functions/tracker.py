"""The tracker: batches' counters follow the jobs table's stream."""

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
    """Count the changes of a stream batch.

    Never raises: Lambda would send the same records again and again and hold up all that come after. What is lost here,
    the recount at the batch's end makes good.
    """
    try:
        runtime.tracker().follow(list(_changes(event)))
    except Exception:  # noqa: BLE001  # whatever it is
        logger().exception("changes_lost")


def _changes(event: Mapping[str, Any]) -> Iterator[Change]:
    """The changes that the stream records speak of. What is no job is passed over."""
    for record in event.get("Records", ()):
        try:
            images = record["dynamodb"]
            yield Change(_job(images.get("OldImage")), _job(images.get("NewImage")))
        except (KeyError, ValueError, TypeError, AttributeError):
            log_event("record_unknown", event_id=str(record.get("eventID", "")))


def _job(image: Mapping[str, Any] | None) -> Job | None:
    return job_from_record(from_item(image)) if image else None
