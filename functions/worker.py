"""The worker of one lane: messages of the lane's queue in, pictures in the bucket out."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.core.jobs.work import Delivery
from functions.core.messages import UnknownMessageError, parse_doorbell
from functions.runtime import worker as runtime

SAFETY_SECONDS = 3.0
"""Kept back of the invocation's time, for giving messages back."""


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work on an SQS batch; the messages that must come back are its partial batch response."""
    worker = runtime.lane_worker(
        owner=context.aws_request_id,
        remaining=lambda: context.get_remaining_time_in_millis() / 1000 - SAFETY_SECONDS,
    )
    deliveries = []
    for record in event["Records"]:
        try:
            doorbell = parse_doorbell(record["body"])
        except UnknownMessageError:
            worker.services.log("unknown_message", message_id=record["messageId"])
            worker.services.dead_letters.send([record["body"]])
        else:
            receives = int(record["attributes"]["ApproximateReceiveCount"])
            deliveries.append(Delivery(record["messageId"], record["receiptHandle"], doorbell, receives))
    back = runtime.loop().run_until_complete(worker.work(deliveries)) if deliveries else ()
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in back]}
