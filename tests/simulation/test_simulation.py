"""Thousands of schedules in which workers die, answers get lost and messages come twice: money is spent once.

A failing seed is printed; `run_schedule(seed)` plays the same schedule again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context

import pytest

from functions.core.batches.counting import add_to, deltas, exactly, worth
from functions.core.catalog import OnAmbiguous
from functions.core.errors import ErrorClass
from functions.core.jobs.completion import Result, http_status
from functions.core.jobs.records import Job, State
from tests.fakes.lane import PRICE
from tests.fakes.virtual_time import run
from tests.simulation.world import World, job_of

SCHEDULES = 10_000
CHUNK = 250

SEEN = 700
"""Schedules among which the rarest change happens a few times."""

WRITES = {
    "create",
    *("claim_to_submit", "claim_to_look", "announce", "withdraw", "doubt", "accept", "heartbeat", "leave"),
    *("give_back", "succeed", "fail", "hold", "repay", "heal", "finish", "count_payment"),
}


def run_schedule(seed: int) -> list[str]:
    """Play one schedule; what went wrong in it, in words."""
    world = World(seed)
    run(world.live())
    wrong = [f"a write by an owner that had lost the job: {write}" for write in world.stale_writes]
    paid = world.provider.paid()
    for job_id in world.jobs.records:
        job = job_of(world, job_id)
        wrong += [f"job {job_id[:8]} {what}" for what in wrong_with(world, job, paid[job_id])]
    counted = deltas(world.jobs.stream).get("a", {})
    truth: dict[str, int | Decimal] = {}
    for job_id in world.jobs.records:
        add_to(truth, worth("a", job_of(world, job_id)))
    if exactly(counted) != exactly(truth):
        wrong.append(f"the counters are {counted}, and the truth is {truth}")
    return wrong


def wrong_with(world: World, job: Job, paid: int) -> Iterator[str]:
    """What must not be, of a job whose calls were charged so often."""
    healed = any(
        job_id == job.job_id and reference not in world.provider.failed and http_status(result) == 200
        for job_id, reference, result in world.answered
    )
    if not job.state.ended and job.state is not State.HELD:
        yield f"is stuck in {job.state}"
    if paid > 1 + job.repays:
        yield f"was paid for {paid} times, with {job.repays} repays"
    if job.repays and world.model.on_ambiguous is OnAmbiguous.HOLD:
        yield "was repaid against the policy"
    # A picture that could not be had from the provider counts as paid, since nobody has seen it refunded.
    at_most = paid + (job.state is State.FAILED and job.stage is not None)
    if job.cost_usd is not None and job.cost_usd > PRICE * at_most:
        yield f"cost {job.cost_usd}, and was paid for {paid} times"
    if job.state is State.SUCCESS and (paid < 1 or not job.cost_usd):
        yield f"succeeded, was paid for {paid} times and cost {job.cost_usd}"
    if job.state is State.SUCCESS and job.image_key not in world.images.objects:
        yield "succeeded without a stored picture"
    if job.state is State.HELD and healed and job.error_class is not ErrorClass.POISON:
        yield "is held although a callback said what became of its call"
    if (job.state is State.HELD) != bool(job.held_at):
        yield f"is {job.state} and marked as held at {job.held_at!r}"


def failures(seeds: range) -> dict[int, list[str]]:
    """The schedules among these that went wrong."""
    return {seed: wrong for seed in seeds if (wrong := run_schedule(seed))}


@pytest.mark.timeout(600)
def test_no_schedule_pays_twice_or_strands_a_job() -> None:
    chunks = [range(start, start + CHUNK) for start in range(0, SCHEDULES, CHUNK)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        wrong = {seed: what for found in processes.map(failures, chunks) for seed, what in found.items()}
    assert not wrong, f"{len(wrong)} of {SCHEDULES} schedules went wrong; the first: {next(iter(wrong.items()))}"


def test_the_schedules_go_everywhere() -> None:
    """Every change of a job that needs no operator, and every end of a callback that a provider could have sent."""
    written: set[str] = set()
    results: set[Result] = set()
    for seed in range(SEEN):
        world = World(seed)
        run(world.live())
        written.update(world.jobs.written)
        results.update(result for *_, result in world.answered)
    assert written == WRITES
    # Without a signature, what the provider says of a failed call is not believed.
    assert results - {Result.FOREIGN} == {*Result} - {result for result in Result if result.refused}


def test_a_seed_is_a_schedule() -> None:
    def played(seed: int) -> list[str]:
        world = World(seed)
        run(world.live())
        return world.jobs.written

    assert played(7) == played(7)
    assert played(7) != played(8)
