"""imagebatch at a pace: a stack of its own on the embedded AWS, with a catalog that knows the limit or does not."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.pace_ledger import Provider
from functions.core.catalog import CATALOG_FILE
from ops import packaging, uploads
from ops.batches import get_batch
from ops.cli.local import show_step
from ops.local.instance import LocalInstance
from ops.stack import Stack, local_stack

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MODEL = "flux-schnell"
SIDE = 256
"""Pictures are as small as the model takes them: drawing and storing them is not what is measured."""

FEWEST_WORKERS = 2
"""A mapping's MaximumConcurrency is not less."""

CONCURRENCY = 3_000


@dataclass(frozen=True, slots=True)
class Workers:
    """How many invocations of the lane's worker run at a time.

    By the mapping's MaximumConcurrency, which is what is turned in AWS and is 2 at least, and by the function's
    reservation, which makes one worker of two.
    """

    client: LambdaClient
    mapping: str
    function: str

    @classmethod
    def of(cls, instance: LocalInstance) -> Workers:
        """Those of the instance's stack."""
        lane = json.loads(instance.outputs()["Lanes"])[MODEL]
        return cls(instance.session().client("lambda"), lane["mapping"], lane["function"])

    def set(self, workers: int) -> None:
        """Let so many run from now on."""
        self.keep(workers)
        self.client.put_function_concurrency(FunctionName=self.function, ReservedConcurrentExecutions=workers)

    def keep(self, workers: int) -> None:
        """Turn the mapping back if the stack has turned it to what it takes to be needed."""
        most = max(FEWEST_WORKERS, workers)
        found = self.client.get_event_source_mapping(UUID=self.mapping)
        if found.get("ScalingConfig", {}).get("MaximumConcurrency") != most:
            self.client.update_event_source_mapping(UUID=self.mapping, ScalingConfig={"MaximumConcurrency": most})


@dataclass(frozen=True, slots=True)
class LaneRun:
    """A running stack whose lane has work to do."""

    stack: Stack
    workers: Workers
    provider: Provider
    batch_id: str

    def pictures(self) -> int:
        """How many are made."""
        batch = get_batch(self.stack, self.batch_id)
        return batch.succeeded if batch else 0


@contextmanager
def lane_at_work(
    directory: Path, *, told: int | None, limit: int | None, latency: Mapping[str, float], workers: int, rows: int
) -> Iterator[LaneRun]:
    """A new stack with a batch of so many rows, whose provider enforces a limit; it is stopped in the end.

    Args:
        directory: an empty one.
        told: the limit that is in the catalog, in calls a minute; None leaves it to the lane to find out.
        limit: what the provider lets through in a minute; None is unlimited.
        latency: the provider's, as its behaviour takes it.
        workers: invocations at a time.
        rows: of the batch, each a picture that nobody asked for before.
    """
    text = paced(CATALOG_FILE.read_text(encoding="utf-8"), told, max(workers, FEWEST_WORKERS))
    package = packaging.variant(directory / "package", text)
    instance = LocalInstance.start(directory / "state", current=False, package=package, step=show_step)
    try:
        provider = Provider(str(instance.record.sandbox_url))
        provider.enforce(limit, latency, CONCURRENCY)
        stack = local_stack(instance)
        file = write_rows(directory / "rows.csv", rows)
        turned = Workers.of(instance)
        turned.set(workers)
        yield LaneRun(stack, turned, provider, uploads.upload(stack, file, file.name).batch_id)
    finally:
        with show_step("Stopping the embedded AWS"):
            instance.stop()


def paced(catalog: str, limit: int | None, workers: int) -> str:
    """The catalog with a plan of that limit, or without any, and with so many workers that poll for their pictures.

    Polling, since a callback is an invocation more for each picture, and everything shares this machine.
    """
    if limit is None:
        catalog = re.sub(r"(?m)^plan = .*\n", "", catalog)
    else:
        plan = f"bench = {{ images = {limit}, seconds = 60, concurrency = {CONCURRENCY} }}"
        catalog = re.sub(r"(?m)^plan = .*$", 'plan = "bench"', catalog)
        catalog = re.sub(r"(?m)^(\[plans\.\w+\])$", rf"\1\n{plan}", catalog)
    catalog = re.sub(r"(?m)^workers = .*$", f"workers = {workers}", catalog)
    return re.sub(r"(?m)^mode = .*$", 'mode = "poll"', catalog)


def write_rows(file: Path, rows: int) -> Path:
    """A CSV of so many rows, each with a prompt of its own."""
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("id", "prompt", "width", "height"))
        writer.writerows((f"{n:06d}", f"A speckled mug, {n}", SIDE, SIDE) for n in range(rows))
    return file
