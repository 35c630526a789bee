"""Doorbells and stream records are lost: the minute tick sees that nothing moves, and the recount puts it right.

Nobody waits here for the minutes after which something counts as silent: the records' times are set back instead.
"""

from __future__ import annotations

import pytest

from functions.adapters.attribute_values import to_item
from functions.core.batches.records import BATCH_ITEM, BatchState
from tests.e2e.pipeline import CANARY, PRICE, Pipeline, file_of


def test_lost_doorbells_are_rung_again_after_the_next_tick(pipeline: Pipeline) -> None:
    prompts = [f"{CANARY} unheard {number}" for number in range(7)]
    with pipeline.without(pipeline.lane()["mapping"]):
        batch_id = pipeline.put("unheard.csv", file_of(prompts))
        pipeline.lose_doorbells(count=7)
    pipeline.wait_for(lambda: pipeline.batch(batch_id).pending == 7, lambda: "the jobs to be counted")
    assert pipeline.charges().total() == 0

    pipeline.pass_time(batch_id)
    pipeline.tick()
    batch = pipeline.ended(batch_id)

    assert (batch.state, batch.succeeded, batch.cost_usd) == (BatchState.COMPLETED, 7, 7 * PRICE)
    assert [row["prompt"] for row in pipeline.results(batch_id)] == prompts
    assert pipeline.charges().total() == 7


def test_a_batch_whose_stream_is_lost_closes_exactly_and_late_records_change_nothing(pipeline: Pipeline) -> None:
    with pipeline.without(stream_mapping(pipeline)):
        batch_id = pipeline.put("uncounted.csv", file_of([f"{CANARY} uncounted {number}" for number in range(6)]))
        pipeline.wait_for(
            lambda: [job["state"] for job in pipeline.jobs(batch_id)] == ["success"] * 6, lambda: "6 pictures"
        )
        pipeline.pass_time(batch_id)
        pipeline.tick()
        batch = pipeline.ended(batch_id)

    counted = pipeline.recount(batch_id)
    assert counted == {name: getattr(batch, name) for name in counted}
    assert (batch.state, batch.succeeded, batch.cost_usd) == (BatchState.COMPLETED, 6, 6 * PRICE)
    # The stream is read in its order: once a later batch is counted, so is all that came before.
    pipeline.ended(pipeline.put("later.csv", file_of([f"{CANARY} later"])))
    assert pipeline.batch(batch_id) == batch


@pytest.mark.parametrize("counter", ["pending", "running"])
def test_a_counter_that_missed_a_record_is_put_right_by_the_recount(pipeline: Pipeline, counter: str) -> None:
    file = file_of([f"{CANARY} missed {counter} {number}" for number in range(3)])
    with pipeline.without(pipeline.lane()["mapping"]):
        batch_id = pipeline.put("missed.csv", file)
        pipeline.wait_for(lambda: pipeline.visible_messages() == 3, lambda: "3 doorbells")
        pipeline.stack.dynamodb().update_item(
            TableName=pipeline.stack.batches_table,
            Key=to_item({"batch_id": batch_id, "item": BATCH_ITEM}),
            UpdateExpression=f"ADD {counter} :one",
            ExpressionAttributeValues=to_item({":one": 1}),
        )
    pipeline.wait_for(lambda: pipeline.batch(batch_id).succeeded == 3, lambda: "3 pictures to be counted")
    assert pipeline.batch(batch_id).is_open

    pipeline.pass_time(batch_id)
    pipeline.tick()

    assert (pipeline.ended(batch_id).pending, pipeline.batch(batch_id).running) == (0, 0)
    assert [row["status"] for row in pipeline.results(batch_id)] == ["success"] * 3


def stream_mapping(pipeline: Pipeline) -> str:
    """The event source mapping from the jobs table's stream to the tracker."""
    table = pipeline.stack.dynamodb().describe_table(TableName=pipeline.stack.jobs_table)["Table"]
    functions = pipeline.instance.session().client("lambda")
    (mapping,) = functions.list_event_source_mappings(EventSourceArn=table["LatestStreamArn"])["EventSourceMappings"]
    return str(mapping["UUID"])
