"""Guardrails on a stack of their own, whose alarms look at ten seconds: what they see are metrics that have come in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from functions.adapters.attribute_values import to_item
from functions.core.batches.records import BatchState
from functions.core.keys import batch_id_for
from functions.core.lanes.records import minute_record
from ops.batches import get_batch
from ops.local.instance import LocalInstance
from tests.conftest import CONTEXT
from tests.e2e.pipeline import PRICE, Pipeline, file_of

MODEL = "flux-schnell"
ALARM_SECONDS = "10"
FULL = 8
"""The lane's workers while nothing holds it back, as the catalog has them."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    directory = tmp_path_factory.mktemp("guarded")
    context = {**CONTEXT, "alarm_seconds": ALARM_SECONDS}
    instance = LocalInstance.start(directory, context=context, current=False)
    try:
        yield Pipeline.of(instance)
    finally:
        instance.stop()


def workers(pipeline: Pipeline) -> int:
    """The MaximumConcurrency of the lane's mapping."""
    functions = pipeline.stack.lambda_()
    mapping = functions.get_event_source_mapping(UUID=pipeline.stack.lane_mappings[MODEL])
    return int(mapping["ScalingConfig"]["MaximumConcurrency"])


def takes_files(pipeline: Pipeline) -> bool:
    mapping = pipeline.stack.lambda_().get_event_source_mapping(UUID=pipeline.stack.intake_mapping)
    return mapping["State"] in ("Enabled", "Enabling")


def tick(pipeline: Pipeline) -> None:
    """What the rule sends every minute, sooner."""
    functions = pipeline.stack.lambda_()
    name = next(
        one["FunctionName"]
        for page in functions.get_paginator("list_functions").paginate()
        for one in page["Functions"]
        if "GovernorFunction" in one["FunctionName"]
    )
    answer = functions.invoke(FunctionName=name, Payload=json.dumps({"kind": "tick"}).encode())
    assert "FunctionError" not in answer, answer["Payload"].read()


def lanes(pipeline: Pipeline) -> dict[str, Any]:
    """What `imagebatch lanes --json` prints."""
    document: dict[str, Any] = json.loads(pipeline.imagebatch("lanes", "--json"))
    return document


class Uploads:
    """Work that goes on coming."""

    ROWS = 10
    EVERY_SECONDS = 3.0

    def __init__(self, pipeline: Pipeline) -> None:
        self.batches: list[str] = []
        self._pipeline, self._next = pipeline, 0.0

    def more(self) -> bool:
        """Upload another file if it is time to."""
        if time.monotonic() >= self._next:
            number, self._next = len(self.batches), time.monotonic() + self.EVERY_SECONDS
            prompts = (f"kettle {row} of {number}" for row in range(self.ROWS))
            self.batches.append(self._pipeline.put(f"kettles-{number}.csv", file_of(prompts)))
        return True


def an_hour_ago(pipeline: Pipeline) -> None:
    """Let what the lane did so far have been a while ago."""
    dynamodb, table = pipeline.stack.dynamodb(), pipeline.stack.lanes_table
    prefix = minute_record(MODEL, 0).removesuffix("0")
    for item in dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]:
        name = item["name"]["S"]
        if name.startswith(prefix):
            earlier = minute_record(MODEL, int(name.removeprefix(prefix)) - 30)
            dynamodb.put_item(TableName=table, Item={**item, **to_item({"name": earlier})})
            dynamodb.delete_item(TableName=table, Key={"name": item["name"]})


@pytest.mark.timeout(420)
def test_a_provider_that_fails_is_asked_by_half_as_many_workers_and_by_all_again_when_it_is_well(
    guarded: Pipeline,
) -> None:
    guarded.behave()
    tick(guarded)
    assert workers(guarded) == FULL

    guarded.behave(faults={"submit_500_before": 1.0})
    uploads = Uploads(guarded)
    guarded.wait_for(lambda: uploads.more() and workers(guarded) == FULL // 2, lambda: "half of the workers", 90)
    (lane,) = lanes(guarded)["lanes"]
    assert lane["state"] == "slowed"

    guarded.behave()
    whole = guarded.put("whole.csv", file_of(f"a whole kettle {n}" for n in range(40)))
    assert guarded.ended(whole).succeeded == 40

    def restored() -> bool:
        tick(guarded)
        return workers(guarded) == FULL

    guarded.wait_for(restored, lambda: "all workers", 240)
    (lane,) = lanes(guarded)["lanes"]
    assert lane["state"] in ("idle", "running")
    # None of the calls that failed had arrived: each is made once more when that is known.
    assert all(guarded.ended(batch_id, 240).succeeded == Uploads.ROWS for batch_id in uploads.batches)
    assert set(guarded.charges().values()) == {1}


@pytest.mark.timeout(420)
def test_pictures_that_become_dear_stop_the_intake_and_nothing_is_lost(guarded: Pipeline) -> None:
    guarded.behave()
    tick(guarded)
    cheap = guarded.put("cheap.csv", file_of(f"a cheap teapot {n}" for n in range(25)))
    assert guarded.ended(cheap).cost_usd == 25 * PRICE
    an_hour_ago(guarded)

    dearer = 3 * PRICE / 2
    guarded.behave(unit_price_usd=float(dearer))
    tick(guarded)
    dear = guarded.put("dear.csv", file_of(f"a dear teapot {n}" for n in range(25)))
    asked = guarded.wait_for(lambda: _paused(guarded, dear), lambda: "the batch to be asked about")
    assert "$0.0045" in asked
    assert guarded.sandbox.ledger()["summary"]["net_usd"] == 0

    guarded.imagebatch("resume", dear)
    assert guarded.ended(dear).cost_usd == 25 * dearer == guarded.net_usd()

    def stopped() -> bool:
        tick(guarded)
        return not takes_files(guarded)

    guarded.wait_for(stopped, lambda: "the intake to be stopped", 120)
    assert "cost more than before" in lanes(guarded)["intake"]["paused"]
    answer = guarded.stack.s3().put_object(
        Bucket=guarded.stack.inbox_bucket, Key="waiting.csv", Body=file_of(["a patient teapot"]).encode()
    )
    waiting = batch_id_for("waiting.csv", answer["VersionId"])
    tick(guarded)
    assert not takes_files(guarded)
    assert get_batch(guarded.stack, waiting) is None

    guarded.behave()
    tick(guarded)  # by which the old price is known again, at which the file that waits may begin
    guarded.imagebatch("resume", "--intake")
    done = guarded.ended(waiting)
    assert (done.state, done.succeeded) == (BatchState.COMPLETED, 1)
    tick(guarded)
    assert takes_files(guarded), "what was resumed stays so"


def _paused(pipeline: Pipeline, batch_id: str) -> str:
    batch = get_batch(pipeline.stack, batch_id)
    return batch.paused if batch else ""
