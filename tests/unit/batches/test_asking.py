"""A batch asks for its jobs: it makes those that are new and joins the others, of itself or of other batches."""

from __future__ import annotations

from functions.core.batches.records import BatchState
from functions.core.errors import ErrorClass
from functions.core.jobs.records import State
from tests.fakes.plant import FILE, PRICE, Plant


def test_the_same_file_sent_twice_costs_nothing_the_second_time() -> None:
    plant = Plant(chunk_rows=3)
    plant.upload("a.csv", FILE)
    plant.heal()
    again = plant.upload("a.csv", FILE, version="v2")
    plant.heal()
    batch = plant.batch(again)
    assert (batch.jobs, batch.succeeded, batch.requested, batch.duplicates_prevented) == (5, 5, 7, 7)
    assert batch.cost_usd == 0
    assert {line["cost_usd"] for line in plant.results(again)} == {"0", ""}
    assert {record["attempt_count"] for record in plant.jobs.records.values()} == {1}


def test_a_batch_whose_jobs_had_all_ended_closes_without_any_job_changing() -> None:
    plant = Plant(chunk_rows=3)
    plant.upload("a.csv", FILE)
    plant.heal()
    again = plant.upload("a.csv", FILE, version="v2")
    plant.split()
    plant.report()
    assert plant.jobs.stream == []
    assert plant.batch(again).state is BatchState.COMPLETED


def test_two_batches_at_a_time_make_each_picture_once_and_both_have_it() -> None:
    plant = Plant(chunk_rows=3)
    first = plant.upload("a.csv", FILE)
    second = plant.upload("b.csv", FILE)
    plant.heal()
    costs = [plant.batch(one).cost_usd for one in (first, second)]
    assert sum(costs) == 5 * PRICE
    assert [line["image"] for line in plant.results(first)] == [line["image"] for line in plant.results(second)]


def test_duplicates_are_counted_as_soon_as_they_are_known(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", FILE)
    plant.split()
    assert plant.batch(batch_id).duplicates_prevented == 2


def test_joining_waits_for_held_jobs_too(plant: Plant) -> None:
    plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    (job_id,) = plant.jobs.records
    plant.end_job(job_id, State.HELD)
    second = plant.upload("b.csv", "prompt\ncat\n")
    plant.split()
    plant.track()
    assert plant.batch(second).held == 1
    assert second in plant.job(job_id).batches


def fail_all(plant: Plant, text: str, error: ErrorClass) -> str:
    batch_id = plant.upload("a.csv", text)
    plant.split()
    for job_id in list(plant.jobs.records):
        plant.end_job(job_id, State.FAILED, error)
    plant.lane.messages.clear()
    plant.heal()
    return batch_id


def test_a_job_that_failed_for_a_passing_reason_gets_fresh_tries_from_the_next_batch(plant: Plant) -> None:
    failed = fail_all(plant, "prompt\ncat\n", ErrorClass.FUNDS)
    assert plant.batch(failed).failed == 1
    again = plant.upload("b.csv", "prompt\ncat\n")
    plant.heal()
    assert (plant.batch(again).succeeded, plant.batch(again).cost_usd) == (1, PRICE)
    assert plant.batch(failed).failed == 1, "a closed batch does not change"


def test_a_job_that_failed_for_good_fails_the_next_batch_at_once(plant: Plant) -> None:
    fail_all(plant, "prompt\ncat\n", ErrorClass.MODERATED)
    again = plant.upload("b.csv", "prompt\ncat\n")
    plant.heal()
    assert (plant.batch(again).failed, plant.batch(again).jobs) == (1, 1)
    (line,) = plant.results(again)
    assert (line["status"], line["error_class"]) == ("failed", "moderated")


def test_a_batch_does_not_revive_its_own_failures() -> None:
    plant = Plant(chunk_rows=1)
    plant.upload("a.csv", "prompt\ncat\ncat\n")
    plant.split(2)
    (job_id,) = plant.jobs.records
    plant.end_job(job_id, State.FAILED)
    plant.heal()
    assert plant.job(job_id).state is State.FAILED


def test_a_job_that_ends_while_it_is_joined_is_counted_as_ended(plant: Plant) -> None:
    plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    (job_id,) = plant.jobs.records
    plant.jobs.before["join"] = [lambda: plant.end_job(job_id, State.SUCCESS)]
    second = plant.upload("b.csv", "prompt\ncat\n")
    plant.split()
    batch = plant.batch(second)
    assert (batch.jobs, batch.succeeded, batch.pending) == (1, 1, 0)


def test_a_job_that_ended_while_it_was_joined_is_not_rung(plant: Plant) -> None:
    plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    plant.lane.messages.clear()
    (job_id,) = plant.jobs.records
    plant.jobs.before["join"] = [lambda: plant.end_job(job_id, State.SUCCESS)]
    plant.upload("b.csv", "prompt\ncat\n")
    plant.split()
    assert plant.lane.messages == []
