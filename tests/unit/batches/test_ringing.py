"""Ringing: no faster than the lane works, and no batch behind another."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from functions.core.batches.messages import Ring
from functions.core.batches.ringing import FIRST_JOBS, LONGEST_WAIT_SECONDS, Flow
from functions.core.jobs.records import State
from functions.core.lanes.records import Pace
from functions.core.messages import Doorbell, dump, parse_doorbell
from tests.fakes.plant import LEASE_MS, MODEL, Plant, csv_of

LIMIT = 1000
"""Two minutes of the catalog's 500 pictures a minute."""


def rung(plant: Plant) -> list[str]:
    """The prompts whose jobs were rung, in order."""
    jobs = [parse_doorbell(body).job_id for body in plant.lane.bodies]
    return [json.loads(plant.jobs.records[job_id]["spec"])["prompt"] for job_id in jobs]


def fill(plant: Plant, messages: int) -> None:
    plant.lane.send([dump(Doorbell("ff" * 32))] * messages)


def pass_time(plant: Plant) -> None:
    plant.clock.pass_time(20)
    plant.intake.messages = [(body, 0) for body in plant.intake.bodies]


@pytest.mark.parametrize(
    ("per_minute", "limit", "wait"), [(2, 100, 20), (60, 120, 20), (500, 1000, 20), (3000, 4000, 10), (5000, 4000, 6)]
)
def test_a_queue_holds_two_minutes_of_its_lanes_work(per_minute: int, limit: int, wait: int) -> None:
    flow = Flow(Decimal(per_minute))
    assert (flow.limit, flow.wait_seconds) == (limit, wait)
    assert per_minute * wait / 60 <= limit, "it does not run dry while somebody waits"


def test_a_lane_that_stands_still_is_looked_at_from_time_to_time() -> None:
    assert Flow(Decimal(0)).wait_seconds == LONGEST_WAIT_SECONDS


def test_a_small_batch_rings_in_the_order_of_its_rows() -> None:
    plant = Plant(chunk_rows=20)
    plant.upload("a.csv", csv_of(50))
    plant.split()
    assert rung(plant) == [f"cat {number}" for number in range(50)]


def test_the_first_jobs_of_a_batch_ring_at_once_even_in_a_full_lane(plant: Plant) -> None:
    fill(plant, LIMIT)
    plant.upload("a.csv", csv_of(FIRST_JOBS + 50))
    plant.split(100)
    assert plant.lane.depth() == LIMIT + FIRST_JOBS


def test_a_queue_does_not_grow_with_its_input() -> None:
    plant = Plant(chunk_rows=500)
    plant.upload("a.csv", csv_of(2500))
    plant.split(200)
    assert plant.lane.depth() <= LIMIT
    (body, delay) = plant.intake.messages[0]
    assert '"kind":"ring"' in body
    assert delay > 0, "the rest waits, and not as a message that is received over and over"


def test_a_queue_holds_less_while_its_lane_is_slower(plant: Plant) -> None:
    plant.paces.pace = Pace(rate=Decimal(60))
    plant.upload("a.csv", csv_of(400))
    plant.split(100)
    assert plant.lane.depth() == 120


def test_a_doorbell_names_the_batch_that_rings(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", csv_of(FIRST_JOBS + 1))
    fill(plant, LIMIT)
    plant.split(3)
    plant.lane.messages.clear()
    plant.split()
    (last,) = (parse_doorbell(body) for body in plant.lane.bodies)
    assert (last.batch_id, last.job_id in plant.jobs.records) == (batch_id, True)


def test_a_doorbell_of_an_earlier_release_names_no_batch() -> None:
    job_id = "ff" * 32
    assert parse_doorbell(json.dumps({"job_id": job_id})) == Doorbell(job_id, "")


def test_every_job_is_rung_once_in_the_end() -> None:
    plant = Plant(chunk_rows=500)
    plant.upload("a.csv", csv_of(2500))
    seen: list[str] = []
    for _ in range(20):
        plant.split(30)
        seen += rung(plant)
        plant.work()
        pass_time(plant)
    assert seen == [f"cat {number}" for number in range(2500)]
    assert plant.intake.messages == []


def test_batches_take_turns_however_large_they_are() -> None:
    plant = Plant(chunk_rows=500)
    plant.upload("big.csv", csv_of(5000, "big"))
    plant.upload("small.csv", csv_of(700, "small"))
    plant.split(14)
    shares = {"big": 0, "small": 0}
    while "small 699" not in rung(plant):
        for prompt in rung(plant):
            shares[prompt.split()[0]] += 1
        plant.work()
        pass_time(plant)
        plant.split(4)
    assert shares["big"] <= shares["small"] + LIMIT + 2 * 250


def test_jobs_that_are_done_or_in_hand_are_not_rung(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", csv_of(3))
    plant.split()
    plant.lane.messages.clear()
    done, held, running = plant.jobs.records
    plant.end_job(done, State.SUCCESS)
    plant.end_job(held, State.HELD)
    plant.end_job(running, State.RUNNING)
    (part,) = plant.batches.parts(batch_id)
    ring = dump(Ring(batch_id, part.offset, MODEL, 0))
    plant.handle_intake(ring)
    assert plant.lane.messages == []
    plant.clock.pass_time(LEASE_MS / 1000)
    plant.handle_intake(ring)
    assert rung(plant) == ["cat 2"], "its owner's lease has run out"


def test_a_job_that_the_read_does_not_know_yet_is_rung(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", csv_of(1))
    plant.split()
    plant.lane.messages.clear()
    (part,) = plant.batches.parts(batch_id)
    record = dict(plant.jobs.records)
    plant.jobs.records.clear()
    plant.handle_intake(dump(Ring(batch_id, part.offset, MODEL, 0)))
    plant.jobs.records.update(record)
    assert rung(plant) == ["cat 0"]


def test_ringing_waits_for_a_part_that_is_still_to_be_made() -> None:
    plant = Plant(chunk_rows=10)
    plant.upload("a.csv", csv_of(30))
    plant.split(2)
    second, third, ring = plant.intake.bodies
    plant.intake.messages.clear()
    plant.handle_intake(third)
    plant.handle_intake(ring)
    assert len(rung(plant)) == 10
    pass_time(plant)
    plant.handle_intake(second)
    plant.split()
    assert len(rung(plant)) == 30


def test_ringing_ends_with_its_batch() -> None:
    plant = Plant(chunk_rows=10)
    batch_id = plant.upload("a.csv", csv_of(30))
    plant.split(2)
    (ring,) = plant.sent(Ring)
    plant.intake.messages.clear()
    plant.batches.records[batch_id]["listing"] = "closed"
    plant.handle_intake(dump(ring))
    assert plant.intake.messages == []


def test_a_model_that_has_no_lane_any_more_is_logged(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", csv_of(1))
    plant.split()
    plant.handle_intake(dump(Ring(batch_id, 7, "gone", 0)))
    assert plant.log.of("lane_missing") == [{"batch_id": batch_id, "model": "gone"}]
