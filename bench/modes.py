"""Sync, poll and callback mode side by side: what Lambda bills and AWS is asked for, for each picture.

Three lanes of one stack differ in nothing but their mode. Each makes the same number of pictures at a provider that
takes a second for each, as FLUX.1 Schnell does, and at one that takes twenty, as larger models do. Billed time is
mostly waiting, which is the same on any machine; requests are counted on the wire.

Usage: python -m bench.modes
"""

from __future__ import annotations

import csv
import re
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.lambdas import Function, Usage, functions, redirect, usage
from bench.proxy import Tally, counting_proxy
from bench.report import save, show
from bench.usage_tables import by_service, poller_requests, requests, resource_names
from functions.core.catalog import CATALOG_FILE, Mode
from functions.core.lanes.control import account_rate
from functions.core.lanes.records import account_record
from ops import packaging, uploads
from ops.batches import is_complete
from ops.cli.local import show_step
from ops.following import follow
from ops.local.instance import LocalInstance
from ops.stack import Stack, local_stack

ROWS = 160
WARM_ROWS = 80
SIDE = 256
LATENCIES_SECONDS = (1.0, 20.0)
RATE_PER_MINUTE = 600_000

_MODEL = "flux-schnell"
_SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. `used` by function; `asked`: requests per picture by service, those of the pollers beside them."""

    mode: str
    latency: float
    seconds: float
    used: Mapping[str, Usage]
    asked: Mapping[str, float]

    def milliseconds(self, part: str) -> float:
        """Billed for each picture."""
        return self.used[part].milliseconds / ROWS

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        return {
            "mode": self.mode,
            "latency_seconds": self.latency,
            "seconds": round(self.seconds, 1),
            "billed_ms_per_picture": {part: round(self.milliseconds(part)) for part in self.used},
            "gb_seconds_per_1000": {part: round(one.gb_seconds * 1000 / ROWS, 1) for part, one in self.used.items()},
            "requests_per_picture": dict(self.asked),
            "poller_requests_per_picture": poller_requests(self.used, ROWS)["requests_per_row"],
        }


def main() -> None:
    """Run it, print the figures and write them."""
    with tempfile.TemporaryDirectory(prefix="imagebatch-bench-") as folder:
        directory = Path(folder)
        package = packaging.variant(directory / "package", three_modes(CATALOG_FILE.read_text(encoding="utf-8")))
        instance = LocalInstance.start(directory / "state", current=False, package=package, step=show_step)
        try:
            measured = _measure(instance, directory)
        finally:
            with show_step("Stopping the embedded AWS"):
                instance.stop()
    _report(measured)


def three_modes(catalog: str) -> str:
    """The catalog with the model once in each mode, named after it."""
    head, *tables = re.split(r"(?m)^(?=\[models\.)", catalog)
    entry = "".join(table for table in tables if re.match(rf"\[models\.{_MODEL}[].]", table))
    mode = tomllib.loads(catalog)["models"][_MODEL]["mode"]
    entries = (
        entry.replace(f"[models.{_MODEL}", f"[models.{name}").replace(f'mode = "{mode}"', f'mode = "{name}"')
        for name in Mode
    )
    return head + "\n".join(entries)


def _measure(instance: LocalInstance, directory: Path) -> list[Measured]:
    stack, tally = local_stack(instance), Tally()
    names = resource_names(instance.outputs())
    parts = functions(instance)
    measured = []
    with counting_proxy(instance.record.port, sorted({function.part for function in parts}), tally) as urls:
        for function in parts:
            redirect(instance, function, urls[function.part])
        for latency in LATENCIES_SECONDS:
            _behave(instance, latency)
            for mode in Mode:
                _run(stack, directory, mode, f"warm-{mode}-{latency:g}", WARM_ROWS)
                tally.requests.clear()
                began, begin = time.time(), time.monotonic()
                _run(stack, directory, mode, f"{mode}-{latency:g}", ROWS)
                seconds = time.monotonic() - begin
                time.sleep(_SETTLE_SECONDS)  # what is still under way belongs to this run
                asked = by_service(requests(tally, names, ROWS), ROWS)
                measured.append(Measured(mode, latency, seconds, _used(instance, parts, began), asked))
    return measured


def _behave(instance: LocalInstance, latency: float) -> None:
    """Let provider and account take as much as comes, and each picture take that long."""
    exactly = dict.fromkeys(("min", "mean", "max"), latency)
    behaviour = {"plan": {"images_per_minute": None, "concurrency": None}, "latency_seconds": exactly}
    url = f"{instance.record.sandbox_url}/_sandbox/behaviour"
    httpx.put(url, json=behaviour, trust_env=False).raise_for_status()
    local_stack(instance).lanes().write(account_record("wavespeed"), account_rate(RATE_PER_MINUTE))


def _run(stack: Stack, directory: Path, mode: str, name: str, rows: int) -> None:
    file = directory / f"{name}.csv"
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("prompt", "model", "width", "height"))
        writer.writerows((f"A speckled mug, picture {n} of {name}", mode, SIDE, SIDE) for n in range(rows))
    with show_step(f"{name}: {rows} rows"):
        *_, batch = follow(stack, uploads.upload(stack, file, file.name).batch_id, every_seconds=0.25)
    assert batch is not None, "a batch that is followed ends"
    assert is_complete(batch), f"{name} has not a picture for every row: {batch.succeeded} of {rows}"


def _used(instance: LocalInstance, parts: tuple[Function, ...], since: float) -> dict[str, Usage]:
    total: dict[str, Usage] = {}
    for function in parts:
        total[function.part] = total.get(function.part, Usage()) + usage(instance, function, since, time.time())
    return total


def _report(measured: list[Measured]) -> None:
    services = sorted({service for one in measured for service in one.asked})
    lines = [
        (
            one.mode,
            f"{one.latency:g}",
            *(f"{one.milliseconds(part):.0f}" for part in ("worker", "completion")),
            f"{sum(used.gb_seconds for used in one.used.values()) * 1000 / ROWS:.0f}",
            *(f"{one.asked.get(service, 0):.2f}" for service in services),
            f"{poller_requests(one.used, ROWS)['requests_per_row']:.2f}",
        )
        for one in measured
    ]
    head = ("mode", "s a picture", "worker ms", "completion ms", "GB-s per 1,000", *services, "pollers")
    show(f"For each of {ROWS} pictures: Lambda milliseconds billed, AWS requests", head, lines, 1)
    save("modes", {"rows": ROWS, "side": SIDE, "runs": [one.to_json() for one in measured]})


if __name__ == "__main__":
    main()
