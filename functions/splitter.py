"""The splitter: uploaded files in, jobs and doorbells out. It serves the intake queue."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.core.batches.messages import parse_intake
from functions.observability import logger
from functions.runtime import splitter as runtime

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def handle(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Do what one message asks for."""
    try:
        for message in parse_intake(record.body):
            runtime.splitter().handle(message, lambda: lambda_context.get_remaining_time_in_millis() / 1000)
    except Exception:
        logger().exception("message_failed", extra={"message_id": record.message_id})
        raise


def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Do what the messages ask for; those that must come back are the partial batch response."""
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
