"""Collecting what is left of a batch, by plain reads of the tables, the buckets and the sandbox's ledger."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from PIL import Image

from functions.adapters.attribute_values import from_item
from functions.core.keys import metadata_key, results_key
from tests.chaos.judge import Charge, Evidence
from tests.chaos.stack import ChaosStack
from tests.e2e.pipeline import table

SIDE = 256
_READERS = 8


def collect(stack: ChaosStack, batch_ids: Mapping[str, Sequence[str]]) -> dict[str, Evidence]:
    """The evidence of some batches; their prompts by batch id."""
    ledger = stack.pipeline.sandbox.ledger()["charges"]
    jobs = [job for job in _jobs(stack) if job["batches"] & batch_ids.keys()]
    letters = _letters(stack)
    return {
        batch_id: _one(stack, batch_id, prompts, [job for job in jobs if batch_id in job["batches"]], ledger, letters)
        for batch_id, prompts in batch_ids.items()
    }


def _one(
    stack: ChaosStack,
    batch_id: str,
    prompts: Sequence[str],
    jobs: Sequence[Mapping[str, Any]],
    ledger: Sequence[Mapping[str, Any]],
    letters: frozenset[str],
) -> Evidence:
    ids = {job["job_id"] for job in jobs}
    results = stack.pipeline.stack.metadata().get(results_key(batch_id))
    with ThreadPoolExecutor(_READERS) as readers:
        pictures = dict(zip(map(_image_key, jobs), readers.map(lambda job: _picture(stack, job), jobs), strict=True))
        described = readers.map(lambda job_id: _is_described(stack, job_id), ids)
        known = frozenset(job_id for job_id, found in zip(ids, described, strict=True) if found)
    return Evidence(
        prompts=prompts,
        results=None if results is None else table(results.decode()),
        batch=stack.pipeline.batch(batch_id),
        jobs=jobs,
        charges=[_charge(one) for one in ledger if one["idempotency_key"] in ids],
        pictures={key: found for key, (there, found) in pictures.items() if there},
        described=known,
        letters=letters,
    )


def _jobs(stack: ChaosStack) -> Iterator[dict[str, Any]]:
    pages = stack.pipeline.stack.dynamodb().get_paginator("scan")
    for page in pages.paginate(TableName=stack.pipeline.stack.jobs_table, ConsistentRead=True):
        yield from map(from_item, page["Items"])


def _image_key(job: Mapping[str, Any]) -> str:
    return f"{job['job_id'][:2]}/{job['job_id']}.jpg"


def _picture(stack: ChaosStack, job: Mapping[str, Any]) -> tuple[bool, str | None]:
    """Whether something lies in the bucket, and its hash if that is a whole picture of the right size."""
    data = stack.pipeline.stack.images().get(_image_key(job))
    if data is None:
        return False, None
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            whole = image.size == (SIDE, SIDE)
    except (OSError, SyntaxError, ValueError):
        whole = False
    return True, sha256(data).hexdigest() if whole else None


def _is_described(stack: ChaosStack, job_id: str) -> bool:
    document = stack.pipeline.stack.metadata().get(metadata_key(job_id))
    return document is not None and json.loads(document)["job_id"] == job_id


def _charge(charge: Mapping[str, Any]) -> Charge:
    return Charge(
        job_id=charge["idempotency_key"],
        at=datetime.fromisoformat(charge["at"]).timestamp(),
        usd=Decimal(str(charge["usd"])),
        refunded=charge["refunded"],
        answered=charge["lost_answer"] is None,
    )


def _letters(stack: ChaosStack) -> frozenset[str]:
    """The jobs of all dead letters. The letters stay where they are."""
    return frozenset(letter["job_id"] for lane in stack.lanes.values() for letter in _lane_letters(stack, lane))


def _lane_letters(stack: ChaosStack, lane: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    sqs, url = stack.client("sqs"), lane["dead_letter_queue_url"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=2).get("Messages"):
        for message in messages:
            letter = json.loads(message["Body"])
            if "error_class" in letter:
                yield letter
