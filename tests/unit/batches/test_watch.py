"""Open batches are looked after: when nothing is heard of them, at their deadline, at the end of their seven days."""

from __future__ import annotations

from functions.core.batches.messages import Tick
from functions.core.batches.records import BatchState
from functions.core.batches.recount import SILENCE_SECONDS
from functions.core.batches.watch import LIFE_SECONDS
from functions.core.jobs.records import State
from functions.core.keys import results_key
from functions.core.messages import dump
from tests.fakes.plant import Plant

HOUR = 3600


def test_a_batch_with_progress_is_left_alone_by_the_tick(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    plant.clock.pass_time(SILENCE_SECONDS - 1)
    plant.reports.send([dump(Tick())])
    plant.report(1)
    assert plant.reports.messages == []
    assert plant.batch(batch_id).checked_at == ""


def test_a_batch_that_only_waits_for_a_person_is_recounted_less_and_less_often(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    for job_id in jobs:
        plant.end_job(job_id, State.HELD)
    plant.track()
    plant.report()
    looks = 0
    for _ in range(24 * 60):
        plant.clock.pass_time(60)
        plant.reports.send([dump(Tick())])
        plant.report(1)
        looks += len(plant.reports.messages)
        plant.report()
    assert 3 <= looks <= 14
    assert plant.batch(batch_id).is_open


def half_split() -> tuple[Plant, str]:
    """A batch of two rows; the message that the second was to be split by is lost."""
    plant = Plant(chunk_rows=1)
    batch_id = plant.upload("a.csv", "prompt\ncat\ndog\n")
    plant.split(2)
    plant.intake.messages.clear()
    return plant, batch_id


def test_a_chunk_whose_message_was_lost_is_sent_again() -> None:
    plant, batch_id = half_split()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    plant.heal()
    assert plant.batch(batch_id).succeeded == 2


def test_past_its_deadline_a_batch_publishes_what_it_has_and_goes_on(plant: Plant) -> None:
    batch_id, (first, second, third) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    plant.track()
    plant.clock.pass_time(6 * HOUR)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.late, batch.is_open, batch.results_key) == (True, True, results_key(batch_id))
    assert [line["status"] for line in plant.results(batch_id)] == ["success", "pending", "pending"]
    plant.end_job(second, State.SUCCESS)
    plant.end_job(third, State.SUCCESS)
    plant.track()
    plant.report()
    assert plant.batch(batch_id).state is BatchState.COMPLETED
    assert plant.batch(batch_id).late
    assert {line["status"] for line in plant.results(batch_id)} == {"success"}


def test_past_its_deadline_a_batch_publishes_once(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.clock.pass_time(6 * HOUR)
    plant.tick()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.end_job(first, State.SUCCESS)
    plant.track()
    plant.tick()
    assert {line["status"] for line in plant.results(batch_id)} == {"pending"}


def test_a_batch_without_a_part_publishes_nothing_and_is_still_looked_after(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split(1)
    plant.intake.messages.clear()
    plant.clock.pass_time(6 * HOUR)
    plant.tick()
    plant.close(batch_id)
    batch = plant.batch(batch_id)
    assert (batch.late, batch.results_key, results_key(batch_id) in plant.metadata.objects) == (False, "", False)
    plant.split(2)
    assert plant.batch(batch_id).rows == 1, "the lost chunk was sent again"
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    assert plant.batch(batch_id).late
    assert [line["status"] for line in plant.results(batch_id)] == ["pending"]


def test_after_seven_days_jobs_that_nobody_started_expire_and_the_batch_ends(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    plant.clock.pass_time(LIFE_SECONDS)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded, batch.failed) == (BatchState.COMPLETED, 1, 2)
    assert [line["error_class"] for line in plant.results(batch_id)] == ["", "expired", "expired"]


def test_a_job_that_a_younger_batch_waits_for_does_not_expire(plant: Plant) -> None:
    batch_id, _ = plant.begin(rows=1)
    plant.clock.pass_time(LIFE_SECONDS - HOUR)
    younger = plant.upload("b.csv", "prompt\ncat 0\n")
    plant.split()
    plant.clock.pass_time(HOUR)
    plant.lane.messages.clear()
    plant.tick()
    assert plant.batch(batch_id).is_open
    plant.heal()
    assert (plant.batch(batch_id).succeeded, plant.batch(younger).succeeded) == (1, 1)


def test_after_seven_days_held_jobs_keep_no_batch_open(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    for job_id in jobs:
        plant.end_job(job_id, State.HELD)
    plant.clock.pass_time(LIFE_SECONDS)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.held) == (BatchState.COMPLETED, 3)


def test_a_paid_job_that_nobody_fetched_is_held_when_its_batch_ends(plant: Plant) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    plant.jobs.records[first] |= {"attempt_count": 1, "stage": "accepted", "reference": "p1"}
    plant.clock.pass_time(LIFE_SECONDS)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.held, batch.failed) == (BatchState.COMPLETED, 1, 0)
    (line,) = plant.results(batch_id)
    assert (line["status"], line["error_class"], line["cost_usd"]) == ("held", "expired", "")


def test_a_file_of_which_nothing_was_read_in_seven_days_has_no_results(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split(1)
    plant.intake.messages.clear()
    plant.clock.pass_time(LIFE_SECONDS)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.results_key) == (BatchState.REJECTED, "")
    assert results_key(batch_id) not in plant.metadata.objects


def test_a_file_that_could_not_be_split_in_seven_days_ends_as_rejected_with_what_there_is() -> None:
    plant, batch_id = half_split()
    plant.clock.pass_time(LIFE_SECONDS)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows) == (BatchState.REJECTED, 1)
    assert "seven days" in batch.reason
    assert len(plant.results(batch_id)) == 1
