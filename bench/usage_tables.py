"""The counted requests as figures: by function and operation for reading, by service per row for the price sheet."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.lambdas import Usage
from bench.proxy import Tally
from bench.report import Spread, show
from bench.wire import Call

_SQS_BATCH = 10
_WRITE_UNIT = 1024
_FED_BY_QUEUES = ("splitter", "worker", "reporter")


def resource_names(outputs: Mapping[str, str]) -> dict[str, str]:
    """What the stack's tables, buckets and queues are for, by their physical names."""
    names = {
        "InboxBucket": "inbox",
        "ImagesBucket": "images",
        "MetadataBucket": "metadata",
        "JobsTable": "jobs",
        "BatchesTable": "batches",
        "LanesTable": "lanes",
        "IntakeQueueUrl": "intake",
        "ReportsQueueUrl": "reports",
    }
    found = {outputs[output].rpartition("/")[2]: name for output, name in names.items()}
    lanes: dict[str, dict[str, str]] = json.loads(outputs["Lanes"])
    return found | {lane["queue_url"].rpartition("/")[2]: "lane" for lane in lanes.values()}


def requests(tally: Tally, names: Mapping[str, str], rows: int) -> list[dict[str, Any]]:
    """The counted requests by function, operation and resource, the most frequent first."""
    number: Counter[tuple[str, Call]] = Counter()
    items: Counter[tuple[str, Call]] = Counter()
    refused: Counter[tuple[str, Call]] = Counter()
    for (caller, call), count in tally.requests.items():
        key = (caller, Call(call.service, call.operation, names.get(call.resource, call.resource)))
        number[key] += count
        items[key] += count * call.items
        refused[key] += tally.refused[caller, call]
    return [
        {
            "function": caller,
            "service": call.service,
            "operation": call.operation,
            "on": call.resource,
            "requests": count,
            "items": items[caller, call],
            "refused": refused[caller, call],
            "per_row": round(count / rows, 4),
        }
        for (caller, call), count in number.most_common()
    ]


def show_requests(counted: Sequence[Mapping[str, Any]], rows: int) -> None:
    """Print them, and their sum."""
    texts, numbers = ("function", "service", "operation", "on"), ("requests", "items", "refused")
    lines = [(*(one[t] for t in texts), *(str(one[n]) for n in numbers), f"{one['per_row']:.3f}") for one in counted]
    total = [sum(one[name] for one in counted) for name in numbers]
    lines.append(("all", "", "", "", *map(str, total), f"{total[0] / rows:.3f}"))
    show(f"AWS requests of the functions for {rows} rows, counted on the wire", (*texts, *numbers, "per row"), lines, 4)


def by_service(counted: Sequence[Mapping[str, Any]], rows: int) -> dict[str, float]:
    """Requests per row by service."""
    total: Counter[str] = Counter()
    for one in counted:
        total[one["service"]] += one["requests"]
    return {service: round(count / rows, 4) for service, count in total.most_common()}


def poller_requests(used: Mapping[str, Usage], rows: int) -> dict[str, Any]:
    """What AWS would bill for taking messages off the queues: a receive and a delete for each invocation."""
    invocations = {part: used[part].invocations for part in _FED_BY_QUEUES}
    return {
        "how": "computed: one ReceiveMessage and one DeleteMessageBatch for each invocation that a queue feeds; "
        "receives that find a queue empty are a stack's standing cost and left out",
        "invocations": invocations,
        "rows_per_worker_invocation": round(rows / invocations["worker"], 2),
        "requests_per_row": round(2 * sum(invocations.values()) / rows, 4),
        "requests_per_row_with_full_batches": 2 / _SQS_BATCH,
    }


def lambda_usage(batches: Sequence[Mapping[str, Usage]], rows: int) -> dict[str, dict[str, float]]:
    """Invocations, seconds and GB-seconds per 1,000 rows by function: the median of several batches."""
    per = 1000 / rows

    def middle(values: Sequence[float], digits: int) -> float:
        return round(Spread(tuple(values)).median * per, digits)

    return {
        part: {
            "invocations": middle([batch[part].invocations for batch in batches], 0),
            "seconds": middle([batch[part].milliseconds / 1000 for batch in batches], 2),
            "gb_seconds": middle([batch[part].gb_seconds for batch in batches], 3),
        }
        for part in batches[0]
    }


def show_lambda_usage(used: Mapping[str, Mapping[str, float]]) -> None:
    """Print it."""
    lines = [
        (part, f"{one['invocations']:.0f}", f"{one['seconds']:.1f}", f"{one['gb_seconds']:.2f}")
        for part, one in used.items()
    ]
    show("Lambda per 1,000 rows, warm; durations are this machine's", ("function", "invocations", "s", "GB-s"), lines)


def write_units(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How large finished records of the jobs table are: each write of one costs a unit for each 1,024 bytes begun."""
    sizes = Spread(tuple(float(item_size(item)) for item in items))
    return {"bytes": sizes.median, "largest": max(sizes.values), "write_units": math.ceil(sizes.median / _WRITE_UNIT)}


def item_size(item: Mapping[str, Any]) -> int:
    """Bytes of an item, as DynamoDB counts them (a number's are an estimate there too).

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return math.ceil(len(content.strip("-0.")) / 2) + 1
        case "SS":
            return sum(len(member.encode()) for member in content)
        case "M":
            return 3 + len(content) + item_size(content)
        case "L":
            return 3 + len(content) + sum(map(_value_size, content))
        case _:
            return 1
