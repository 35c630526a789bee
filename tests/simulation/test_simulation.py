"""Thousands of schedules in which workers die, answers get lost and messages come twice: money is spent once.

A failing seed is printed; `run_schedule(seed)` plays the same schedule again.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from functions.core.jobs.records import State
from tests.fakes.lane import PRICE
from tests.fakes.virtual_time import run
from tests.simulation.world import World, job_of

SCHEDULES = 10_000
CHUNK = 250


def run_schedule(seed: int) -> list[str]:
    """Play one schedule; what went wrong in it, in words."""
    world = World(seed)
    run(world.live())
    wrong = [f"a write by an owner that had lost the job: {write}" for write in world.stale_writes]
    paid = world.provider.paid()
    for job_id in world.jobs.records:
        job = job_of(world, job_id)
        if not job.state.ended and job.state is not State.HELD:
            wrong.append(f"job {job_id[:8]} is stuck in {job.state}")
        if paid[job_id] > 1:
            wrong.append(f"job {job_id[:8]} was paid for {paid[job_id]} times")
        if job.state is State.SUCCESS and (paid[job_id] != 1 or job.cost_usd != PRICE):
            wrong.append(f"job {job_id[:8]} succeeded, was paid for {paid[job_id]} times and cost {job.cost_usd}")
        if job.state is State.SUCCESS and job.image_key not in world.images.objects:
            wrong.append(f"job {job_id[:8]} succeeded without a stored picture")
    return wrong


def failures(seeds: range) -> dict[int, list[str]]:
    """The schedules among these that went wrong."""
    return {seed: wrong for seed in seeds if (wrong := run_schedule(seed))}


@pytest.mark.timeout(600)
def test_no_schedule_pays_twice_or_strands_a_job() -> None:
    chunks = [range(start, start + CHUNK) for start in range(0, SCHEDULES, CHUNK)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as processes:
        wrong = {seed: what for found in processes.map(failures, chunks) for seed, what in found.items()}
    assert not wrong, f"{len(wrong)} of {SCHEDULES} schedules went wrong; the first: {next(iter(wrong.items()))}"


def test_a_seed_is_a_schedule() -> None:
    def played(seed: int) -> list[str]:
        world = World(seed)
        run(world.live())
        return world.jobs.written

    assert played(7) == played(7)
    assert played(7) != played(8)
