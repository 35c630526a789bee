"""The deployed stack as people see it: files go in, results come out, and somebody looks at the tables."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeVar

from PIL import Image

from functions.adapters.attribute_values import from_item, to_item
from functions.core.batches.records import BATCH_ITEM, Batch
from functions.core.batches.recount import SILENCE_SECONDS
from functions.core.keys import batch_id_for, recipe_key, results_key
from functions.core.lanes.control import account_rate
from functions.core.lanes.records import account_record
from ops.batches import first_problems, get_batch, has_ended, status_record
from ops.local.instance import LocalInstance
from ops.stack import Stack, local_stack
from tests.fakes.sandbox import Sandbox

PRICE = Decimal("0.003")
QUICK = {"min": 0.05, "mean": 0.1, "max": 0.3}
"""Seconds a picture takes at the sandbox, where a test does not care."""

CANARY = "zanzibar-canary"
"""A word that is in the prompts of the tests, and in nothing else: no log may show it."""

_COMMAND = [sys.executable, "-c", "from ops.cli import app; app()"]
_CALLS_PER_MINUTE = 60_000
_LOOK_EVERY_SECONDS = 0.05
_PAST = timedelta(seconds=SILENCE_SECONDS + 20)
_TIMES = ("updated_at", "checked_at", "rung_at")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Pipeline:
    """The stack of this test run, and the sandbox that it buys pictures from."""

    instance: LocalInstance
    stack: Stack
    outputs: Mapping[str, str]
    sandbox: Sandbox

    @classmethod
    def of(cls, instance: LocalInstance) -> Pipeline:
        """The stack on a running instance, which is told to keep no pace: tests do not wait for a plan's limit."""
        assert instance.record.sandbox_url is not None
        pipeline = cls(instance, local_stack(instance), instance.outputs(), Sandbox(instance.record.sandbox_url))
        pipeline.stack.lanes().write(account_record("wavespeed"), account_rate(_CALLS_PER_MINUTE))
        return pipeline

    def behave(self, **behaviour: Any) -> None:
        """Let the sandbox behave so, without limits and quickly unless it says otherwise, and begin its ledger anew."""
        self.sandbox.behave(**{"latency_seconds": QUICK, **behaviour})
        self.sandbox.clear_ledger()

    def put(self, key: str, content: str | bytes) -> str:
        """Put a file into the inbox by a plain request, as any S3 client does; the id of the batch it becomes."""
        body = content.encode() if isinstance(content, str) else content
        answer = self.stack.s3().put_object(Bucket=self.stack.inbox_bucket, Key=key, Body=body)
        return batch_id_for(key, answer["VersionId"])

    def put_recipe(self, name: str, text: str) -> None:
        """Store a recipe."""
        self.stack.metadata().put(recipe_key(name), text.encode(), "application/toml")

    def batch(self, batch_id: str) -> Batch:
        """A batch, once it has begun."""
        return self.wait_for(lambda: get_batch(self.stack, batch_id), lambda: f"{batch_id} to begin")

    def ended(self, batch_id: str, seconds: float = 120) -> Batch:
        """The batch once it has ended, or once held jobs are all that it waits for."""

        def look() -> Batch | None:
            batch = get_batch(self.stack, batch_id)
            return batch if batch is not None and has_ended(batch) else None

        return self.wait_for(look, lambda: f"{batch_id} to end; it is {get_batch(self.stack, batch_id)}", seconds)

    def status(self, batch: Batch) -> dict[str, Any]:
        """A batch as `imagebatch status --json` shows it."""
        return status_record(batch, first_problems(self.stack, batch))

    def wait_for(self, look: Callable[[], _T | None], wanted: Callable[[], str], seconds: float = 120) -> _T:
        """What `look` gives as soon as it gives something. `wanted` says in words what was waited for."""
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                log = self.instance.state.log("aws").read_text(errors="replace").splitlines()[-30:]
                raise AssertionError("\n".join([f"waited {seconds:.0f} s for {wanted()}. The end of its log:", *log]))
            time.sleep(_LOOK_EVERY_SECONDS)

    def results(self, batch_id: str) -> list[dict[str, str]]:
        """The lines of a batch's results.csv."""
        return table(self.results_text(batch_id))

    def results_text(self, batch_id: str) -> str:
        """A batch's results.csv as it is."""
        body = self.stack.metadata().get(results_key(batch_id))
        assert body is not None, f"{batch_id} has no results.csv"
        return body.decode()

    def check_picture(self, row: Mapping[str, str], size: tuple[int, int]) -> None:
        """See that a row's picture is in the bucket, whole, of that size, and the one that the row names."""
        data = self.stack.images().get(row["image"])
        assert data is not None, f"{row['image']} is not in the bucket"
        assert sha256(data).hexdigest() == row["sha256"]
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.size == size

    def jobs(self, batch_id: str) -> list[dict[str, Any]]:
        """The raw records of the jobs that wait, or waited, for the batch or are paid by it."""
        pages = (
            self.stack.dynamodb().get_paginator("scan").paginate(TableName=self.stack.jobs_table, ConsistentRead=True)
        )
        found = (from_item(item) for page in pages for item in page["Items"])
        return [job for job in found if batch_id in job["batches"]]

    def charges(self) -> Counter[str]:
        """How often each job was charged since the sandbox was last told how to behave."""
        return Counter(charge["idempotency_key"] for charge in self.sandbox.ledger()["charges"])

    def net_usd(self) -> Decimal:
        """What the sandbox charged and did not give back since then."""
        return Decimal(str(self.sandbox.ledger()["summary"]["net_usd"]))

    def imagebatch(self, *arguments: str) -> str:
        """Run the command line against the stack; what it prints."""
        environment = {**os.environ, "IMAGEBATCH_STATE": str(self.instance.state.path)}
        done = subprocess.run([*_COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lane(self, model: str = "flux-schnell") -> Mapping[str, str]:
        """Where a model's lane is: queue, dead-letter queue, function and event source mapping."""
        lane: Mapping[str, str] = json.loads(self.outputs["Lanes"])[model]
        return lane

    def dead_letters(self) -> list[dict[str, Any]]:
        """Take what lies in the lane's dead-letter queue."""
        sqs, url = self.instance.session().client("sqs"), self.lane()["dead_letter_queue_url"]
        letters = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            letters += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return letters

    @contextmanager
    def without(self, mapping: str) -> Iterator[None]:
        """An event source mapping that does not serve, for a while."""
        functions = self.instance.session().client("lambda")
        functions.update_event_source_mapping(UUID=mapping, Enabled=False)
        assert functions.get_event_source_mapping(UUID=mapping)["State"] == "Disabled"
        try:
            yield
        finally:
            functions.update_event_source_mapping(UUID=mapping, Enabled=True)

    def visible_messages(self) -> int:
        """How many messages wait in the lane for somebody to take them."""
        answer = (
            self.instance.session()
            .client("sqs")
            .get_queue_attributes(QueueUrl=self.lane()["queue_url"], AttributeNames=["ApproximateNumberOfMessages"])
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def lose_doorbells(self, *, count: int) -> None:
        """Take so many doorbells out of the lane, which must not serve at the time."""
        self.wait_for(lambda: self.visible_messages() == count, lambda: f"{count} doorbells")
        self.purge_lane()
        self.wait_for(lambda: self.visible_messages() == 0, lambda: "the lane to be purged")

    def purge_lane(self) -> None:
        """Drop every message of the lane, hidden ones too."""
        self.instance.session().client("sqs").purge_queue(QueueUrl=self.lane()["queue_url"])

    def tick(self) -> None:
        """Send what the rule sends every minute."""
        self.instance.session().client("sqs").send_message(
            QueueUrl=self.outputs["ReportsQueueUrl"], MessageBody=json.dumps({"kind": "tick"})
        )

    def pass_time(self, batch_id: str) -> None:
        """Let minutes pass for a batch and its jobs: what was written down of them was so long ago."""
        stack, key = self.stack, {"batch_id": batch_id, "item": BATCH_ITEM}
        answer = stack.dynamodb().get_item(TableName=stack.batches_table, Key=to_item(key), ConsistentRead=True)
        self._set_back(stack.batches_table, key, from_item(answer["Item"]))
        for job in self.jobs(batch_id):
            self._set_back(stack.jobs_table, {"job_id": job["job_id"]}, job)

    def _set_back(self, table: str, key: Mapping[str, str], record: Mapping[str, Any]) -> None:
        earlier = {f":{name}": _before(value) for name, value in record.items() if name.startswith(_TIMES)}
        self.stack.dynamodb().update_item(
            TableName=table,
            Key=to_item(key),
            UpdateExpression="SET " + ", ".join(f"{name[1:]} = {name}" for name in earlier),
            ExpressionAttributeValues=to_item(earlier),
        )

    def recount(self, batch_id: str) -> dict[str, Any]:
        """What a batch's counters must be by the raw jobs table, where all its jobs were new."""
        jobs = self.jobs(batch_id)
        states = Counter(job["state"] for job in jobs)
        paid = [job for job in jobs if job["batch_id"] == batch_id]
        return {
            "jobs": len(jobs),
            "pending": states["pending"],
            "running": states["running"],
            "held": states["held"],
            "succeeded": states["success"],
            "failed": states["failed"],
            "cost_usd": sum((Decimal(job.get("cost_usd", 0)) for job in paid), Decimal(0)),
        }


def table(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV text by the names of its columns."""
    return list(csv.DictReader(io.StringIO(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")), delimiter=delimiter))


def _before(moment: str | Decimal) -> str | int:
    """A moment of a record, a text or epoch milliseconds, so much earlier that it counts as silence."""
    if isinstance(moment, str):
        return (datetime.fromisoformat(moment) - _PAST).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return int(moment) - int(_PAST.total_seconds() * 1000)


def file_of(prompts: Iterable[str], *, header: Sequence[str] = ("prompt", "width", "height")) -> str:
    """A CSV that asks for a small picture of each prompt."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows((prompt, 256, 256) for prompt in prompts)
    return text.getvalue()
