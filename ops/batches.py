"""Reading batches for people: the recent ones, one by its id, and what is wrong with its rows."""

from __future__ import annotations

import difflib
import heapq
import itertools
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from functions.adapters.attribute_values import from_item
from functions.adapters.batches import DynamoBatchStore
from functions.adapters.indexes import LISTING_INDEX
from functions.core.batches.records import (
    BATCH_ITEM,
    CLOSED,
    COUNTERS,
    OPEN,
    Batch,
    BatchState,
    RowProblem,
    batch_from_record,
)
from ops.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from ops.stack import Stack

PROBLEMS_SHOWN = 20

_PLAIN = ("batch_id", "state", *COUNTERS, "cost_usd", "recipe")

_READS_PER_REQUEST = 100  # BatchGetItem's limit
_KEYS_PER_REQUEST = 500
_SEARCHED = 2000  # the recent batches among which the beginning of an id is looked for


def get_batch(stack: Stack, batch_id: str) -> Batch | None:
    """One batch by its whole id."""
    return _store(stack).get(batch_id)


def find_batch(stack: Stack, text: str) -> Batch:
    """One batch by its id or the beginning of it.

    Raises:
        NotFoundError: when there is none; names those that look like it.
        UsageError: when there are several; names them.
    """
    if batch := get_batch(stack, text):
        return batch
    known = [key["batch_id"] for key in itertools.islice(_recent_keys(stack), _SEARCHED)]
    found = [batch_id for batch_id in known if batch_id.startswith(text)]
    if len(found) > 1:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise UsageError(f"'{text}' may be {', '.join(found[:5])}{more}; write some characters more.")
    if found and (batch := get_batch(stack, found[0])):
        return batch
    near = difflib.get_close_matches(text, known, n=3, cutoff=0.5) or known[:3]
    hint = f"There is: {', '.join(near)}." if near else "There are none yet; `imagebatch submit FILE` starts one."
    raise NotFoundError(f"There is no batch '{text}'. {hint}")


def recent_batches(stack: Stack, limit: int) -> list[Batch]:
    """The batches that were opened last, the newest first."""
    keys = list(itertools.islice(_recent_keys(stack), limit))
    found: dict[str, Batch] = {}
    for start in range(0, len(keys), _READS_PER_REQUEST):
        wanted: list[Any] = [
            {"batch_id": {"S": key["batch_id"]}, "item": {"S": BATCH_ITEM}}
            for key in keys[start : start + _READS_PER_REQUEST]
        ]
        while wanted:
            answer = stack.dynamodb().batch_get_item(RequestItems={stack.batches_table: {"Keys": wanted}})
            batches = map(batch_from_record, map(from_item, answer["Responses"][stack.batches_table]))
            found |= {batch.batch_id: batch for batch in batches}
            unread = answer.get("UnprocessedKeys") or {}
            wanted = list(unread[stack.batches_table]["Keys"]) if unread else []
    return [found[key["batch_id"]] for key in keys if key["batch_id"] in found]


def first_problems(stack: Stack, batch: Batch, limit: int = PROBLEMS_SHOWN) -> list[RowProblem]:
    """What is wrong with the first rows of a batch that are no good."""
    if not batch.invalid_rows:
        return []
    every = (problem for part in _store(stack).parts(batch.batch_id) for problem in part.problems)
    return list(itertools.islice(every, limit))


def expected_jobs(batch: Batch) -> int:
    """How many jobs the batch has, or at most has while they are not counted yet: the stream may lag."""
    seen = batch.pending + batch.running + batch.held + batch.succeeded + batch.failed
    return batch.jobs if batch.jobs >= max(seen, 1) or not batch.is_open else max(seen, batch.requested)


def waits_for_a_person(batch: Batch) -> bool:
    """Whether held jobs are all that keeps the batch open."""
    return batch.looks_finished and batch.held > 0


def status_record(batch: Batch, problems: list[RowProblem]) -> dict[str, Any]:
    """A batch as `imagebatch status --json` prints it."""
    times = ("created_at", "deadline_at", "finished_at")
    return {
        **{name: getattr(batch, name) for name in _PLAIN},
        "source": {"bucket": batch.source.bucket, "key": batch.source.key, "version": batch.source.version},
        **{name: getattr(batch, name) or None for name in times},
        "late": batch.late,
        "paused": batch.paused or None,
        "results": bool(batch.results_key),
        "reason": batch.reason,
        "problems": [
            {"row": one.row, "line": one.line, "column": one.column, "message": one.message} for one in problems
        ],
    }


def file_name(batch: Batch) -> str:
    """The name of the file that the batch was made from, without its folder."""
    return PurePosixPath(batch.source.key).name


def has_ended(batch: Batch) -> bool:
    """Whether nothing will happen to the batch by itself any more."""
    return not batch.is_open or waits_for_a_person(batch)


def is_complete(batch: Batch) -> bool:
    """Whether the batch has ended with a picture for every row."""
    return batch.state is BatchState.COMPLETED and not (batch.failed or batch.held or batch.invalid_rows)


def _store(stack: Stack) -> DynamoBatchStore:
    return DynamoBatchStore(stack.dynamodb(), stack.batches_table)


def _recent_keys(stack: Stack) -> Iterator[Mapping[str, Any]]:
    """Keys of all batches, the newest first: two listings, each of which comes in that order."""
    return heapq.merge(
        _listed(stack, OPEN), _listed(stack, CLOSED), key=lambda key: str(key["created_at"]), reverse=True
    )


def _listed(stack: Stack, listing: str) -> Iterator[Mapping[str, Any]]:
    pages = (
        stack.dynamodb()
        .get_paginator("query")
        .paginate(
            TableName=stack.batches_table,
            IndexName=LISTING_INDEX,
            KeyConditionExpression="listing = :listing",
            ExpressionAttributeValues={":listing": {"S": listing}},
            ScanIndexForward=False,
            PaginationConfig={"PageSize": _KEYS_PER_REQUEST},
        )
    )
    return (from_item(item) for page in pages for item in page["Items"])
