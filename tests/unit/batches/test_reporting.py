"""A batch comes to its end: by an exact recount, and never by hoping that every message arrived."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.batches import changes as batch_changes
from functions.core.batches.records import CLOSED, BatchState
from functions.core.batches.recount import SILENCE_SECONDS, MissingJobError
from functions.core.batches.watch import LIFE_SECONDS
from functions.core.catalog import parse_catalog
from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Stage, State
from functions.core.keys import results_key
from functions.core.messages import Close, Ring, Tick, dump, parse_intake
from tests.fakes.plant import CATALOG, LEASE_MS, MODEL, PRICE, Plant, counters

HOUR = 3600


@pytest.fixture
def plant() -> Plant:
    return Plant()


def begin(plant: Plant, rows: int = 3) -> tuple[str, list[str]]:
    """A batch whose jobs are rung and counted; nothing is in any queue."""
    batch_id = plant.upload("a.csv", "prompt\n" + "".join(f"cat {number}\n" for number in range(rows)))
    plant.split()
    plant.track()
    for queue in (plant.lane, plant.reports, plant.intake):
        queue.messages.clear()
    return batch_id, list(plant.jobs.records)


def tick(plant: Plant) -> None:
    plant.reports.send([dump(Tick())])
    plant.report()


def close(plant: Plant, batch_id: str) -> None:
    plant.reports.send([dump(Close(batch_id))])
    plant.report()


def test_a_batch_is_not_closed_while_a_job_is_unfinished_whatever_the_counters_say(plant: Plant) -> None:
    batch_id, (first, *_) = begin(plant)
    plant.end_job(first, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0, "running": 0}
    close(plant, batch_id)
    assert plant.batch(batch_id).is_open
    assert results_key(batch_id) not in plant.metadata.objects


def test_the_close_overwrites_counters_that_went_wrong(plant: Plant) -> None:
    batch_id, jobs = begin(plant)
    for job_id in jobs:
        plant.end_job(job_id, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0, "running": -4, "succeeded": 99, "jobs": 1, "cost_usd": PRICE}
    close(plant, batch_id)
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
    batch_id, jobs = begin(plant)
    for job_id in jobs:
        plant.end_job(job_id, State.FAILED)
    plant.track()
    plant.report()
    before = dict(plant.batches.records[batch_id]), plant.metadata.objects[results_key(batch_id)]
    plant.upload("b.csv", plant.inbox.objects["a.csv"])
    plant.heal()
    close(plant, batch_id)
    tick(plant)
    assert (plant.batches.records[batch_id], plant.metadata.objects[results_key(batch_id)]) == before


def test_one_recount_has_a_batch_for_itself_and_the_next_follows_it(plant: Plant) -> None:
    batch_id, (first, *others) = begin(plant)
    for job_id in others:
        plant.end_job(job_id, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0}
    read = plant.jobs.get_many

    def read_too_early(job_ids: list[str], *, consistent: bool) -> object:
        plant.jobs.get_many = read  # type: ignore[method-assign]
        seen = read(job_ids, consistent=consistent)
        plant.end_job(first, State.SUCCESS)
        close(plant, batch_id)
        return seen

    plant.jobs.get_many = read_too_early  # type: ignore[method-assign,assignment]
    close(plant, batch_id)
    plant.report()
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_a_recount_that_died_keeps_others_away_only_for_a_while(plant: Plant) -> None:
    batch_id, jobs = begin(plant)
    for job_id in jobs:
        plant.end_job(job_id, State.SUCCESS)
    plant.jobs.stream.clear()
    plant.batches.records[batch_id] |= {"recount_until": plant.clock.now_ms() + 660_000}
    plant.heal()
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_held_jobs_alone_keep_a_batch_open_with_its_results_published(plant: Plant) -> None:
    batch_id, (first, second, third) = begin(plant)
    plant.end_job(first, State.SUCCESS)
    plant.end_job(second, State.FAILED)
    plant.end_job(third, State.HELD, ErrorClass.AMBIGUOUS)
    plant.track()
    plant.report()
    batch = plant.batch(batch_id)
    assert (batch.is_open, batch.held, batch.late) == (True, 1, False)
    assert batch.results_key
    assert [line["status"] for line in plant.results(batch_id)] == ["success", "failed", "held"]


def test_a_batch_that_only_waits_for_a_person_is_recounted_less_and_less_often(plant: Plant) -> None:
    batch_id, jobs = begin(plant)
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


def test_past_its_deadline_a_batch_publishes_what_it_has_and_goes_on(plant: Plant) -> None:
    batch_id, (first, second, third) = begin(plant)
    plant.end_job(first, State.SUCCESS)
    plant.track()
    plant.clock.pass_time(6 * HOUR)
    tick(plant)
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


def test_a_batch_without_a_part_publishes_nothing_and_is_still_looked_after() -> None:
    plant = Plant()
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split(1)
    plant.intake.messages.clear()
    plant.clock.pass_time(6 * HOUR)
    tick(plant)
    close(plant, batch_id)
    batch = plant.batch(batch_id)
    assert (batch.late, batch.results_key, results_key(batch_id) in plant.metadata.objects) == (False, "", False)
    plant.split(2)
    assert plant.batch(batch_id).rows == 1, "the lost chunk was sent again"
    plant.clock.pass_time(SILENCE_SECONDS)
    tick(plant)
    assert plant.batch(batch_id).late
    assert [line["status"] for line in plant.results(batch_id)] == ["pending"]


def test_a_file_of_which_nothing_was_read_in_seven_days_has_no_results(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split(1)
    plant.intake.messages.clear()
    plant.clock.pass_time(LIFE_SECONDS)
    tick(plant)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.results_key) == (BatchState.REJECTED, "")
    assert results_key(batch_id) not in plant.metadata.objects


def test_a_lost_chain_heals_while_another_models_chain_lives() -> None:
    catalog = parse_catalog(CATALOG + CATALOG[CATALOG.index("[models") :].replace(MODEL, "slow"))
    plant = Plant(catalog=catalog)
    batch_id = plant.upload("a.csv", "prompt,model\ncat,slow\ndog,\n")
    plant.split()
    plant.track()
    plant.intake.messages.clear()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.batches.write(batch_id, batch_changes.rung(["slow"], plant.clock.now_ms()))
    tick(plant)
    rings = [parse_intake(body)[0] for body in plant.intake.bodies]
    assert [ring.model for ring in rings if isinstance(ring, Ring)] == [MODEL]


def test_a_paid_job_that_nobody_fetched_is_held_when_its_batch_ends(plant: Plant) -> None:
    batch_id, (first,) = begin(plant, rows=1)
    plant.jobs.records[first] |= {"attempt_count": 1, "stage": "accepted", "reference": "p1"}
    plant.clock.pass_time(LIFE_SECONDS)
    tick(plant)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.held, batch.failed) == (BatchState.COMPLETED, 1, 0)
    (line,) = plant.results(batch_id)
    assert (line["status"], line["error_class"], line["cost_usd"]) == ("held", "expired", "")


def test_past_its_deadline_a_batch_publishes_once(plant: Plant) -> None:
    batch_id, (first, *_) = begin(plant)
    plant.clock.pass_time(6 * HOUR)
    tick(plant)
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.end_job(first, State.SUCCESS)
    plant.track()
    tick(plant)
    assert {line["status"] for line in plant.results(batch_id)} == {"pending"}


def test_a_lost_doorbell_is_rung_again(plant: Plant) -> None:
    batch_id, jobs = begin(plant)
    plant.clock.pass_time(SILENCE_SECONDS)
    tick(plant)
    plant.split()
    assert len(plant.lane.messages) == len(jobs)
    plant.work()
    plant.track()
    plant.report()
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_a_running_job_whose_worker_is_long_gone_is_rung_again(plant: Plant) -> None:
    _, (first, *others) = begin(plant)
    for job_id in others:
        plant.end_job(job_id, State.SUCCESS)
    plant.end_job(first, State.RUNNING)
    plant.track()
    plant.clock.pass_time(LEASE_MS / 1000 + SILENCE_SECONDS)
    tick(plant)
    plant.split()
    assert [body for body in plant.lane.bodies if first in body]
    assert len(plant.lane.messages) == 1


PATIENCE = 1200


@pytest.mark.parametrize(
    ("mode", "stage", "seconds"),
    [
        ("callback", Stage.ACCEPTED, PATIENCE + SILENCE_SECONDS),
        ("callback", Stage.SUBMITTING, SILENCE_SECONDS),
        ("poll", Stage.ACCEPTED, SILENCE_SECONDS),
    ],
)
def test_a_job_that_waits_for_its_callback_is_left_alone_until_its_alarm_clock_has_failed(
    mode: str, stage: Stage, seconds: int
) -> None:
    catalog = CATALOG.replace('mode = "callback"', f'mode = "{mode}"\npatience_seconds = {PATIENCE}')
    plant = Plant(catalog=parse_catalog(catalog))
    _, (first,) = begin(plant, rows=1)
    plant.end_job(first, State.RUNNING)
    plant.jobs.records[first] |= {"stage": stage, "lease_expires_at": plant.clock.now_ms()}
    plant.track()
    plant.clock.pass_time(seconds - 1)
    tick(plant)
    assert plant.intake.messages == []
    plant.clock.pass_time(SILENCE_SECONDS + seconds)
    tick(plant)
    assert len(plant.intake.messages) == 1


def test_a_job_whose_model_is_in_no_catalog_any_more_is_rung_again(plant: Plant) -> None:
    _, (first,) = begin(plant, rows=1)
    plant.end_job(first, State.RUNNING)
    plant.jobs.records[first] |= {"stage": Stage.ACCEPTED, "model": "gone"}
    plant.track()
    plant.clock.pass_time(LEASE_MS / 1000 + SILENCE_SECONDS)
    tick(plant)
    (ring,) = (message for body in plant.intake.bodies for message in parse_intake(body))
    assert isinstance(ring, Ring)
    assert ring.model == "gone"


def test_a_job_that_the_operator_set_free_and_nobody_rang_is_rung(plant: Plant) -> None:
    _, (first,) = begin(plant, rows=1)
    plant.end_job(first, State.HELD, ErrorClass.AMBIGUOUS)
    now_ms = plant.clock.now_ms()
    plant.jobs.write(first, lifecycle.look_again(plant.job(first), reference="p1", now_ms=now_ms))
    plant.track()
    plant.clock.pass_time(SILENCE_SECONDS)
    tick(plant)
    plant.split()
    assert [body for body in plant.lane.bodies if first in body]


@pytest.mark.parametrize("ended", [State.HELD, State.FAILED])
def test_late_truth_counts_while_the_batch_is_open(plant: Plant, ended: State) -> None:
    batch_id, (first, second, third) = begin(plant)
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
    batch_id, (first,) = begin(plant, rows=1)
    plant.end_job(first, ended, ErrorClass.AMBIGUOUS)
    plant.track()
    plant.clock.pass_time(LIFE_SECONDS)
    tick(plant)
    assert not plant.batch(batch_id).is_open
    before = dict(plant.batches.records[batch_id]), plant.metadata.objects[results_key(batch_id)]
    plant.call_back(first)
    plant.track()
    plant.report()
    tick(plant)
    assert (plant.batches.records[batch_id], plant.metadata.objects[results_key(batch_id)]) == before
    again = plant.upload("b.csv", plant.inbox.objects["a.csv"])
    plant.heal()
    batch = plant.batch(again)
    assert (batch.succeeded, batch.duplicates_prevented, batch.cost_usd) == (1, 1, Decimal(0))


def test_late_truth_during_a_recount_makes_no_wrong_numbers(plant: Plant) -> None:
    batch_id, (first, second) = begin(plant, rows=2)
    plant.end_job(first, State.FAILED, ErrorClass.AMBIGUOUS)
    plant.end_job(second, State.SUCCESS)
    plant.track()
    read = plant.jobs.get_many

    def read_and_then(job_ids: list[str], *, consistent: bool) -> object:
        plant.jobs.get_many = read  # type: ignore[method-assign]
        seen = read(job_ids, consistent=consistent)
        plant.call_back(first)
        plant.track()
        return seen

    plant.jobs.get_many = read_and_then  # type: ignore[method-assign,assignment]
    plant.report()
    batch = plant.batch(batch_id)
    assert batch.state is BatchState.COMPLETED
    assert [line["status"] for line in plant.results(batch_id)].count("success") == batch.succeeded
    assert batch.cost_usd == batch.succeeded * PRICE


def test_a_running_job_with_a_live_lease_is_left_alone(plant: Plant) -> None:
    batch_id, jobs = begin(plant)
    for job_id in jobs:
        plant.end_job(job_id, State.RUNNING)
        plant.jobs.records[job_id]["lease_expires_at"] += 3600_000
    plant.clock.pass_time(2 * SILENCE_SECONDS)
    tick(plant)
    assert plant.intake.messages == []
    assert plant.batch(batch_id).is_open


def test_nothing_is_rung_again_while_somebody_rings(plant: Plant) -> None:
    batch_id, _ = begin(plant)
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.batches.records[batch_id]["rung_at_flux_schnell"] = plant.clock.now_ms() - 30_000
    tick(plant)
    assert plant.intake.messages == []


def test_a_heal_begins_at_the_first_part_with_a_silent_job() -> None:
    plant = Plant(chunk_rows=1)
    batch_id, jobs = begin(plant)
    plant.end_job(jobs[0], State.SUCCESS)
    plant.clock.pass_time(SILENCE_SECONDS)
    tick(plant)
    (ring,) = (message for body in plant.intake.bodies for message in parse_intake(body))
    offsets = [part.offset for part in plant.batches.parts(batch_id)]
    assert isinstance(ring, Ring)
    assert ring.part == offsets[1]


def test_progress_that_went_wrong_is_put_right_when_nothing_moves(plant: Plant) -> None:
    batch_id, (first, *_) = begin(plant)
    plant.end_job(first, State.SUCCESS)
    plant.jobs.stream.clear()
    plant.clock.pass_time(SILENCE_SECONDS)
    tick(plant)
    batch = plant.batch(batch_id)
    assert (batch.pending, batch.succeeded, batch.jobs) == (2, 1, 3)


def test_progress_is_not_overwritten_while_the_stream_may_still_add_to_it(plant: Plant) -> None:
    batch_id, (first, *_) = begin(plant)
    plant.end_job(first, State.SUCCESS)
    plant.batches.records[batch_id] |= {"pending": 0}
    close(plant, batch_id)
    assert plant.batch(batch_id).succeeded == 0


def test_after_seven_days_jobs_that_nobody_started_expire_and_the_batch_ends(plant: Plant) -> None:
    batch_id, (first, *_) = begin(plant)
    plant.end_job(first, State.SUCCESS)
    plant.clock.pass_time(LIFE_SECONDS)
    tick(plant)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded, batch.failed) == (BatchState.COMPLETED, 1, 2)
    assert [line["error_class"] for line in plant.results(batch_id)] == ["", "expired", "expired"]


def test_a_job_that_a_younger_batch_waits_for_does_not_expire(plant: Plant) -> None:
    batch_id, _ = begin(plant, rows=1)
    plant.clock.pass_time(LIFE_SECONDS - HOUR)
    younger = plant.upload("b.csv", "prompt\ncat 0\n")
    plant.split()
    plant.clock.pass_time(HOUR)
    plant.lane.messages.clear()
    tick(plant)
    assert plant.batch(batch_id).is_open
    plant.heal()
    assert (plant.batch(batch_id).succeeded, plant.batch(younger).succeeded) == (1, 1)


def test_after_seven_days_held_jobs_keep_no_batch_open(plant: Plant) -> None:
    batch_id, jobs = begin(plant)
    for job_id in jobs:
        plant.end_job(job_id, State.HELD)
    plant.clock.pass_time(LIFE_SECONDS)
    tick(plant)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.held) == (BatchState.COMPLETED, 3)


def test_a_file_that_could_not_be_split_in_seven_days_ends_as_rejected_with_what_there_is() -> None:
    plant = Plant(chunk_rows=1)
    batch_id = plant.upload("a.csv", "prompt\ncat\ndog\n")
    plant.split(2)
    plant.intake.messages.clear()
    plant.clock.pass_time(LIFE_SECONDS)
    tick(plant)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows) == (BatchState.REJECTED, 1)
    assert "seven days" in batch.reason
    assert len(plant.results(batch_id)) == 1


def test_a_chunk_whose_message_was_lost_is_sent_again() -> None:
    plant = Plant(chunk_rows=1)
    batch_id = plant.upload("a.csv", "prompt\ncat\ndog\n")
    plant.split(2)
    plant.intake.messages.clear()
    plant.clock.pass_time(SILENCE_SECONDS)
    tick(plant)
    plant.heal()
    assert plant.batch(batch_id).succeeded == 2


def test_a_batch_with_progress_is_left_alone_by_the_tick(plant: Plant) -> None:
    batch_id, _ = begin(plant)
    plant.clock.pass_time(SILENCE_SECONDS - 1)
    plant.reports.send([dump(Tick())])
    plant.report(1)
    assert plant.reports.messages == []
    assert plant.batch(batch_id).checked_at == ""


def test_a_batch_of_bad_rows_only_closes_with_its_problems(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt,seed\n,1\ncat,x\n")
    plant.split()
    plant.report()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows, batch.invalid_rows, batch.jobs) == (BatchState.COMPLETED, 2, 2, 0)
    assert [line["status"] for line in plant.results(batch_id)] == ["invalid", "invalid"]


def test_a_recount_that_fails_leaves_no_results_and_lets_the_next_one_in(plant: Plant) -> None:
    batch_id, jobs = begin(plant)
    for job_id in jobs:
        plant.end_job(job_id, State.SUCCESS)
    gone = plant.jobs.records.pop(jobs[1])
    plant.track()
    with pytest.raises(MissingJobError):
        plant.report()
    assert results_key(batch_id) not in plant.metadata.objects
    plant.jobs.records[jobs[1]] = gone
    close(plant, batch_id)
    assert plant.batch(batch_id).state is BatchState.COMPLETED
