"""The functions of a stack on the embedded AWS: what they did, and where they find AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.local.instance import LocalInstance

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import FunctionConfigurationTypeDef

_REPORT = re.compile(r"^REPORT RequestId: \S+\tDuration: (\d+(?:\.\d+)?) ms")


@dataclass(frozen=True, slots=True)
class Function:
    """A deployed function. `part` is what it is in imagebatch, as "worker"."""

    part: str
    name: str
    log_group: str
    memory_mb: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Usage:
    """What Lambda would bill a function for."""

    invocations: int = 0
    milliseconds: float = 0.0
    gb_seconds: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        """The usage of two functions together."""
        return Usage(
            self.invocations + other.invocations,
            self.milliseconds + other.milliseconds,
            self.gb_seconds + other.gb_seconds,
        )


def functions(instance: LocalInstance) -> tuple[Function, ...]:
    """The functions of the instance's stack."""
    pages = instance.session().client("lambda").get_paginator("list_functions").paginate()
    return tuple(_function(one) for page in pages for one in page["Functions"])


def redirect(instance: LocalInstance, function: Function, endpoint_url: str) -> None:
    """Let a function reach AWS through this URL. Its processes are started anew by it."""
    instance.session().client("lambda").update_function_configuration(
        FunctionName=function.name,
        Environment={"Variables": {**function.environment, "AWS_ENDPOINT_URL": endpoint_url}},
    )


def usage(instance: LocalInstance, function: Function, since: float, until: float) -> Usage:
    """The invocations that ended in an interval (epoch seconds), by the REPORT lines of the function's log."""
    durations = list(_durations(instance, function, since, until))
    milliseconds = sum(durations)
    return Usage(len(durations), milliseconds, milliseconds / 1000 * function.memory_mb / 1024)


def _durations(instance: LocalInstance, function: Function, since: float, until: float) -> Iterator[float]:
    client = instance.session().client("logs")
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=function.log_group, startTime=int(since * 1000), endTime=int(until * 1000)
    )
    for page in pages:
        for event in page["events"]:
            if found := _REPORT.match(event["message"]):
                yield float(found[1])


def _function(found: FunctionConfigurationTypeDef) -> Function:
    name = found["FunctionName"]
    return Function(
        part=found["Handler"].split(".")[1],
        name=name,
        log_group=found.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{name}",
        memory_mb=found["MemorySize"],
        environment=found.get("Environment", {}).get("Variables", {}),
    )
