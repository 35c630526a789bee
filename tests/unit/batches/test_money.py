"""What the results say a batch cost is what its record says, whatever became of its jobs."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from functions.core.batches.counting import exactly
from functions.core.batches.recount import Recount, Truth
from functions.core.jobs import lifecycle, operator
from functions.core.jobs.records import State
from functions.core.keys import results_key
from tests.fakes.batches import MemoryUpload
from tests.fakes.lives import something_happens
from tests.fakes.plant import PRICE, Plant

ROWS = ("cat", "dog", "owl")


def recount(plant: Plant, batch_id: str) -> Truth:
    """Count a batch and publish the results as they are."""
    upload = MemoryUpload(plant.metadata, results_key(batch_id))
    batch, now_ms = plant.batch(batch_id), plant.clock.now_ms()
    counting = Recount(
        batches=plant.batches,
        jobs=plant.jobs,
        metadata=plant.metadata,
        catalog=plant.catalog,
        log=lambda event, **fields: None,
        batch=batch,
        now_ms=now_ms,
        expire=False,
        partly=True,
    )
    truth = counting.run(upload)
    upload.finish()
    return truth


def costs(plant: Plant, batch_id: str) -> list[str]:
    return [line["cost_usd"] for line in plant.results(batch_id)]


def total(plant: Plant, batch_id: str) -> Decimal:
    return sum((Decimal(cost or 0) for cost in costs(plant, batch_id)), Decimal(0))


@given(st.data())
def test_the_cost_column_adds_up_to_the_batchs_cost_whatever_happens_to_its_jobs(data: st.DataObject) -> None:
    plant = Plant()
    batches: list[str] = []
    for number in range(data.draw(st.integers(1, 4))):
        rows = data.draw(st.lists(st.sampled_from(ROWS), min_size=1, max_size=4))
        batches.append(plant.upload(f"{number}.csv", "prompt\n" + "".join(f"{row}\n" for row in rows)))
        plant.split()
        for _ in range(data.draw(st.integers(0, 12))):
            something_happens(plant, data.draw(st.sampled_from(sorted(plant.jobs.records))), data)
        plant.track()
    for batch_id in batches:
        truth = exactly(recount(plant, batch_id).counts)
        batch = plant.batch(batch_id)
        assert total(plant, batch_id) == truth["cost_usd"] == batch.cost_usd
        assert truth["repaid"] == batch.repaid
    paid = sum((plant.job(job_id).cost_usd or Decimal(0) for job_id in plant.jobs.records), Decimal(0))
    assert sum((plant.batch(batch_id).cost_usd for batch_id in batches), Decimal(0)) == paid


def test_what_a_held_job_has_cost_so_far_is_in_its_line(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\ndog\ncat\n")
    plant.split()
    cat, dog = plant.jobs.records
    plant.end_job(cat, State.HELD)
    plant.jobs.write(cat, lifecycle.count_payment(plant.job(cat), "p1", PRICE, 0))
    plant.end_job(dog, State.HELD)
    plant.track()
    recount(plant, batch_id)
    assert costs(plant, batch_id) == ["0.003", "", "0"]
    assert plant.batch(batch_id).cost_usd == PRICE


def test_a_picture_that_was_paid_for_twice_costs_twice(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    (cat,) = plant.jobs.records
    plant.end_job(cat, State.HELD)
    plant.jobs.write(cat, operator.resubmit(plant.job(cat), repays=True, price_usd=PRICE, now_ms=0))
    plant.call_back(cat, reference="p1")
    plant.jobs.write(cat, lifecycle.count_payment(plant.job(cat), "p2", PRICE, 0))
    plant.track()
    plant.report()
    batch = plant.batch(batch_id)
    assert not batch.is_open
    assert (batch.repaid, batch.cost_usd, costs(plant, batch_id)) == (1, 2 * PRICE, ["0.006"])
