"""A cancelled batch ends soon, with what was called for it; what others want goes on; payments are counted once."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.batches.messages import Chunk, Ring, Scan
from functions.core.batches.records import BatchState
from functions.core.batches.recount import SILENCE_SECONDS
from functions.core.batches.steering import Steering
from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import lifecycle
from functions.core.jobs.records import State
from functions.core.messages import Doorbell, dump, parse_doorbell
from functions.core.writes import StaleWriteError
from tests.fakes.plant import LEASE_MS, PRICE, Plant, csv_of

BUSY = Fault(ErrorClass.CAPACITY, "HTTP 503", 503)


def ask_to_cancel(plant: Plant, batch_id: str) -> None:
    """What the command does; the reporter has still to act."""
    Steering(
        batches=plant.batches, intake=plant.intake, reports=plant.reports, models=plant.lanes, clock=plant.clock
    ).cancel(batch_id)


def cancel(plant: Plant, batch_id: str) -> None:
    ask_to_cancel(plant, batch_id)
    plant.report()
    plant.track()
    plant.report()


def submit(plant: Plant, job_id: str, reference: str = "") -> None:
    """Let a worker make the paid call of a job; the provider takes it if there is a reference."""
    now_ms = plant.clock.now_ms()
    plant.jobs.write(job_id, lifecycle.claim_to_submit("w", now_ms, LEASE_MS))
    if reference:
        accept = lifecycle.accept(1, reference=reference, response_code=200, leaving=False, now_ms=now_ms)
        plant.jobs.write(job_id, accept)


def also_wanted(plant: Plant, text: str = "prompt\ncat 0\n") -> str:
    """Another batch that wants the first picture of the one before."""
    batch_id = plant.upload("other.csv", text)
    plant.split()
    plant.track()
    return batch_id


def test_a_cancelled_batch_ends_at_once_with_the_results_of_what_there_is(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.end_job(first, State.SUCCESS)
    cancel(plant, batch_id)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.is_open, batch.succeeded, batch.failed, batch.pending) == (
        BatchState.CANCELLED,
        False,
        1,
        2,
        0,
    )
    assert (batch.cost_usd, batch.reason) == (PRICE, "")
    assert [(line["status"], line["error_class"]) for line in plant.results(batch_id)] == [
        ("success", ""),
        ("failed", "cancelled"),
        ("failed", "cancelled"),
    ]
    assert len(plant.log.of("job_ended")) == 2


def test_a_job_that_was_called_finishes_and_is_kept(plant: Plant) -> None:
    batch_id, (first, second, third) = plant.begin()
    submit(plant, first)
    submit(plant, second, reference="p2")
    cancel(plant, batch_id)
    assert plant.batch(batch_id).is_open
    assert [plant.job(one).state for one in (first, second, third)] == [State.RUNNING, State.RUNNING, State.FAILED]
    plant.call_back(first, "p1")
    plant.call_back(second, "p2")
    plant.track()
    plant.report()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded, batch.failed, batch.cost_usd) == (BatchState.CANCELLED, 2, 1, 2 * PRICE)


def test_a_call_that_comes_to_nothing_is_not_made_again(plant: Plant) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    submit(plant, first)
    cancel(plant, batch_id)
    plant.jobs.write(first, lifecycle.give_back(1, plant.job(first), BUSY, plant.clock.now_ms()))
    plant.track()
    plant.clock.pass_time(SILENCE_SECONDS)
    plant.tick()
    assert (plant.batch(batch_id).state, plant.job(first).error_class) == (BatchState.CANCELLED, ErrorClass.CANCELLED)


def test_a_paid_picture_that_nobody_fetches_is_still_rung(plant: Plant) -> None:
    batch_id, (first, second) = plant.begin(rows=2)
    submit(plant, first, reference="p1")
    plant.end_job(second, State.RUNNING)
    cancel(plant, batch_id)
    plant.clock.pass_time(LEASE_MS / 1000 + 4 * SILENCE_SECONDS)
    plant.tick()
    plant.split()
    assert sorted(map(parse_doorbell, plant.lane.bodies), key=str) == sorted(
        [Doorbell(first), Doorbell(second)], key=str
    ), "of no batch: else workers would let them go"


def test_the_chain_of_a_cancelled_batch_rings_none_of_its_waiting_jobs() -> None:
    plant = Plant(chunk_rows=20)
    batch_id = plant.upload("a.csv", csv_of(200))
    plant.split(3)
    assert plant.sent(Ring)
    plant.lane.messages.clear()
    ask_to_cancel(plant, batch_id)
    plant.split()
    assert (plant.lane.messages, plant.intake.messages) == ([], [])


def test_a_job_that_a_worker_is_about_to_call_is_waited_for(plant: Plant) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    plant.jobs.records[first]["attempt_count"] = 1
    looking = lifecycle.claim_to_look(plant.job(first), "w", plant.clock.now_ms(), LEASE_MS)
    plant.jobs.write(first, looking)
    cancel(plant, batch_id)
    assert plant.batch(batch_id).is_open
    plant.clock.pass_time(LEASE_MS / 1000 + SILENCE_SECONDS)
    plant.tick()
    assert plant.batch(batch_id).state is BatchState.CANCELLED


def test_what_is_held_keeps_no_cancelled_batch_open(plant: Plant) -> None:
    batch_id, (first, *_) = plant.begin()
    plant.end_job(first, State.HELD)
    cancel(plant, batch_id)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.held, batch.failed) == (BatchState.CANCELLED, 1, 2)


def test_a_batch_that_is_cancelled_while_it_is_paused_ends(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    plant.batches.records[batch_id]["paused"] = "by the operator"
    cancel(plant, batch_id)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.paused) == (BatchState.CANCELLED, "")


def test_a_job_that_another_batch_wants_goes_on_and_is_the_others_to_pay(plant: Plant) -> None:
    batch_id, (first, _) = plant.begin(rows=2)
    other = also_wanted(plant)
    cancel(plant, batch_id)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.failed, batch.cost_usd) == (BatchState.CANCELLED, 2, Decimal(0))
    assert [(line["error_class"], line["duplicate_of"]) for line in plant.results(batch_id)] == [
        ("cancelled", other),
        ("cancelled", ""),
    ]
    plant.run()
    plant.heal()
    assert (plant.batch(other).succeeded, plant.batch(other).cost_usd) == (1, PRICE)
    assert plant.job(first).batch_id == other


def test_what_was_paid_before_stays_with_the_batch_that_paid(plant: Plant) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    other = also_wanted(plant)
    submit(plant, first)
    plant.jobs.write(first, lifecycle.count_payment(plant.job(first), "p1", PRICE, 0))
    plant.jobs.write(first, lifecycle.give_back(1, plant.job(first), BUSY, 0))
    plant.track()
    cancel(plant, batch_id)
    assert (plant.batch(batch_id).state, plant.batch(batch_id).cost_usd) == (BatchState.CANCELLED, PRICE)
    assert plant.results(batch_id)[0]["cost_usd"] == str(PRICE)
    plant.run()
    plant.heal()
    assert (plant.batch(other).succeeded, plant.batch(other).cost_usd) == (1, PRICE)


def test_a_cancelled_heir_pays_for_no_call(plant: Plant) -> None:
    _, (first,) = plant.begin(rows=1)
    submit(plant, first, reference="p1")
    gone = Fault(ErrorClass.CORRUPT, "no picture", resumable=True)
    plant.jobs.write(first, lifecycle.fail(1, plant.job(first), gone, price_usd=PRICE, now_ms=0))
    plant.track()
    plant.report()
    heir = plant.upload("heir.csv", "prompt\ncat 0\n")
    plant.split()
    other = also_wanted(plant)
    assert plant.job(first).heir == heir
    now_ms = plant.clock.now_ms()
    plant.jobs.write(first, lifecycle.claim_to_look(plant.job(first), "w", now_ms, LEASE_MS))
    plant.jobs.write(first, lifecycle.give_back(2, plant.job(first), BUSY, now_ms))
    plant.track()
    cancel(plant, heir)
    assert (plant.job(first).heir, plant.job(first).batch_id) == ("", other)


def test_a_batch_that_does_not_pay_for_a_job_leaves_it_alone(plant: Plant) -> None:
    payer, (first,) = plant.begin(rows=1)
    other = also_wanted(plant)
    cancel(plant, other)
    assert (plant.batch(other).state, plant.batch(other).failed) == (BatchState.CANCELLED, 1)
    assert (plant.job(first).state, plant.job(first).batch_id) == (State.PENDING, payer)


def test_a_job_that_only_cancelled_and_closed_batches_want_is_dropped(plant: Plant) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    other = also_wanted(plant)
    ask_to_cancel(plant, batch_id)
    cancel(plant, other)
    assert plant.job(first).error_class is ErrorClass.CANCELLED
    assert {plant.batch(one).state for one in (batch_id, other)} == {BatchState.CANCELLED}


def test_a_batch_that_joined_while_the_other_let_go_takes_the_job_back(plant: Plant) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    others = list[str]()
    plant.jobs.before["cancel"] = [lambda: others.append(also_wanted(plant))]
    cancel(plant, batch_id)
    (other,) = others
    assert plant.batch(batch_id).state is BatchState.CANCELLED
    plant.lane.messages.clear()
    plant.heal()
    batch = plant.batch(other)
    assert (batch.state, batch.succeeded, batch.cost_usd) == (BatchState.COMPLETED, 1, PRICE)
    assert plant.job(first).batch_id == other


def test_the_next_batch_that_asks_for_a_dropped_job_pays_for_it(plant: Plant) -> None:
    batch_id, (first,) = plant.begin(rows=1)
    cancel(plant, batch_id)
    other = also_wanted(plant)
    plant.run()
    assert (plant.job(first).state, plant.job(first).batch_id) == (State.SUCCESS, other)
    assert (plant.batch(batch_id).cost_usd, plant.batch(other).cost_usd) == (Decimal(0), PRICE)


def test_nothing_more_of_the_file_is_read() -> None:
    plant = Plant(chunk_rows=10)
    batch_id = plant.upload("a.csv", csv_of(30))
    plant.split(2)
    chunks, key, version = plant.sent(Chunk), "a.csv", "v1"
    assert len(chunks) == 2
    cancel(plant, batch_id)
    plant.handle_intake(dump(Scan(batch_id, key, version, 0, 1, 1)))
    plant.split()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows, batch.failed, len(plant.jobs.records)) == (BatchState.CANCELLED, 10, 10, 10)
    assert batch.reason == "The batch was cancelled when 10 of its file's rows had been read."


def test_a_batch_of_which_nothing_was_read_has_no_results(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", csv_of(3))
    plant.split(1)
    cancel(plant, batch_id)
    batch = plant.batch(batch_id)
    assert (batch.state, batch.results_key, batch.rows) == (BatchState.CANCELLED, "", 0)


def test_the_jobs_of_a_part_that_came_too_late_are_dropped(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", csv_of(3))
    plant.split(1)
    plant.jobs.before["create"] = [lambda: cancel(plant, batch_id)]
    plant.split(1)
    assert plant.batch(batch_id).state is BatchState.CANCELLED
    assert {plant.job(one).error_class for one in plant.jobs.records} == {ErrorClass.CANCELLED}


def test_cancelling_twice_changes_nothing_and_sends_the_reporter_again(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    ask_to_cancel(plant, batch_id)
    before = dict(plant.batches.records[batch_id])
    plant.clock.pass_time(1)
    ask_to_cancel(plant, batch_id)
    assert (plant.batches.records[batch_id], len(plant.reports.messages)) == (before, 2)


def test_a_batch_that_has_ended_cannot_be_cancelled(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    cancel(plant, batch_id)
    with pytest.raises(StaleWriteError):
        ask_to_cancel(plant, batch_id)


def test_a_lost_message_to_the_reporter_heals(plant: Plant) -> None:
    batch_id, _ = plant.begin()
    ask_to_cancel(plant, batch_id)
    plant.reports.messages.clear()
    plant.tick()
    assert plant.batch(batch_id).state is BatchState.CANCELLED
