"""A paused batch or lane buys nothing more, loses nothing, and goes on where it was."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.batches import changes as batch_changes
from functions.core.batches.messages import Chunk, Ring, Scan
from functions.core.batches.records import BatchState
from functions.core.batches.recount import SILENCE_SECONDS
from functions.core.batches.ringing import PAUSED_WAIT_SECONDS
from functions.core.batches.steering import LANE_KNOWN_SECONDS, PAUSED_BY_OPERATOR, Steering
from functions.core.batches.watch import LIFE_SECONDS
from functions.core.jobs.records import State
from functions.core.lanes.records import Pace
from functions.core.messages import dump, parse_doorbell
from functions.core.writes import StaleWriteError
from tests.fakes.plant import MODEL, CrashError, Plant, csv_of

HOUR = 3600
ROWS = 2500


def steering(plant: Plant) -> Steering:
    return Steering(
        batches=plant.batches, intake=plant.intake, reports=plant.reports, models=plant.lanes, clock=plant.clock
    )


def pause(plant: Plant, batch_id: str) -> None:
    steering(plant).pause(batch_id)


def resume(plant: Plant, batch_id: str) -> None:
    plant.clock.pass_time(1)
    steering(plant).resume(plant.batch(batch_id))


def wake(plant: Plant) -> None:
    """Let the messages that wait become visible."""
    plant.intake.messages = [(body, 0) for body in plant.intake.bodies]


def rung(plant: Plant) -> list[str]:
    return [parse_doorbell(body).job_id for body in plant.lane.bodies]


def half_rung() -> tuple[Plant, str]:
    """A batch whose first part is rung as far as the lane has room."""
    plant = Plant(chunk_rows=500)
    batch_id = plant.upload("a.csv", csv_of(ROWS))
    plant.split(200)
    assert 0 < plant.lane.depth() < ROWS
    return plant, batch_id


def test_ringing_ends_while_a_batch_is_paused_and_begins_anew_when_it_is_resumed() -> None:
    plant, batch_id = half_rung()
    pause(plant, batch_id)
    assert plant.batch(batch_id).paused == PAUSED_BY_OPERATOR
    plant.work()
    wake(plant)
    plant.split()
    assert (plant.lane.messages, plant.intake.messages) == ([], [])
    resume(plant, batch_id)
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded, batch.paused) == (BatchState.COMPLETED, ROWS, "")


def test_a_chain_that_outlives_a_short_pause_ends_all_the_same() -> None:
    plant, batch_id = half_rung()
    assert len(plant.sent(Ring)) == 1
    pause(plant, batch_id)
    resume(plant, batch_id)
    assert len(plant.sent(Ring)) == 2
    wake(plant)
    plant.lane.messages.clear()
    plant.split(200)
    assert len(plant.sent(Ring)) == 1
    assert len(rung(plant)) == len(set(rung(plant)))


def test_a_batch_that_is_paused_before_its_first_part_is_split_and_not_rung() -> None:
    plant = Plant(chunk_rows=10)
    batch_id = plant.upload("a.csv", csv_of(30))
    plant.split(1)
    pause(plant, batch_id)
    plant.split()
    batch = plant.batch(batch_id)
    assert (batch.whole, plant.lane.messages, plant.sent(Ring)) == (True, [], [])
    resume(plant, batch_id)
    plant.split()
    assert len(rung(plant)) == 30


def test_a_batch_that_is_resumed_before_its_first_part_is_rung_once(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", csv_of(300))
    plant.split(1)
    pause(plant, batch_id)
    resume(plant, batch_id)
    plant.split()
    assert sorted(rung(plant)) == sorted(plant.jobs.records)


def test_nobody_looks_after_a_paused_batch_for_its_silence(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    pause(plant, batch_id)
    for _ in range(5):
        plant.clock.pass_time(SILENCE_SECONDS)
        plant.tick()
    assert (plant.intake.messages, plant.batch(batch_id).checked_at) == ([], "")


def test_the_file_of_a_paused_batch_is_still_read_when_a_message_was_lost() -> None:
    plant = Plant(chunk_rows=1)
    batch_id = plant.upload("a.csv", "prompt\ncat\ndog\n")
    plant.split(2)
    assert len(plant.sent(Chunk)) == 1
    plant.intake.messages.clear()
    pause(plant, batch_id)
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    assert len(plant.sent(Scan)) == 1
    plant.split()
    assert plant.batch(batch_id).rows == 2


def test_a_resumed_batch_is_not_silent_at_once(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    pause(plant, batch_id)
    plant.clock.pass_time(HOUR)
    resume(plant, batch_id)
    plant.split()
    plant.tick()
    assert plant.intake.messages == []
    assert rung(plant) == jobs


def test_a_resumption_that_died_before_it_rang_heals(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    pause(plant, batch_id)
    resume(plant, batch_id)
    plant.intake.messages.clear()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    plant.split()
    assert rung(plant) == jobs


def test_a_paused_batch_publishes_at_its_deadline(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    plant.track()
    pause(plant, batch_id)
    plant.clock.pass_time(6 * HOUR)
    plant.tick()
    batch = plant.batch(batch_id)
    assert (batch.late, batch.is_open, plant.intake.messages) == (True, True, [])
    assert [line["status"] for line in plant.results(batch_id)] == ["success", "pending", "pending"]


def test_a_paused_batch_closes_when_its_jobs_have_ended(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    pause(plant, batch_id)
    for job_id in jobs:
        plant.end_job(job_id, State.SUCCESS)
    plant.track()
    plant.report()
    assert plant.batch(batch_id).state is BatchState.COMPLETED


def test_a_paused_batch_ends_after_seven_days(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    pause(plant, batch_id)
    plant.clock.pass_time(LIFE_SECONDS)
    plant.tick()
    assert (plant.batch(batch_id).is_open, plant.batch(batch_id).failed) == (False, 3)


def test_a_batch_keeps_the_reason_that_it_was_paused_for_first(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    plant.batches.write(batch_id, batch_changes.pause("waits to be confirmed: dear"))
    with pytest.raises(StaleWriteError):
        pause(plant, batch_id)
    assert not plant.batch(batch_id).confirmed
    resume(plant, batch_id)
    batch = plant.batch(batch_id)
    assert (batch.paused, batch.confirmed) == ("", True)


def test_a_batch_that_goes_on_already_is_not_rung_anew(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    pause(plant, batch_id)
    seen = plant.batch(batch_id)
    resume(plant, batch_id)
    plant.intake.messages.clear()
    with pytest.raises(StaleWriteError):
        steering(plant).resume(seen)
    assert plant.intake.messages == []


def test_nothing_is_rung_while_a_lane_is_paused(plant: Plant) -> None:
    plant.paces.pace = Pace(paused="by the operator")
    plant.upload("a.csv", csv_of(300))
    plant.split(3)
    plant.split(5)
    ((_, delay),) = plant.intake.messages
    assert (plant.lane.messages, delay) == ([], PAUSED_WAIT_SECONDS)
    plant.paces.pace = Pace()
    wake(plant)
    plant.split()
    assert rung(plant) == list(plant.jobs.records)


def test_a_lane_that_is_resumed_rings_every_open_batch_anew_but_the_paused_ones() -> None:
    plant = Plant(chunk_rows=20)
    first, second, third = (plant.upload(f"{name}.csv", csv_of(50, name)) for name in ("a", "b", "c"))
    plant.split()
    plant.lane.messages.clear()  # as workers of a paused lane let them go
    pause(plant, second)
    plant.clock.pass_time(1)
    assert steering(plant).ring_lane(MODEL) == 2
    assert {delay for _, delay in plant.intake.messages} == {LANE_KNOWN_SECONDS}
    plant.split()
    wanted = {job_id for job_id, record in plant.jobs.records.items() if record["batch_id"] in (first, third)}
    assert sorted(rung(plant)) == sorted(wanted)


def test_a_batch_that_is_resumed_once_more_is_rung_once_more_by_one_chain() -> None:
    """Whoever resumed it first may have died before he had rung."""
    plant, batch_id = half_rung()
    plant.intake.messages.clear()
    plant.lane.messages.clear()
    for _ in range(2):
        plant.clock.pass_time(1)
        assert steering(plant).ring_batch(batch_id)
    plant.split(200)
    assert len(plant.sent(Ring)) == 1
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded) == (BatchState.COMPLETED, ROWS)


def test_of_a_batch_that_is_paused_or_has_no_part_yet_nothing_is_rung_once_more(plant: Plant) -> None:
    unread = plant.upload("b.csv", csv_of(3))
    plant.split(1)
    plant.intake.messages.clear()
    assert not steering(plant).ring_batch(unread)
    batch_id, _ = plant.begin()
    pause(plant, batch_id)
    assert not steering(plant).ring_batch(batch_id)
    assert (plant.intake.messages, plant.batch(unread).rung) == ([], False)


def test_a_lane_that_could_not_be_rung_to_the_end_is_rung_once_more() -> None:
    plant = Plant(chunk_rows=20)
    batch_ids = [plant.upload(f"{name}.csv", csv_of(10, name)) for name in ("a", "b")]
    plant.split()
    plant.lane.messages.clear()
    plant.clock.pass_time(1)
    dying = Steering(
        batches=plant.crashes.guard(plant.batches),
        intake=plant.intake,
        reports=plant.reports,
        models=plant.lanes,
        clock=plant.clock,
    )
    plant.crashes.countdown = 3  # after it has written that the first batch is rung anew
    with pytest.raises(CrashError):
        dying.ring_lane(MODEL)
    assert plant.intake.messages == []
    assert steering(plant).ring_lane(MODEL) == len(batch_ids)
    plant.split()
    assert sorted(rung(plant)) == sorted(plant.jobs.records)


def test_a_ring_message_that_waited_for_a_paused_lane_ends_when_the_lane_is_rung_anew() -> None:
    plant, _ = half_rung()
    plant.paces.pace = Pace(paused="by the operator")
    wake(plant)
    plant.split(1)
    plant.paces.pace = Pace(rate=Decimal(500))
    plant.clock.pass_time(1)
    plant.lane.messages.clear()
    steering(plant).ring_lane(MODEL)
    wake(plant)
    plant.split(200)
    assert len(plant.sent(Ring)) == 1
    assert len(rung(plant)) == len(set(rung(plant)))


def test_a_message_of_an_earlier_release_belongs_to_the_first_chain(plant: Plant) -> None:
    batch_id, jobs = plant.begin()
    (part,) = plant.batches.parts(batch_id)
    body = dump(Ring(batch_id, part.offset, MODEL, 0)).replace(',"chain":0', "")
    plant.handle_intake(body)
    assert rung(plant) == jobs
