"""A doorbell that was lost is rung again, and nobody else is woken."""

from __future__ import annotations

import pytest

from functions.core.batches import changes as batch_changes
from functions.core.batches.messages import Ring
from functions.core.batches.records import BatchState
from functions.core.batches.recount import SILENCE_SECONDS
from functions.core.catalog import parse_catalog
from functions.core.errors import ErrorClass
from functions.core.jobs import operator
from functions.core.jobs.records import Stage, State
from tests.fakes.plant import CATALOG, LEASE_MS, MODEL, Plant


def test_a_lost_doorbell_is_rung_again(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    plant.split()
    assert len(plant.lane.messages) == len(jobs)
    plant.work()
    plant.track()
    plant.report()
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_models_of_alike_names_are_rung_each_for_itself() -> None:
    rung = batch_changes.rung(["a-b", "a_b", "a.b", "a-2d-b"], 1)
    assert len(rung.sets) == 1 + 4


def test_a_running_job_whose_worker_is_long_gone_is_rung_again(plant: Plant) -> None:
    _, (first, *others) = plant.begin()
    for job_id in others:
        plant.end_job(job_id, State.SUCCESS)
    plant.end_job(first, State.RUNNING)
    plant.track()
    plant.clock.pass_time(LEASE_MS / 1000 + SILENCE_SECONDS)
    plant.tick()
    plant.split()
    assert [body for body in plant.lane.bodies if first in body]
    assert len(plant.lane.messages) == 1


def test_a_job_that_the_operator_set_free_and_nobody_rang_is_rung(plant: Plant) -> None:
    _, (first,) = plant.begin(rows=1)
    plant.end_job(first, State.HELD, ErrorClass.AMBIGUOUS)
    now_ms = plant.clock.now_ms()
    plant.jobs.write(first, operator.look_again(plant.job(first), reference="p1", now_ms=now_ms))
    plant.track()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    plant.split()
    assert [body for body in plant.lane.bodies if first in body]


def test_a_job_whose_model_is_in_no_catalog_any_more_is_rung_again(plant: Plant) -> None:
    _, (first,) = plant.begin(rows=1)
    plant.end_job(first, State.RUNNING)
    plant.jobs.records[first] |= {"stage": Stage.ACCEPTED, "model": "gone"}
    plant.track()
    plant.clock.pass_time(LEASE_MS / 1000 + SILENCE_SECONDS)
    plant.tick()
    assert [ring.model for ring in plant.sent(Ring)] == ["gone"]


def test_a_running_job_with_a_live_lease_is_left_alone(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    for job_id in jobs:
        plant.end_job(job_id, State.RUNNING)
        plant.jobs.records[job_id]["lease_expires_at"] += 3600_000
    plant.clock.pass_time(2 * SILENCE_SECONDS)
    plant.tick()
    assert plant.intake.messages == []
    assert plant.batch(batch_id).is_open


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
    _, (first,) = plant.begin(rows=1)
    plant.end_job(first, State.RUNNING)
    plant.jobs.records[first] |= {"stage": stage, "lease_expires_at": plant.clock.now_ms()}
    plant.track()
    plant.clock.pass_time(seconds - 1)
    plant.tick()
    assert plant.intake.messages == []
    plant.clock.pass_time(SILENCE_SECONDS + seconds)
    plant.tick()
    assert len(plant.intake.messages) == 1


def test_nothing_is_rung_again_while_somebody_rings(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.batches.write(batch_id, batch_changes.rung([MODEL], plant.clock.now_ms() - 30_000))
    plant.tick()
    assert plant.intake.messages == []


def test_a_heal_begins_at_the_first_part_with_a_silent_job() -> None:
    plant = Plant(chunk_rows=1)
    batch_id, jobs = plant.begin()
    plant.end_job(jobs[0], State.SUCCESS)
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    _, second, _ = plant.batches.parts(batch_id)
    assert [ring.part for ring in plant.sent(Ring)] == [second.offset]


def test_a_lost_chain_heals_while_another_models_chain_lives() -> None:
    catalog = parse_catalog(CATALOG + CATALOG[CATALOG.index("[models") :].replace(MODEL, "slow"))
    plant = Plant(catalog=catalog)
    batch_id = plant.upload("a.csv", "prompt,model\ncat,slow\ndog,\n")
    plant.split()
    plant.track()
    plant.intake.messages.clear()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.batches.write(batch_id, batch_changes.rung(["slow"], plant.clock.now_ms()))
    plant.tick()
    assert [ring.model for ring in plant.sent(Ring)] == [MODEL]
