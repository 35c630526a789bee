"""What was logged: by the processes of this machine, and by the functions to CloudWatch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from bench.lambdas import functions
from tests.e2e.pipeline import Pipeline


def logs(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    """Everything that was logged, by the name of its file or its stream."""
    for path in sorted((pipeline.instance.state.path / "logs").iterdir()):
        yield path.name, path.read_text(errors="replace")
    client = pipeline.instance.session().client("logs")
    groups = client.get_paginator("describe_log_groups").paginate().build_full_result()["logGroups"]
    for group in groups:
        yield from _streams(client, group["logGroupName"])


def events(pipeline: Pipeline, part: str) -> list[dict[str, Any]]:
    """The structured lines of what is one thing in imagebatch, such as "worker"; each process's in its order."""
    client = pipeline.instance.session().client("logs")
    found = []
    for group in (one.log_group for one in functions(pipeline.instance) if one.part == part):
        for line in (line for _, text in _streams(client, group) for line in text.splitlines()):
            with suppress(ValueError):
                found.append(json.loads(line))
    return [line for line in found if isinstance(line, dict)]


def refused_callbacks(pipeline: Pipeline) -> Counter[str]:
    """The metric CallbacksRefused by its dimension `reason`, as the lines in embedded metric format say."""
    counted: Counter[str] = Counter()
    for line in events(pipeline, "completion"):
        if "CallbacksRefused" in line:
            (directive,) = line["_aws"]["CloudWatchMetrics"]
            (dimensions,) = directive["Dimensions"]
            assert (directive["Namespace"], set(dimensions)) == ("imagebatch", {"reason", "service"})
            counted[line["reason"]] += int(sum(line["CallbacksRefused"]))
    return counted


def _streams(client: Any, group: str) -> Iterator[tuple[str, str]]:
    try:
        streams = client.get_paginator("describe_log_streams").paginate(logGroupName=group).build_full_result()
    except client.exceptions.ResourceNotFoundException:  # the function has not run yet
        return
    for stream in (stream["logStreamName"] for stream in streams["logStreams"]):
        lines = client.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
        yield f"{group}/{stream}", "\n".join(line["message"] for line in lines)
