"""Letting go of a cancelled batch's jobs: on what conditions, and with every payment counted once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.batches import changes as batch_changes
from functions.core.jobs import demand
from functions.core.jobs.records import State, job_from_record
from functions.core.writes import StaleWriteError, apply
from tests.fakes.lives import something_happens
from tests.fakes.plant import Plant


def cancel(plant: Plant, batch_id: str) -> None:
    with suppress(StaleWriteError):  # it is cancelled already, and waits for a call
        plant.batches.write(batch_id, batch_changes.cancel(plant.clock.now_ms()))
    plant.close(batch_id)
    plant.track()
    plant.report()


@given(st.data())
def test_every_payment_is_counted_once_whichever_batches_are_cancelled(data: st.DataObject) -> None:
    plant = Plant()
    batches: list[str] = []
    for number in range(data.draw(st.integers(2, 4))):
        rows = data.draw(st.lists(st.sampled_from(("cat", "dog", "owl")), min_size=1, max_size=4))
        batches.append(plant.upload(f"{number}.csv", "prompt\n" + "".join(f"{row}\n" for row in rows)))
        plant.split()
        for _ in range(data.draw(st.integers(0, 8))):
            something_happens(plant, data.draw(st.sampled_from(sorted(plant.jobs.records))), data)
        plant.track()
        if data.draw(st.booleans()):
            plant.reports.messages.clear()
            victim = data.draw(st.sampled_from(batches))
            if plant.batch(victim).is_open and not held(plant, victim):
                cancel(plant, victim)
        assert not [one for one in plant.jobs.records if may_be_called(plant, one) and not payer_is_open(plant, one)]
    for batch_id in batches:
        batch = plant.batch(batch_id)
        if not batch.is_open:
            paid_then = sum((Decimal(line["cost_usd"] or 0) for line in plant.results(batch_id)), Decimal(0))
            assert paid_then == batch.cost_usd
    paid = sum((plant.job(job_id).cost_usd or Decimal(0) for job_id in plant.jobs.records), Decimal(0))
    assert sum((counted(plant, batch_id) for batch_id in batches), Decimal(0)) == paid


def held(plant: Plant, batch_id: str) -> bool:
    """Whether a job of the batch is held: what it costs may be learnt after the batch has closed."""
    jobs = map(plant.job, plant.jobs.records)
    return any(batch_id in job.batches and job.state is State.HELD for job in jobs)


def may_be_called(plant: Plant, job_id: str) -> bool:
    job = plant.job(job_id)
    return job.state in (State.PENDING, State.RUNNING) and job.stage is None


def payer_is_open(plant: Plant, job_id: str) -> bool:
    job = plant.job(job_id)
    return plant.batch(job.heir or job.batch_id).is_open


def counted(plant: Plant, batch_id: str) -> Decimal:
    """What a batch paid: by its record while it is open, by the jobs once its numbers do not change any more."""
    batch, jobs = plant.batch(batch_id), map(plant.job, plant.jobs.records)
    return batch.cost_usd if batch.is_open else sum((job.cost_to(batch_id) for job in jobs), Decimal(0))


RUNNING = {"state": State.RUNNING, "attempt_count": 2, "owner": "w", "lease_expires_at": 9}
PENDING = {"state": State.PENDING, "attempt_count": 1}
SEEN = {"job_id": "ff", "model": "m", "spec": "{}", "batch_id": "a", "batches": {"a", "b"}} | dict.fromkeys(
    ("created_at", "updated_at"), "2026-11-21T08:43:06.120Z"
)
LETTING_GO = {
    "cancel": lambda job: demand.cancel(job, 9),
    "hand_over": lambda job: demand.hand_over(job, "b"),
}


@pytest.mark.parametrize("name", LETTING_GO)
@pytest.mark.parametrize(
    ("seen", "since"),
    [
        (PENDING, {"state": State.SUCCESS}),
        (PENDING, {"state": State.RUNNING, "lease_expires_at": 9}),
        (PENDING, {"attempt_count": 2}),
        (PENDING, {"stage": "accepted"}),
        (RUNNING, {"state": State.HELD}),
        (RUNNING, {"lease_expires_at": 10}),
        (RUNNING, {"attempt_count": 3}),
        (RUNNING, {"stage": "submitting"}),
    ],
)
def test_only_a_job_that_nobody_has_touched_since_is_let_go(
    name: str, seen: Mapping[str, object], since: Mapping[str, object]
) -> None:
    record = {**SEEN, **seen}
    write = LETTING_GO[name](job_from_record(record))
    assert write.name == name
    apply(write, record)
    with pytest.raises(StaleWriteError):
        apply(write, {**record, **since})


@pytest.mark.parametrize("since", [{"cost_usd": Decimal(1)}, {"batch_id": "c"}])
def test_a_job_is_handed_over_with_the_payments_and_the_payer_that_were_seen(since: Mapping[str, object]) -> None:
    record = {**SEEN, **PENDING}
    write = demand.hand_over(job_from_record(record), "b")
    with pytest.raises(StaleWriteError):
        apply(write, {**record, **since})
