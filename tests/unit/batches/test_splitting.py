"""A file becomes jobs, a manifest and doorbells; run twice, or stopped anywhere and run again, it is the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.batches.messages import Chunk, Scan
from functions.core.batches.records import BatchState
from functions.core.messages import dump
from tests.fakes.plant import FILE, PRICE, Plant, counters


def run_through(plant: Plant) -> str:
    batch_id = plant.upload("a.csv", FILE)
    plant.heal()
    return batch_id


def outcome(plant: Plant, batch_id: str) -> object:
    """What people and the provider's bill get to see."""
    jobs = {job_id: (record["state"], record["batch_id"]) for job_id, record in plant.jobs.records.items()}
    attempts = {record["attempt_count"] for record in plant.jobs.records.values()}
    batch = plant.batch(batch_id)
    return batch.state, counters(batch), plant.results(batch_id), jobs, attempts


UNDISTURBED = Plant(chunk_rows=3)


EXPECTED = outcome(UNDISTURBED, run_through(UNDISTURBED))


def test_the_counters_of_a_closed_batch_are_those_of_its_rows() -> None:
    plant = Plant(chunk_rows=3)
    batch = plant.batch(run_through(plant))
    assert batch.state is BatchState.COMPLETED
    assert counters(batch) == {
        "rows": 7,
        "invalid_rows": 1,
        "requested": 7,
        "jobs": 5,
        "pending": 0,
        "running": 0,
        "held": 0,
        "succeeded": 5,
        "failed": 0,
        "repaid": 0,
        "duplicates_prevented": 2,
        "cost_usd": 5 * PRICE,
    }


def calls_of_a_run(part_jobs: int) -> range:
    """Every call to a store or queue that a run makes, by number."""
    plant = Plant(chunk_rows=3, part_jobs=part_jobs)
    plant.crashes.countdown = far = 10_000
    run_through(plant)
    return range(1, far - plant.crashes.countdown + 1)


WHOLE_CHUNKS, SEVERAL_PARTS = 10_000, 2


@pytest.mark.parametrize(
    ("part_jobs", "call"), [(jobs, call) for jobs in (WHOLE_CHUNKS, SEVERAL_PARTS) for call in calls_of_a_run(jobs)]
)
def test_dying_after_any_call_to_a_store_or_queue_changes_nothing(part_jobs: int, call: int) -> None:
    plant = Plant(chunk_rows=3, part_jobs=part_jobs)
    plant.crashes.countdown = call
    assert outcome(plant, run_through(plant)) == EXPECTED


@given(st.data())
def test_messages_that_come_twice_in_any_order_change_nothing(data: st.DataObject) -> None:
    plant = Plant(chunk_rows=data.draw(st.integers(1, 4)), part_jobs=data.draw(st.integers(1, 9)))
    batch_id = plant.upload("a.csv", FILE)
    for _ in range(40):
        if not plant.intake.messages:
            break
        plant.intake.messages = data.draw(st.permutations(plant.intake.messages))
        body, _ = plant.intake.messages.pop(0)
        for _ in range(data.draw(st.integers(1, 2))):
            plant.handle_intake(body)
        if data.draw(st.booleans()):
            plant.work()
        if data.draw(st.booleans()):
            plant.track()
    plant.heal()
    assert outcome(plant, batch_id) == EXPECTED


@given(st.data())
def test_messages_that_are_lost_heal(data: st.DataObject) -> None:
    plant = Plant(chunk_rows=data.draw(st.integers(1, 9)), part_jobs=data.draw(st.integers(1, 9)))
    batch_id = plant.upload("a.csv", FILE)
    plant.split(1)
    for _ in range(data.draw(st.integers(1, 8))):
        for queue in (plant.intake, plant.lane, plant.reports):
            queue.messages = [one for one in queue.messages if data.draw(st.booleans())]
        plant.jobs.stream = plant.jobs.stream[: data.draw(st.integers(0, len(plant.jobs.stream)))]
        plant.split(1)
        plant.work()
        plant.track()
        plant.report(1)
    plant.heal()
    assert outcome(plant, batch_id) == EXPECTED


def test_a_scan_sends_a_chunk_again_if_the_rest_of_it_was_lost() -> None:
    plant = Plant(chunk_rows=4, part_jobs=2)
    batch_id = plant.upload("a.csv", FILE)
    plant.split(2)
    plant.intake.messages.clear()
    plant.handle_intake(dump(Scan(batch_id, "a.csv", "v1", 0, 1, 1)))
    assert [one.row for one in plant.sent(Chunk)] == [1, 5], "of the first there is a part, but not of all its rows"
    plant.split()
    assert plant.batch(batch_id).whole
    plant.heal()
    assert outcome(plant, batch_id) == EXPECTED
