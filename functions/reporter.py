"""The reporter: closes batches, writes their results, looks after those that stand still. It serves its own queue."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.core.batches.messages import parse_report
from functions.observability import logger
from functions.runtime import reporter as runtime

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def handle(record: SQSRecord) -> None:
    """Do what one message asks for."""
    try:
        runtime.reporter().handle(parse_report(record.body))
    except Exception:
        logger().exception("message_failed", extra={"message_id": record.message_id})
        raise


def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Do what the messages ask for; those that must come back are the partial batch response."""
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
