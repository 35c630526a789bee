"""1,000 rows through the embedded AWS, against a provider without limits: rows per second, and what AWS is asked for.

The rate is that of this machine, which runs everything: the embedded AWS, the functions, the provider that draws. The
requests per row are not: the functions would ask a real AWS for the same.

Usage: python -m bench.throughput
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.lambdas import Function, Usage, functions, redirect, usage
from bench.proxy import Tally, counting_proxy
from bench.report import Spread, save, say, show
from bench.usage_tables import (
    by_service,
    lambda_usage,
    poller_requests,
    requests,
    resource_names,
    show_lambda_usage,
    show_requests,
    write_units,
)
from functions.core.batches.records import Batch
from functions.core.lanes.control import account_rate
from functions.core.lanes.records import account_record
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
"""The provider is done before the worker's first poll, so each picture takes one."""

RATE_PER_MINUTE = 600_000

_ACCOUNT = "wavespeed"
_POLL_SECONDS = 0.25
_SETTLE_SECONDS = 2.0
_RECORDS_SEEN = 100


@dataclass(frozen=True, slots=True)
class Timed:
    """One batch: seconds from the upload until all pictures were there, and until it was closed; when (epoch)."""

    pictures: float
    closed: float
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The timed batches with what their functions used, and the counted one."""

    timed: Sequence[Timed]
    used: Sequence[Mapping[str, Usage]]
    counted: Timed
    counted_used: Mapping[str, Usage]
    tally: Tally


def main() -> None:
    """Run it, print the figures and write them."""
    with tempfile.TemporaryDirectory(prefix="imagebatch-bench-") as folder:
        directory = Path(folder)
        instance = LocalInstance.start(directory / "state", current=False, step=show_step)
        try:
            lift_limits(instance)
            _report(instance, _measure(instance, directory))
        finally:
            with show_step("Stopping the embedded AWS"):
                instance.stop()


def lift_limits(instance: LocalInstance) -> None:
    """Let provider and account take as much as comes."""
    latency = dict.fromkeys(("min", "mean", "max"), LATENCY_SECONDS)
    behaviour = {"plan": {"images_per_minute": None, "concurrency": None}, "latency_seconds": latency}
    url = f"{instance.record.sandbox_url}/_sandbox/behaviour"
    httpx.put(url, json=behaviour, trust_env=False).raise_for_status()
    local_stack(instance).lanes().write(account_record(_ACCOUNT), account_rate(RATE_PER_MINUTE))


def run_batch(stack: Stack, directory: Path, name: str, rows: int) -> Timed:
    """Upload a file of so many rows, each a picture that nobody asked for before, and wait until it is closed."""
    file = directory / f"{name}.csv"
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("id", "prompt", "width", "height"))
        writer.writerows((f"{n:06d}", _prompt(name, n), SIDE, SIDE) for n in range(rows))
    with show_step(f"{name}: {rows} rows"):
        began, begin = time.time(), time.monotonic()
        upload = uploads.upload(stack, file, file.name)
        all_there: float | None = None
        batch: Batch | None = None
        for batch in follow(stack, upload.batch_id, every_seconds=_POLL_SECONDS):
            if batch and batch.succeeded == rows and all_there is None:
                all_there = time.monotonic() - begin
        closed, ended = time.monotonic() - begin, time.time()
        time.sleep(_SETTLE_SECONDS)  # what is still under way belongs to this batch
    assert batch is not None, "a batch that is followed ends"
    assert is_complete(batch), f"{name} has not a picture for every row: {batch.succeeded} of {rows}"
    assert batch.cost_usd > 0, f"{name} was paid for before"
    return Timed(all_there or closed, closed, began, ended + _SETTLE_SECONDS)


def _prompt(name: str, number: int) -> str:
    """Different for each row, and about as long as those of events/products.csv."""
    return f"A speckled stoneware mug on a linen cloth, soft morning light, picture {number} of {name}"


def _measure(instance: LocalInstance, directory: Path) -> Measured:
    """A warm-up, the timed batches, and one whose requests are counted, from cold functions on."""
    stack, parts, tally = local_stack(instance), functions(instance), Tally()
    run_batch(stack, directory, "warm-up", WARM_ROWS)
    timed = [run_batch(stack, directory, f"timed-{number}", ROWS) for number in range(1, TIMED_BATCHES + 1)]
    with counting_proxy(instance.record.port, sorted({function.part for function in parts}), tally) as urls:
        for function in parts:
            redirect(instance, function, urls[function.part])
        counted = run_batch(stack, directory, "counted", ROWS)
    return Measured(
        timed, [_used(instance, parts, one) for one in timed], counted, _used(instance, parts, counted), tally
    )


def _used(instance: LocalInstance, parts: Sequence[Function], timed: Timed) -> dict[str, Usage]:
    total: dict[str, Usage] = {}
    for function in parts:
        total[function.part] = total.get(function.part, Usage()) + usage(instance, function, timed.begin, timed.end)
    return total


def _report(instance: LocalInstance, measured: Measured) -> None:
    outputs = instance.outputs()
    rates = Spread(tuple(ROWS / one.pictures for one in measured.timed))
    walls = Spread(tuple(one.closed for one in measured.timed))
    counted = requests(measured.tally, resource_names(outputs), ROWS)
    used = lambda_usage(measured.used, ROWS)
    pollers = poller_requests(measured.counted_used, ROWS)
    records = instance.session().client("dynamodb").scan(TableName=outputs["JobsTable"], Limit=_RECORDS_SEEN)["Items"]
    figures: dict[str, Any] = {
        "rows": ROWS,
        "side": SIDE,
        "provider": {"latency_seconds": LATENCY_SECONDS, "limits": None},
        "rows_per_second": rates.to_json(1),
        "seconds_to_closed": walls.to_json(1),
        "seconds_to_closed_counted": round(measured.counted.closed, 1),
        "requests_per_row": by_service(counted, ROWS),
        "requests": counted,
        "poller_requests": pollers,
        "lambda_per_1000_rows": used,
        "job_record": write_units(records),
    }
    lines = (
        ("rows per second until the last picture", rates.shown(1)),
        ("seconds from the upload to the closed batch", walls.shown(1)),
        ("the same through the counting proxy, from cold functions", f"{measured.counted.closed:.1f}"),
    )
    show(f"{ROWS} rows of {SIDE}×{SIDE}, {len(measured.timed)} batches", ("", "median (min – max)"), lines)
    show_requests(counted, ROWS)
    show_lambda_usage(used)
    services = ", ".join(f"{service} {number:.3f}" for service, number in figures["requests_per_row"].items())
    say(f"Requests per row on the wire: {services}.")
    say(
        f"Computed, since they are not on that wire: {pollers['requests_per_row']:.3f} SQS requests per row by pollers."
    )
    say(f"A finished job's record has {figures['job_record']['bytes']:.0f} bytes.")
    save("throughput", figures)


if __name__ == "__main__":
    main()
