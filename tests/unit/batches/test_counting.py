"""The counters that follow from a stream of changes are those of the jobs themselves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from functions.core.batches.counting import Change, add_to, deltas, worth
from functions.core.batches.records import batch_from_record
from functions.core.jobs import demand
from functions.core.jobs.records import Job, State, job_from_record
from tests.fakes.lives import something_happens
from tests.fakes.plant import PRICE, Plant
from tests.fakes.stores import StreamedJobs

BATCHES = ("a", "b", "c")
JOBS = ("00" * 32, "11" * 32, "22" * 32)


def create(jobs: StreamedJobs, job_id: str, batch_id: str) -> None:
    write = demand.create(job_id, model="m", spec="{}", batch_id=batch_id, now_ms=0)
    if not jobs.create_many({job_id: write}):
        return
    job = job_from_record(jobs.records[job_id])
    if batch_id in job.batches:
        return
    if demand.revivable(job):
        jobs.write(job_id, demand.revive(job, batch_id, 0))
    elif not job.state.ended:
        jobs.write(job_id, demand.join(batch_id))


def live(data: st.DataObject) -> StreamedJobs:
    """Let jobs be asked for and end, in any order."""
    plant = Plant()
    for _ in range(data.draw(st.integers(1, 25))):
        job_id = data.draw(st.sampled_from(JOBS))
        if data.draw(st.booleans()):
            create(plant.jobs, job_id, data.draw(st.sampled_from(BATCHES)))
        elif job_id in plant.jobs.records:
            something_happens(plant, job_id, data)
    return plant.jobs


def truth(jobs: StreamedJobs) -> dict[str, dict[str, int | Decimal]]:
    total: dict[str, dict[str, int | Decimal]] = {}
    for record in jobs.records.values():
        job = job_from_record(record)
        for batch_id in job.batches:
            add_to(total.setdefault(batch_id, {}), worth(batch_id, job))
    return {batch_id: {name: n for name, n in counts.items() if n} for batch_id, counts in total.items()}


@given(st.data())
def test_deltas_sum_up_to_the_truth_however_the_stream_is_cut_into_invocations(data: st.DataObject) -> None:
    jobs = live(data)
    total: dict[str, dict[str, int | Decimal]] = {}
    stream = list(jobs.stream)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        for batch_id, counts in deltas(stream[:size]).items():
            add_to(total.setdefault(batch_id, {}), counts)
        stream = stream[size:]
    summed = {batch_id: {name: n for name, n in counts.items() if n} for batch_id, counts in total.items()}
    assert {batch_id: counts for batch_id, counts in summed.items() if counts} == truth(jobs)


def job(**changes: Any) -> Job:
    record = {
        "job_id": "00" * 32,
        "state": "pending",
        "model": "m",
        "spec": "{}",
        "batch_id": "a",
        "batches": {"a", "b"},
        "created_at": "",
        "updated_at": "",
    }
    return job_from_record({**record, **changes})


def test_the_batch_that_pays_is_charged_when_the_job_ends() -> None:
    change = Change(job(state="running"), job(state="success", cost_usd=PRICE))
    assert deltas([change]) == {
        "a": {"running": -1, "succeeded": 1, "cost_usd": PRICE},
        "b": {"running": -1, "succeeded": 1},
    }


def test_a_second_payment_and_a_repay_count_when_they_are_known_for_the_batch_that_pays() -> None:
    before = job(state="held")
    assert deltas([Change(before, job(state="held", cost_usd=PRICE))]) == {"a": {"cost_usd": PRICE}}
    assert deltas([Change(before, job(state="pending", repays=1))]) == {
        "a": {"held": -1, "pending": 1, "repaid": 1},
        "b": {"held": -1, "pending": 1},
    }


def test_a_heartbeat_counts_for_nothing() -> None:
    assert deltas([Change(job(lease_expires_at=1), job(lease_expires_at=2))]) == {}


def test_a_counter_below_zero_reads_as_zero(plant: Plant) -> None:
    """Where records of the stream were lost."""
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split(1)
    record = {**plant.batches.records[batch_id], "pending": -1, "failed": -1}
    batch = batch_from_record(record)
    assert (batch.pending, batch.failed) == (0, 0)


def test_a_late_record_changes_no_closed_batch_and_makes_none(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.heal()
    before = dict(plant.batches.records[batch_id])
    (job_id,) = plant.jobs.records
    done = plant.job(job_id)
    plant.tracker.follow([Change(done, None), Change(None, job(batches={"nobody"}))])
    assert plant.batches.records == {batch_id: before}


def test_a_finished_batch_is_sent_to_be_closed_and_an_unfinished_one_is_not(plant: Plant) -> None:
    plant.upload("a.csv", "prompt\ncat\ndog\n")
    plant.split()
    plant.reports.messages.clear()
    first, second = plant.jobs.records
    plant.end_job(first, State.SUCCESS)
    plant.track()
    assert plant.reports.messages == []
    plant.end_job(second, State.SUCCESS)
    plant.track()
    assert len(plant.reports.messages) == 1
