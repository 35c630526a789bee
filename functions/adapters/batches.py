"""The batches table: a batch and its parts under one partition key.

Actions: GetItem, UpdateItem, PutItem (a part, inside TransactWriteItems), Query on it and its index `by-listing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from functions.adapters.attribute_values import from_item, to_item
from functions.adapters.dynamodb import update_request
from functions.adapters.indexes import LISTING_INDEX
from functions.core.batches.records import (
    BATCH_ITEM,
    OPEN,
    Batch,
    Part,
    batch_from_record,
    part_from_record,
    part_record,
)
from functions.core.keys import PART_PREFIX, part_item
from functions.core.writes import StaleWriteError, Write

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEY = ("batch_id", "item")


def _is_conflict(error: BaseException) -> bool:
    if not isinstance(error, ClientError):
        return False
    reasons = error.response.get("CancellationReasons", [])
    codes = {error.response["Error"]["Code"], *(reason.get("Code") for reason in reasons)}
    return not codes.isdisjoint({"TransactionConflict", "TransactionConflictException"})


# Parts and counters meet on the batch's record. DynamoDB refuses one of the two, and botocore does not try that again:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling
_CONFLICTS = Retrying(
    retry=retry_if_exception(_is_conflict),
    wait=wait_random_exponential(multiplier=0.05, max=1),
    stop=stop_after_attempt(12),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class DynamoBatchStore:
    """The batches table. Implements `functions.core.batches.BatchStore`."""

    client: DynamoDBClient
    table: str

    def get(self, batch_id: str) -> Batch | None:
        """See `BatchStore.get`."""
        record = self._get(batch_id, BATCH_ITEM)
        return batch_from_record(record) if record else None

    def write(self, batch_id: str, write: Write) -> Batch:
        """See `BatchStore.write`."""
        request: Any = {
            **self._update(batch_id, write),
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        try:
            answer = _CONFLICTS(self.client.update_item, **request)
        except self.client.exceptions.ConditionalCheckFailedException as error:
            item: Any = error.response.get("Item", {})
            raise StaleWriteError(write, from_item(item)) from None
        return batch_from_record(from_item(answer["Attributes"]))

    def open_batches(self) -> tuple[str, ...]:
        """See `BatchStore.open_batches`. The index lags behind: the caller reads each batch before it acts."""
        items = self._query(
            IndexName=LISTING_INDEX,
            KeyConditionExpression="listing = :open",
            ExpressionAttributeValues={":open": {"S": OPEN}},
        )
        return tuple(item["batch_id"] for item in items)

    def get_part(self, batch_id: str, offset: int) -> Part | None:
        """See `BatchStore.get_part`."""
        record = self._get(batch_id, part_item(offset))
        return part_from_record(record) if record else None

    def parts(self, batch_id: str) -> Iterator[Part]:
        """See `BatchStore.parts`."""
        items = self._query(
            KeyConditionExpression="batch_id = :batch AND begins_with(#item, :part)",
            ExpressionAttributeNames={"#item": "item"},
            ExpressionAttributeValues={":batch": {"S": batch_id}, ":part": {"S": PART_PREFIX}},
            ConsistentRead=True,
        )
        return (part_from_record(item) for item in items)

    def add_part(self, batch_id: str, part: Part, write: Write) -> bool:
        """See `BatchStore.add_part`."""
        record = {"batch_id": batch_id, "item": part_item(part.offset), **part_record(part)}
        put: Any = {
            "TableName": self.table,
            "Item": to_item(record),
            "ConditionExpression": "attribute_not_exists(batch_id)",
        }
        update: Any = {**self._update(batch_id, write), "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            _CONFLICTS(self.client.transact_write_items, TransactItems=[{"Put": put}, {"Update": update}])
        except self.client.exceptions.TransactionCanceledException as error:
            of_part, of_batch = error.response["CancellationReasons"]
            if of_part.get("Code") == "ConditionalCheckFailed":
                return False
            if of_batch.get("Code") == "ConditionalCheckFailed":
                raise StaleWriteError(write, from_item(of_batch.get("Item", {}))) from None
            raise
        return True

    def _get(self, batch_id: str, item: str) -> dict[str, Any] | None:
        answer = self.client.get_item(
            TableName=self.table, Key={"batch_id": {"S": batch_id}, "item": {"S": item}}, ConsistentRead=True
        )
        return from_item(answer["Item"]) if "Item" in answer else None

    def _update(self, batch_id: str, write: Write) -> dict[str, Any]:
        key = {"batch_id": {"S": batch_id}, "item": {"S": BATCH_ITEM}}
        return {"TableName": self.table, "Key": key, **update_request(write, *_KEY)}

    def _query(self, **request: Any) -> Iterator[Mapping[str, Any]]:
        for page in self.client.get_paginator("query").paginate(TableName=self.table, **request):
            yield from (from_item(item) for item in page["Items"])
