"""A job that was given up on succeeds after all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.batches.records import BatchState
from functions.core.batches.watch import LIFE_SECONDS
from functions.core.errors import ErrorClass
from functions.core.jobs.records import State
from functions.core.keys import results_key
from tests.fakes.plant import PRICE, Plant


@pytest.mark.parametrize("ended", [State.HELD, State.FAILED])
def test_late_truth_counts_while_the_batch_is_open(plant: Plant, ended: State) -> None:
    batch_id, (first, second, third) = plant.begin()
    plant.end_job(first, ended, ErrorClass.AMBIGUOUS)
    plant.end_job(second, State.HELD, ErrorClass.AMBIGUOUS)
    plant.end_job(third, State.SUCCESS)
    plant.track()
    plant.report()
    assert plant.batch(batch_id).is_open
    assert [line["status"] for line in plant.results(batch_id)] == [ended, "held", "success"]
    plant.call_back(first)
    plant.track()
    plant.report()
    assert (plant.batch(batch_id).is_open, plant.batch(batch_id).succeeded) == (True, 2)
    plant.call_back(second, reference="p2")
    plant.track()
    plant.report()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded, batch.failed, batch.held) == (BatchState.COMPLETED, 3, 0, 0)
    assert batch.cost_usd == 3 * PRICE
    assert [(line["status"], line["error"]) for line in plant.results(batch_id)] == [("success", "")] * 3


@pytest.mark.parametrize("ended", [State.HELD, State.FAILED])
def test_late_truth_finds_a_closed_batch_as_it_was_and_the_picture_is_there_for_the_next(
    plant: Plant, ended: State
) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    plant.end_job(first, ended, ErrorClass.AMBIGUOUS)
    plant.track()
    plant.clock.pass_time(LIFE_SECONDS)
    plant.tick()
    assert not plant.batch(batch_id).is_open
    before = dict(plant.batches.records[batch_id]), plant.metadata.objects[results_key(batch_id)]
    plant.call_back(first)
    plant.track()
    plant.report()
    plant.tick()
    assert (plant.batches.records[batch_id], plant.metadata.objects[results_key(batch_id)]) == before
    again = plant.upload("b.csv", plant.inbox.objects["a.csv"])
    plant.heal()
    batch = plant.batch(again)
    assert (batch.succeeded, batch.duplicates_prevented, batch.cost_usd) == (1, 1, Decimal(0))


def test_late_truth_during_a_recount_makes_no_wrong_numbers(plant: Plant) -> None:
    batch_id, (first, second) = plant.begin(rows=2)
    plant.end_job(first, State.FAILED, ErrorClass.AMBIGUOUS)
    plant.end_job(second, State.SUCCESS)
    plant.track()

    def callback() -> None:
        plant.call_back(first)
        plant.track()

    plant.jobs.after_reading = [callback]
    plant.report()
    batch = plant.batch(batch_id)
    assert batch.state is BatchState.COMPLETED
    assert [line["status"] for line in plant.results(batch_id)].count("success") == batch.succeeded
    assert batch.cost_usd == batch.succeeded * PRICE
