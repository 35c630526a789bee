"""The metrics bridge: makes metrics out of the log lines of the embedded AWS's functions, as CloudWatch does by itself.

A process without a port: ``python -m ops.local.metrics ENDPOINT_URL FILE SINCE_MS`` reads the functions' logs every
second or two through the API and puts what lines in the embedded metric format say as metrics. How far it has read is
kept in FILE, so that it may end and be started at any time: each line counts once, and twice at worst where it was
killed in between. Where FILE says nothing it begins at SINCE_MS.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ops.local.daemon import Daemon
from ops.local.embedded import ROOT
from ops.local.emf import MARK, collect, metric_data
from ops.local.session import EmbeddedSession
from ops.local.state import StateDirectory

BUSY_SECONDS = 1.0
IDLE_SECONDS = 2.0
"""Between two looks at the logs: after one that found something, and at most."""

FUNCTIONS_SECONDS = 5.0
"""How long the list of functions is believed."""

OVERLAP_MS = 10_000
"""A line may appear with a time that has been read past, if it took no longer than this."""

PATIENCE_SECONDS = 300.0
"""How long it waits for an embedded AWS that does not answer, before it ends."""

_PAGE = 10_000  # the most lines of an answer
_DATA = 1_000  # the most of a PutMetricData

_log = logging.getLogger("metrics")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a log group has been read: every line before `since_ms`, and of those since then the ones `seen`.

    Attributes:
        seen: how often each line was there, by its stream, time and text.
    """

    since_ms: int
    seen: Mapping[str, int]

    def advance(self, events: Sequence[Mapping[str, Any]], now_ms: int) -> tuple[Cursor, list[Mapping[str, Any]]]:
        """The cursor after these events, and which of them are new.

        Args:
            events: all since `since_ms`, oldest first, or as many as an answer holds.
            now_ms: when they were asked for.
        """
        there: Counter[str] = Counter()
        fresh = []
        for event in events:
            there[key := _key(event)] += 1
            if there[key] > self.seen.get(key, 0):
                fresh.append(event)
        full = len(events) >= _PAGE
        since = events[-1]["timestamp"] if full else max(self.since_ms, now_ms - OVERLAP_MS)
        return Cursor(since, {_key(one): there[_key(one)] for one in events if one["timestamp"] >= since}), fresh


class Bridge:
    """Reads logs and puts metrics.

    Args:
        session: of the embedded AWS.
        file: where it keeps how far it has read.
        since_ms: where the file says nothing, what was logged before is left out; epoch milliseconds.
    """

    def __init__(self, session: boto3.Session, file: Path, since_ms: int) -> None:
        client: Any = session.client
        once = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=30)
        self._logs = client("logs", config=once)
        self._functions = client("lambda", config=once)
        self._cloudwatch = client("cloudwatch", config=once)
        self._file, self._since_ms = file, since_ms
        self._cursors = _load(file)
        self._groups: list[str] = []
        self._listed_ms = -sys.maxsize

    def poll(self, now_ms: int) -> int:
        """Put the metrics of the lines that are new; how many there were.

        Raises:
            BotoCoreError, ClientError: the embedded AWS does not answer; what was not put is read again next time.
        """
        cursors, lines = dict(self._cursors), []
        for group in self._log_groups(now_ms):
            cursor = cursors.get(group) or Cursor(self._since_ms, {})
            cursors[group], fresh = cursor.advance(self._events(group, cursor.since_ms), now_ms)
            lines += [(event["message"], event["timestamp"]) for event in fresh]
        self._put(lines)
        if lines or cursors.keys() != self._cursors.keys():
            _save(self._file, cursors)
        self._cursors = cursors
        return len(lines)

    def _log_groups(self, now_ms: int) -> list[str]:
        if now_ms - self._listed_ms >= FUNCTIONS_SECONDS * 1000:
            pages = self._functions.get_paginator("list_functions").paginate()
            self._groups = sorted({_log_group(one) for page in pages for one in page["Functions"]})
            self._listed_ms = now_ms
        return self._groups

    def _events(self, group: str, since_ms: int) -> list[Mapping[str, Any]]:
        try:
            answer = self._logs.filter_log_events(logGroupName=group, startTime=since_ms, filterPattern=MARK)
        except self._logs.exceptions.ResourceNotFoundException:  # the function has not run yet
            return []
        events: list[Mapping[str, Any]] = answer["events"]
        return events

    def _put(self, lines: list[tuple[str, int]]) -> None:
        for namespace, data in metric_data(collect(lines)).items():
            for begin in range(0, len(data), _DATA):
                self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=data[begin : begin + _DATA])


def run(bridge: Bridge, ended: Event) -> None:
    """Poll until ``ended``, or until the embedded AWS has not answered for so long that it must be gone."""
    pause, answered = BUSY_SECONDS, time.monotonic()
    while not ended.wait(pause):
        try:
            found = bridge.poll(_now_ms())
        except (BotoCoreError, ClientError) as error:
            _log.warning("%s", error)
            if time.monotonic() - answered > PATIENCE_SECONDS:
                return
            pause = IDLE_SECONDS
        else:
            answered = time.monotonic()
            pause = BUSY_SECONDS if found else min(pause * 1.2, IDLE_SECONDS)


def metrics_bridge(state: StateDirectory) -> Daemon:
    """The metrics bridge of ``state``."""
    return Daemon("the metrics bridge", lock=state.lock("metrics"), log=state.log("metrics"))


def ensure_bridge(state: StateDirectory, endpoint_url: str, undo: ExitStack) -> None:
    """Let the metrics bridge follow the embedded AWS at this URL.

    Args:
        state: whose record still says where the embedded AWS was before, if anywhere.
        endpoint_url: where it is.
        undo: is told how to stop what this starts.

    Raises:
        LocalError: it cannot be started.
    """
    daemon, last = metrics_bridge(state), state.read()
    if last is not None and last.endpoint_url != endpoint_url:
        daemon.stop()
    if daemon.pid() is None:
        undo.callback(daemon.stop)
        arguments = [endpoint_url, str(state.path / "metrics.json"), str(_now_ms())]
        daemon.start(
            [sys.executable, "-m", "ops.local.metrics", *arguments],
            environment={"PATH": os.defpath, "HOME": str(state.path), "LANG": "C.UTF-8"},
            directory=ROOT,
        )


def main() -> None:
    """Follow the logs until SIGTERM, after which the poll that runs is finished."""
    endpoint_url, file, since_ms = sys.argv[1:]
    logging.basicConfig(format="%(asctime)s %(message)s")
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    run(Bridge(EmbeddedSession(endpoint_url), Path(file), int(since_ms)), ended)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _log_group(function: Mapping[str, Any]) -> str:
    return function.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{function['FunctionName']}"


def _key(event: Mapping[str, Any]) -> str:
    text = hashlib.blake2b(event["message"].encode(), digest_size=8).hexdigest()
    return f"{event['logStreamName']} {event['timestamp']} {text}"


def _load(file: Path) -> dict[str, Cursor]:
    """What :func:`_save` has kept; a damaged file is as none."""
    try:
        return {group: Cursor(**kept) for group, kept in json.loads(file.read_text()).items()}
    except (FileNotFoundError, AttributeError, TypeError, ValueError):
        return {}


def _save(file: Path, cursors: Mapping[str, Cursor]) -> None:
    kept = {group: {"since_ms": one.since_ms, "seen": dict(one.seen)} for group, one in cursors.items()}
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(json.dumps(kept))
    fresh.replace(file)


if __name__ == "__main__":
    main()
