"""DynamoDB carries out the rules' conditional writes.

Actions on the jobs table: UpdateItem, PartiQLInsert, BatchGetItem, Query on its index `by-reference`, and on `by-held`,
which the operator's command alone reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from functions.adapters.again import until_done
from functions.adapters.attribute_values import from_item, to_value
from functions.adapters.aws import CONNECTIONS
from functions.adapters.indexes import HELD_INDEX, REFERENCE_INDEX
from functions.core.jobs.clauses import HELD
from functions.core.jobs.records import Job, State, job_from_record
from functions.core.writes import (
    Above,
    AllOf,
    AnyOf,
    AtMost,
    Condition,
    Lacks,
    Missing,
    OneOf,
    StaleWriteError,
    Write,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_INSERTS_PER_REQUEST = 25  # BatchExecuteStatement's limit
_READS_PER_REQUEST = 100  # BatchGetItem's limit
_KEYS_PER_PAGE = 400
_T = TypeVar("_T")


class UnfinishedBatchError(Exception):
    """Raised when DynamoDB went on refusing a part of a batch request; what was carried out stays so."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table whose records are changed by `Write`s."""

    client: DynamoDBClient
    name: str
    key: str

    def write(self, key: str, write: Write) -> dict[str, Any]:
        """Carry out a write on the record with this key, and return the record after it.

        Raises:
            StaleWriteError: when its condition did not hold.
        """
        try:
            answer = self.client.update_item(
                TableName=self.name,
                Key={self.key: {"S": key}},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **update_request(write, self.key),
            )
        except self.client.exceptions.ConditionalCheckFailedException as error:
            item: Any = error.response.get("Item", {})
            raise StaleWriteError(write, from_item(item)) from None
        return from_item(answer["Attributes"])

    def get_many(self, keys: Sequence[str], *, consistent: bool) -> dict[str, dict[str, Any]]:
        """Read records by key; keys that are not there are left out."""
        with ThreadPoolExecutor(max_workers=8) as threads:
            slices = _slices(list(dict.fromkeys(keys)), _READS_PER_REQUEST)
            found = threads.map(lambda some: self._read(some, consistent), slices)
            return {record[self.key]: record for records in found for record in records}

    def _read(self, keys: Sequence[str], consistent: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        remaining: Sequence[Mapping[str, Any]] = [{self.key: {"S": key}} for key in keys]

        def attempt() -> bool:
            nonlocal remaining
            answer = self.client.batch_get_item(
                RequestItems={self.name: {"Keys": list(remaining), "ConsistentRead": consistent}}
            )
            found.extend(from_item(item) for item in answer["Responses"].get(self.name, []))
            remaining = answer["UnprocessedKeys"][self.name]["Keys"] if answer.get("UnprocessedKeys") else []
            return not remaining

        _until(attempt)
        return found


@dataclass(frozen=True, slots=True)
class DynamoJobStore:
    """The jobs table. Implements `functions.core.ports.JobStore`."""

    table: Table

    def write(self, job_id: str, write: Write) -> Job:
        """See `JobStore.write`."""
        return job_from_record(self.table.write(job_id, write))

    def write_many(self, writes: Mapping[str, Write]) -> dict[str, Job]:
        """See `JobStore.write_many`."""
        with ThreadPoolExecutor(max_workers=CONNECTIONS // 2) as threads:
            refused = threads.map(lambda entry: self._refused(*entry), writes.items())
            return {job.job_id: job for job in refused if job is not None}

    def create_many(self, writes: Mapping[str, Write]) -> frozenset[str]:
        """See `JobStore.create_many`. PartiQL's INSERT is conditional on the key being free."""
        with ThreadPoolExecutor(max_workers=8) as threads:
            return frozenset().union(*threads.map(self._insert, _slices(list(writes.items()), _INSERTS_PER_REQUEST)))

    def get_many(self, job_ids: Sequence[str], *, consistent: bool) -> dict[str, Job]:
        """See `JobStore.get_many`."""
        records = self.table.get_many(job_ids, consistent=consistent)
        return {job_id: job_from_record(record) for job_id, record in records.items()}

    def known_references(self, references: Sequence[str]) -> frozenset[str]:
        """See `JobStore.known_references`. The index is eventually consistent: an unknown one may be known soon."""
        with ThreadPoolExecutor(max_workers=CONNECTIONS // 4) as threads:
            return frozenset(itertools.compress(references, threads.map(self._is_known, references)))

    def held(self) -> Iterator[Job]:
        """The jobs that are held, the longest first. The index lags behind: each one is read before it is told."""
        pages = self.table.client.get_paginator("query").paginate(
            TableName=self.table.name,
            IndexName=HELD_INDEX,
            KeyConditionExpression="#held = :held",
            ExpressionAttributeNames={"#held": "held"},
            ExpressionAttributeValues={":held": {"S": HELD}},
            PaginationConfig={"PageSize": _KEYS_PER_PAGE},
        )
        for page in pages:
            ids = [from_item(item)["job_id"] for item in page["Items"]]
            jobs = self.get_many(ids, consistent=True)
            yield from (jobs[job_id] for job_id in ids if job_id in jobs and jobs[job_id].state is State.HELD)

    def _refused(self, job_id: str, write: Write) -> Job | None:
        """The job as it is stored, if the write's condition does not hold for it."""
        try:
            self.table.write(job_id, write)
        except StaleWriteError as stale:
            return job_from_record(stale.record) if stale.record else None
        return None

    def _insert(self, writes: Sequence[tuple[str, Write]]) -> frozenset[str]:
        """Job ids among the writes that were there before. Entries DynamoDB put off are sent again."""
        existing: set[str] = set()
        remaining = list(writes)

        def attempt() -> bool:
            answer = self.table.client.batch_execute_statement(
                Statements=[_insert_statement(self.table.name, write) for _, write in remaining]
            )
            put_off = []
            for entry, response in zip(remaining, answer["Responses"], strict=True):
                error = response.get("Error")
                if error is None:
                    continue
                if error["Code"] == "DuplicateItem":
                    existing.add(entry[0])
                elif error["Code"] in (
                    "ThrottlingError",
                    "ProvisionedThroughputExceeded",
                    "InternalServerError",
                    "RequestLimitExceeded",
                    "TransactionConflict",
                ):
                    put_off.append(entry)
                else:
                    raise UnfinishedBatchError(f"insert refused: {error['Code']}: {error.get('Message', '')}")
            remaining[:] = put_off
            return not remaining

        _until(attempt)
        return frozenset(existing)

    def _is_known(self, reference: str) -> bool:
        answer = self.table.client.query(
            TableName=self.table.name,
            IndexName=REFERENCE_INDEX,
            KeyConditionExpression="#reference = :reference",
            ExpressionAttributeNames={"#reference": "reference"},
            ExpressionAttributeValues={":reference": {"S": reference}},
            Select="COUNT",
            Limit=1,
        )
        return answer["Count"] > 0


@dataclass(slots=True)
class _Names:
    """Placeholders for the names and values of one expression."""

    names: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def name(self, attribute: str) -> str:
        placeholder = f"#{attribute}"
        self.names[placeholder] = attribute
        return placeholder

    def value(self, value: Any) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = to_value(value)
        return placeholder


def _compile(condition: Condition, names: _Names) -> str:
    """A condition in DynamoDB's expression language."""
    match condition:
        case Missing(attribute):
            return f"attribute_not_exists({names.name(attribute)})"
        case OneOf(attribute, values):
            return f"{names.name(attribute)} IN ({', '.join(names.value(value) for value in values)})"
        case AtMost(attribute, bound):
            return f"{names.name(attribute)} <= {names.value(bound)}"
        case Above(attribute, bound):
            return f"{names.name(attribute)} > {names.value(bound)}"
        case Lacks(attribute, member):
            # Of an attribute that is not there, `contains` is false.
            return f"NOT contains({names.name(attribute)}, {names.value(member)})"
        case AllOf(parts):
            return " AND ".join(f"({_compile(part, names)})" for part in parts)
        case AnyOf(parts):
            return " OR ".join(f"({_compile(part, names)})" for part in parts)


def update_request(write: Write, *keys: str) -> dict[str, Any]:
    """The part of an UpdateItem request that says a write; `keys` are the attributes of the table's key."""
    names = _Names()
    clauses = []
    if sets := {name: value for name, value in write.sets.items() if name not in keys}:
        clauses.append("SET " + ", ".join(f"{names.name(name)} = {names.value(value)}" for name, value in sets.items()))
    if write.removes:
        clauses.append("REMOVE " + ", ".join(names.name(name) for name in write.removes))
    if added := {**write.adds, **{name: frozenset({member}) for name, member in write.joins.items()}}:
        clauses.append("ADD " + ", ".join(f"{names.name(name)} {names.value(value)}" for name, value in added.items()))
    condition = _compile(write.when, names)
    request: dict[str, Any] = {
        "UpdateExpression": " ".join(clauses),
        "ExpressionAttributeNames": names.names,
    }
    if condition:
        request["ConditionExpression"] = condition
    if names.values:
        request["ExpressionAttributeValues"] = names.values
    return request


def _insert_statement(table: str, write: Write) -> Any:
    fields = ", ".join(f"'{name}': ?" for name in write.sets)
    return {
        "Statement": f'INSERT INTO "{table}" VALUE {{{fields}}}',
        "Parameters": [to_value(value) for value in write.sets.values()],
    }


def _until(attempt: Callable[[], bool]) -> None:
    gave_up = UnfinishedBatchError("DynamoDB went on putting off a part of a batch request")
    until_done(attempt, tries=10, otherwise=gave_up)


def _slices(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
