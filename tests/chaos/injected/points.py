"""Crash points: a process ends itself, or stops, right after one of its writes to AWS has returned.

Every request to AWS that is no read is a point, found where botocore makes it, so that none can be forgotten; beside
them, the moment at which a provider has answered a submit and nothing of it is written down. A point is named after
where it writes and what: `jobs.claim_to_submit`, `images.put`, `intake.send_chunk`.

The harness and the processes share a folder:

    passed/NAME   every point that was passed
    armed/NAME    what is to happen at a point; whoever removes the file is the one it happens to
    fired/NAME    to whom it happened: `{"pid": …, "jobs": […], "at": …}`, the jobs of that write, epoch seconds
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

from functions.adapters.batches import DynamoBatchStore
from functions.adapters.dynamodb import Table
from functions.core.ports import Accepted, Completed
from functions.core.writes import Write

ANSWERED = "provider.submit_answered"
"""The point that is no write: the provider has taken the call and said so."""

_READS = frozenset(
    {"GetItem", "BatchGetItem", "Query", "GetObject", "HeadObject", "GetQueueAttributes", "GetSecretValue"}
)
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_JOB_ID = re.compile(r"[0-9a-f]{64}")
_FIELD = re.compile(r"'(\w+)': \?")
_ROLES = {
    "JOBS_TABLE": "jobs",
    "BATCHES_TABLE": "batches",
    "LANES_TABLE": "lanes",
    "IMAGES_BUCKET": "images",
    "METADATA_BUCKET": "metadata",
    "LANE_QUEUE_URL": "lane",
    "DEAD_LETTER_QUEUE_URL": "dead_letters",
    "INTAKE_QUEUE_URL": "intake",
    "REPORTS_QUEUE_URL": "reports",
}


def armed_name(part: str, point: str, about: str, action: str) -> str:
    """The name of the file that arms a point. `about`: part of a batch's id, empty for any; `action`: kill or stop."""
    return "~".join((part, point, about, action))


class Points:
    """The points of one process. `part` is what it is: `splitter`, or `worker-` and its lane."""

    def __init__(self, directory: Path, part: str, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._part = part
        self._batch_of: dict[str, str] = {}
        self._local = threading.local()
        self._roles = {environment[name]: role for name, role in _ROLES.items() if name in environment}
        self._roles |= dict.fromkeys(json.loads(environment.get("LANE_QUEUES", "{}")).values(), "lane")

    def install(self) -> None:
        """Watch every request of this process."""
        self._name_writes(Table)
        self._name_writes(DynamoBatchStore)
        self._watch_requests()
        if provider := sys.modules.get("functions.providers.wavespeed"):
            self._watch_submits(provider.WaveSpeed)

    def _watch_requests(self) -> None:
        clients: Any = BaseClient
        request = clients._make_api_call

        def watched(client: object, operation: str, parameters: Any) -> Any:
            answer = request(client, operation, parameters)
            self._learn(answer)
            if operation == "BatchExecuteStatement":
                self._learn({"Responses": {"": list(map(_inserted, parameters["Statements"]))}})
            if operation not in _READS:
                self._pass(self._name(operation, parameters), f"{parameters!r}{answer!r}")
            return answer

        clients._make_api_call = watched

    def _watch_submits(self, provider: Any) -> None:
        submit = provider.submit

        async def answered(*args: Any, **options: Any) -> Any:
            answer = await submit(*args, **options)
            if isinstance(answer, Accepted | Completed):
                self._pass(ANSWERED, options["job_id"])
            return answer

        provider.submit = answered

    def _name_writes(self, store: Any) -> None:
        """Remember in a thread which `Write` its next request carries out."""
        original = store.write

        def named(itself: Any, key: str, write: Write) -> Any:
            self._local.write = write.name
            return original(itself, key, write)

        store.write = named

    def _name(self, operation: str, parameters: Mapping[str, Any]) -> str:
        match operation:
            case "UpdateItem":
                return f"{self._roles[parameters['TableName']]}.{self._local.write}"
            case "BatchExecuteStatement":
                return "jobs.create"
            case "TransactWriteItems":
                return "batches.add_part"
            case "PutObject":
                return f"{self._roles[parameters['Bucket']]}.put{_kind_of_key(parameters['Key'])}"
            case "SendMessageBatch":
                kind = json.loads(parameters["Entries"][0]["MessageBody"]).get("kind")
                return f"{self._roles[parameters['QueueUrl']]}.send{f'_{kind}' if kind else ''}"
            case "ChangeMessageVisibilityBatch":
                return "lane.hide"
            case _:
                return operation

    def _pass(self, point: str, text: str) -> None:
        (self._directory / "passed" / f"{self._part}~{point}").touch()
        for file in (self._directory / "armed").iterdir():
            part, where, about, action = file.name.split("~")
            if (part, where) == (self._part, point) and self._concerns(about, text):
                self._happen(file, action, _JOB_ID.findall(text))

    def _concerns(self, about: str, text: str) -> bool:
        if about in text:
            return True
        return any(about in self._batch_of.get(job_id, "") for job_id in _JOB_ID.findall(text))

    def _happen(self, file: Path, action: str, jobs: list[str]) -> None:
        try:
            file.unlink()
        except FileNotFoundError:
            return
        known = {"pid": os.getpid(), "jobs": sorted(set(jobs)), "at": time.time()}
        fresh = self._directory / f"{file.name}.{os.getpid()}"
        fresh.write_text(json.dumps(known))
        fresh.rename(self._directory / "fired" / file.name)
        os.kill(os.getpid(), _SIGNALS[action])

    def _learn(self, answer: Mapping[str, Any]) -> None:
        """Which batch the jobs of an answer belong to."""
        for item in _items(answer):
            if "job_id" in item and "batch_id" in item:
                self._batch_of[item["job_id"]["S"]] = item["batch_id"]["S"]


def _items(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield answer.get("Attributes", {})
    responses = answer.get("Responses", {})
    if isinstance(responses, Mapping):
        for items in responses.values():
            yield from items


def _inserted(statement: Mapping[str, Any]) -> dict[str, Any]:
    """The item that a statement inserts."""
    return dict(zip(_FIELD.findall(statement["Statement"]), statement["Parameters"], strict=True))


def _kind_of_key(key: str) -> str:
    if key.startswith("jobs/"):
        return "_description"
    if "/manifest/" in key:
        return "_manifest"
    return "_results" if key.endswith("results.csv") else ""
