"""1,000 rows through the embedded AWS, against a provider without limits: rows per second, and what AWS is asked for.

The rate is that of this machine, which runs everything: the embedded AWS, the functions, the provider that draws. The
requests per row are not: the functions would ask a real AWS the same.

Usage: python -m bench.throughput
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.lambdas import Function, Usage, functions, redirect, settle, usage
from bench.proxy import Tally, counting_proxy
from bench.report import Spread, save, say, show
from bench.wire import Call
from functions.core.batches import Batch
from functions.core.pacing import account_record
from ops import uploads
from ops.batches import is_complete
from ops.cli.local import show_step
from ops.following import follow
from ops.local.instance import LocalInstance
from ops.stack import Stack, local_stack

ROWS = 1_000
WARM_ROWS = 100
TIMED_BATCHES = 3
SIDE = 256
"""Pictures are as small as the model takes them: drawing, which is the provider's work, is not what is measured."""

LATENCY_SECONDS = 0.1
"""The provider is done before the worker's first poll."""

RATE_PER_MINUTE = 600_000

_ACCOUNT = "wavespeed"
_POLL_SECONDS = 0.25
_SQS_BATCH = 10


@dataclass(frozen=True, slots=True)
class Timed:
    """One batch: seconds from the upload until all pictures were there, and until it was closed; when (epoch)."""

    pictures: float
    closed: float
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Counted:
    """What one batch asked AWS for."""

    timed: Timed
    tally: Tally
    used: Mapping[str, Usage]


def main() -> None:
    """Run it: a warm-up, some timed batches, and one whose requests are counted."""
    with tempfile.TemporaryDirectory(prefix="imagebatch-bench-") as folder:
        directory = Path(folder)
        instance = LocalInstance.start(directory / "state", current=False, step=show_step)
        try:
            lift_limits(instance)
            stack, parts = local_stack(instance), functions(instance)
            run_batch(stack, directory, "warm-up", WARM_ROWS)
            timed = [run_batch(stack, directory, f"timed-{number}", ROWS) for number in range(TIMED_BATCHES)]
            settle()
            billed = [_usage(instance, parts, one) for one in timed]
            counted = _count(instance, stack, directory, parts)
            _report(instance, timed, billed, counted)
        finally:
            with show_step("Stopping the embedded AWS"):
                instance.stop()


def lift_limits(instance: LocalInstance) -> None:
    """Let provider and account take as much as comes."""
    latency = {"min": LATENCY_SECONDS, "mean": LATENCY_SECONDS, "max": LATENCY_SECONDS}
    behaviour = {"plan": {"images_per_minute": None, "concurrency": None}, "latency_seconds": latency}
    url = f"{instance.record.sandbox_url}/_sandbox/behaviour"
    httpx.put(url, json=behaviour, trust_env=False).raise_for_status()
    instance.session().client("dynamodb").put_item(
        TableName=instance.outputs()["LanesTable"],
        Item={"name": {"S": account_record(_ACCOUNT)}, "rate_per_minute": {"N": str(RATE_PER_MINUTE)}},
    )


def run_batch(stack: Stack, directory: Path, name: str, rows: int) -> Timed:
    """Upload a file of so many rows, each a picture that nobody asked for before, and wait until it is closed."""
    file = directory / f"{name}.csv"
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("id", "prompt", "width", "height"))
        writer.writerows((f"{n:06d}", f"A plain mug, picture {n} of {name}", SIDE, SIDE) for n in range(rows))
    with show_step(f"{name}: {rows} rows"):
        began, begin = time.time(), time.monotonic()
        upload = uploads.upload(stack, file, file.name)
        all_there: float | None = None
        batch: Batch | None = None
        for batch in follow(stack, upload.batch_id, every_seconds=_POLL_SECONDS):
            if batch and batch.succeeded == rows and all_there is None:
                all_there = time.monotonic() - begin
        closed = time.monotonic() - begin
    assert batch is not None, "a batch that is followed ends"
    assert is_complete(batch), f"{name} has not a picture for every row: {batch.succeeded} of {rows}"
    assert batch.succeeded == rows, f"{name} has {batch.succeeded} pictures for {rows} rows"
    assert all_there is not None, "what is complete has been counted"
    return Timed(all_there, closed, began, time.time())


def _count(instance: LocalInstance, stack: Stack, directory: Path, parts: tuple[Function, ...]) -> Counted:
    """A batch with all the functions' requests going through the counting proxy, from cold functions on."""
    tally = Tally()
    callers = sorted({function.part for function in parts})
    with counting_proxy(instance.record.port, callers, tally) as urls:
        for function in parts:
            redirect(instance, function, urls[function.part])
        timed = run_batch(stack, directory, "counted", ROWS)
        settle()
    return Counted(timed, tally, _usage(instance, parts, timed))


def _usage(instance: LocalInstance, parts: tuple[Function, ...], timed: Timed) -> dict[str, Usage]:
    total: dict[str, Usage] = {}
    for function in parts:
        one, so_far = usage(instance, function, timed.begin, timed.end), total.get(function.part, Usage(0, 0.0, 0.0))
        total[function.part] = Usage(
            so_far.invocations + one.invocations,
            so_far.milliseconds + one.milliseconds,
            so_far.gb_seconds + one.gb_seconds,
        )
    return total


def _report(instance: LocalInstance, timed: list[Timed], billed: Sequence[Mapping[str, Usage]], counted: Counted) -> None:
    rates = Spread(tuple(ROWS / one.pictures for one in timed))
    walls = Spread(tuple(one.closed for one in timed))
    show(
        f"{ROWS} rows, {SIDE}×{SIDE}, {TIMED_BATCHES} batches in a row",
        ("", "median (min – max)"),
        (
            ("rows per second until the last picture", rates.shown(1)),
            ("seconds from the upload to the closed batch", walls.shown(1)),
            ("the same through the counting proxy", f"{counted.timed.closed:.1f}"),
        ),
    )
    names = _resources(instance)
    requests = _requests(counted.tally, names)
    _show_requests(requests)
    pollers = _pollers(counted.used)
    functions_used = {part: _usage_per_row([one[part] for one in billed]) for part in billed[0]}
    show(
        "Lambda, per 1,000 rows (durations of this machine, cold starts included)",
        ("function", "invocations", "billed s", "GB-s"),
        [
            (part, f"{one['invocations']:.0f}", f"{one['seconds']:.1f}", f"{one['gb_seconds']:.2f}")
            for part, one in functions_used.items()
        ],
    )
    per_row = {
        service: round(sum(r["requests"] for r in requests if r["service"] == service) / ROWS, 4)
        for service in sorted({r["service"] for r in requests})
    }
    say(f"On the wire per row: {', '.join(f'{service} {number:.3f}' for service, number in per_row.items())}.")
    say(f"Computed, not on that wire: {pollers['requests_per_row']:.3f} SQS requests per row by Lambda's pollers.")
    save(
        "throughput",
        {
            "rows": ROWS,
            "side": SIDE,
            "provider": {"latency_seconds": LATENCY_SECONDS, "limits": None},
            "rows_per_second": rates.to_json(1),
            "seconds_to_closed": walls.to_json(1),
            "seconds_to_closed_through_the_proxy": round(counted.timed.closed, 1),
            "requests_per_row": per_row,
            "requests": requests,
            "computed_poller_requests": pollers,
            "lambda_per_1000_rows": functions_used,
        },
    )


def _requests(tally: Tally, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The counted requests by function, operation and resource, the most frequent first."""
    items: Counter[tuple[str, Call]] = Counter()
    requests: Counter[tuple[str, Call]] = Counter()
    refused: Counter[tuple[str, Call]] = Counter()
    for (caller, call), number in tally.requests.items():
        key = (caller, Call(call.service, call.operation, names.get(call.resource, call.resource)))
        requests[key] += number
        items[key] += number * call.items
        refused[key] += tally.refused[caller, call]
    return [
        {
            "function": caller,
            "service": call.service,
            "operation": call.operation,
            "resource": call.resource,
            "requests": number,
            "items": items[caller, call],
            "refused": refused[caller, call],
            "per_row": round(number / ROWS, 4),
        }
        for (caller, call), number in requests.most_common()
    ]


def _show_requests(requests: list[dict[str, Any]]) -> None:
    rows = [
        (
            *(str(one[name]) for name in ("function", "service", "operation", "resource")),
            *(str(one[name]) for name in ("requests", "items", "refused")),
            f"{one['per_row']:.3f}",
        )
        for one in requests
    ]
    total = [sum(one[name] for one in requests) for name in ("requests", "items", "refused")]
    rows.append(("all", "", "", "", *map(str, total), f"{total[0] / ROWS:.3f}"))
    columns = ("function", "service", "operation", "on", "requests", "items", "refused", "per row")
    show(f"AWS requests of the functions for {ROWS} rows, counted on the wire", columns, rows, names=4)


def _pollers(used: Mapping[str, Usage]) -> dict[str, Any]:
    """What AWS would bill for taking messages off the queues: a receive and a delete for each invocation."""
    fed_by_queues = {part: used[part].invocations for part in ("splitter", "worker", "reporter")}
    return {
        "how": "computed: one ReceiveMessage and one DeleteMessageBatch for each invocation that a queue feeds; "
        "receives that find a queue empty are the stack's standing cost and left out",
        "invocations": fed_by_queues,
        "rows_per_worker_invocation": round(ROWS / fed_by_queues["worker"], 2),
        "requests_per_row": round(2 * sum(fed_by_queues.values()) / ROWS, 4),
        "requests_per_row_with_full_batches": round(2 / _SQS_BATCH, 4),
    }


def _usage_per_row(runs: list[Usage]) -> dict[str, float]:
    """The middle one of several runs of 1,000 rows."""
    return {
        "invocations": Spread(tuple(float(one.invocations) for one in runs)).median,
        "seconds": round(Spread(tuple(one.milliseconds / 1000 for one in runs)).median, 2),
        "gb_seconds": round(Spread(tuple(one.gb_seconds for one in runs)).median, 3),
    }


def _resources(instance: LocalInstance) -> dict[str, str]:
    """What the stack's tables, buckets and queues are for, by their physical names."""
    outputs = instance.outputs()
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


if __name__ == "__main__":
    main()
