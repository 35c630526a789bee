"""The stack's outputs: what the command line finds it by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput

from infra.constructs.account import key_ids, webhook_secret_ids
from infra.constructs.lane import Lane

if TYPE_CHECKING:
    from infra.stack import ImageBatchStack


def add_outputs(stack: ImageBatchStack) -> None:
    """Name every place that the command line works with."""
    storage, intake = stack.storage, stack.intake
    outputs = {
        "InboxBucket": storage.inbox.bucket_name,
        "ImagesBucket": storage.images.bucket_name,
        "MetadataBucket": storage.metadata.bucket_name,
        "JobsTable": storage.jobs.table_name,
        "BatchesTable": storage.batches.table_name,
        "LanesTable": storage.lanes.table_name,
        "IntakeQueueUrl": intake.queue.queue.queue_url,
        "IntakeDeadLetterQueueUrl": intake.queue.dead_letters.queue_url,
        "IntakeMapping": intake.mapping.event_source_mapping_id,
        "ReportsQueueUrl": stack.reporting.queue.queue.queue_url,
        "Lanes": stack.to_json_string({name: _lane(lane) for name, lane in stack.lanes.items()}),
        "ProviderSecrets": key_ids(stack.accounts),
        "WebhookSecrets": webhook_secret_ids(stack.accounts),
        "CallbackSecret": stack.api.secret_id,
        "ApiUrl": stack.api_url,
        "OperatorTopic": stack.guardrails.operator.topic_arn,
        "Dashboard": stack.dashboard.name,
        "DashboardUrl": stack.dashboard.url,
    }
    for key, value in outputs.items():
        CfnOutput(stack, key, value=value)


def _lane(lane: Lane) -> dict[str, str]:
    return {
        "queue_url": lane.queue.queue.queue_url,
        "dead_letter_queue_url": lane.queue.dead_letters.queue_url,
        "function": lane.worker.function.function_name,
        "mapping": lane.mapping.event_source_mapping_id,
    }
