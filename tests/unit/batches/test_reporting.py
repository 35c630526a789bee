"""A batch comes to its end: by an exact recount, and never by hoping that every message arrived."""

from __future__ import annotations

import pytest

from functions.core.batches.records import CLOSED, BatchState
from functions.core.batches.recount import SILENCE_SECONDS, MissingJobError
from functions.core.batches.reporting import RECOUNT_SECONDS
from functions.core.errors import ErrorClass
from functions.core.jobs.records import State
from functions.core.keys import results_key
from tests.fakes.plant import PRICE, Plant, counters


def test_a_batch_is_not_closed_while_a_job_is_unfinished_whatever_the_counters_say(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0, "running": 0}
    plant.close(batch_id)
    assert plant.batch(batch_id).is_open
    assert results_key(batch_id) not in plant.metadata.objects


def test_the_close_overwrites_counters_that_went_wrong(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    for job_id in jobs:
        plant.end_job(job_id, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0, "running": -4, "succeeded": 99, "jobs": 1, "cost_usd": PRICE}
    plant.close(batch_id)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.listing, batch.results_key) == (BatchState.COMPLETED, CLOSED, results_key(batch_id))
    assert {name: number for name, number in counters(batch).items() if number} == {
        "rows": 3,
        "requested": 3,
        "jobs": 3,
        "succeeded": 3,
        "cost_usd": 3 * PRICE,
    }


def test_a_closed_batch_and_its_results_do_not_change(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    for job_id in jobs:
        plant.end_job(job_id, State.FAILED)
    plant.track()
    plant.report()
    before = dict(plant.batches.records[batch_id]), plant.metadata.objects[results_key(batch_id)]
    plant.upload("b.csv", plant.inbox.objects["a.csv"])
    plant.heal()
    plant.close(batch_id)
    plant.tick()
    assert (plant.batches.records[batch_id], plant.metadata.objects[results_key(batch_id)]) == before


def test_a_batch_of_bad_rows_only_closes_with_its_problems(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt,seed\n,1\ncat,x\n")
    plant.split()
    plant.report()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows, batch.invalid_rows, batch.jobs) == (BatchState.COMPLETED, 2, 2, 0)
    assert [line["status"] for line in plant.results(batch_id)] == ["invalid", "invalid"]


def test_held_jobs_alone_keep_a_batch_open_with_its_results_published(plant: Plant) -> None:
    batch_id, (first, second, third) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    plant.end_job(second, State.FAILED)
    plant.end_job(third, State.HELD, ErrorClass.AMBIGUOUS)
    plant.track()
    plant.report()
    batch = plant.batch(batch_id)
    assert (batch.is_open, batch.held, batch.late) == (True, 1, False)
    assert batch.results_key
    assert [line["status"] for line in plant.results(batch_id)] == ["success", "failed", "held"]


def test_one_recount_has_a_batch_for_itself_and_the_next_follows_it(plant: Plant) -> None:
    batch_id, (first, *others) = plant.begin()
    for job_id in others:
        plant.end_job(job_id, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0}

    def another_recount() -> None:
        plant.end_job(first, State.SUCCESS)
        plant.close(batch_id)
        assert plant.batch(batch_id).is_open

    plant.jobs.after_reading = [another_recount]
    plant.close(batch_id)
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_a_recount_that_died_keeps_others_away_only_for_a_while(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    for job_id in jobs:
        plant.end_job(job_id, State.SUCCESS)
    plant.track()
    plant.batches.records[batch_id] |= {"recount_until": plant.clock.now_ms() + RECOUNT_SECONDS * 1000}
    plant.close(batch_id)
    assert plant.batch(batch_id).is_open
    plant.heal()
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_a_recount_that_fails_leaves_no_results_and_lets_the_next_one_in(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    for job_id in jobs:
        plant.end_job(job_id, State.SUCCESS)
    gone = plant.jobs.records.pop(jobs[1])
    plant.track()
    with pytest.raises(MissingJobError):
        plant.report()
    assert results_key(batch_id) not in plant.metadata.objects
    plant.jobs.records[jobs[1]] = gone
    plant.close(batch_id)
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_progress_that_went_wrong_is_put_right_when_nothing_moves(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    plant.jobs.stream.clear()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.pending, batch.succeeded, batch.jobs) == (2, 1, 3)


def test_progress_is_not_overwritten_while_the_stream_may_still_add_to_it(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0}
    plant.close(batch_id)
    assert plant.batch(batch_id).succeeded == 0
