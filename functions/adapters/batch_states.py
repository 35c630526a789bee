"""Whose jobs may be started, read from the batches table. A module of its own: a worker starts sooner without the rest.

Action: BatchGetItem.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class DynamoBatchStates:
    """Implements `functions.core.ports.BatchStates`."""

    client: DynamoDBClient
    table: str

    def stopped(self, batch_ids: Sequence[str]) -> frozenset[str]:
        """See `BatchStates.stopped`. What DynamoDB puts off counts as not stopped."""
        keys: Any = [{"batch_id": {"S": batch_id}, "item": {"S": "batch"}} for batch_id in batch_ids]
        # Consistent: a batch that was just resumed has its doorbells back, which must not be dropped once more.
        request: Any = {"Keys": keys, "ProjectionExpression": "batch_id, paused, cancelled", "ConsistentRead": True}
        answer = self.client.batch_get_item(RequestItems={self.table: request})
        return frozenset(
            item["batch_id"]["S"]
            for item in answer["Responses"].get(self.table, [])
            if item.get("paused", {}).get("S") or item.get("cancelled", {}).get("BOOL")
        )
