"""Workers are killed with kill -9 while they work: no row is lost, none is paid twice."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from typing import Any

import pytest

from functions.core.batches.records import Batch, BatchState
from tests.e2e.pipeline import CANARY, PRICE, Pipeline, file_of
from tests.e2e.processes import can_be_found, frozen, processes_of, signalled

ROWS = 150
WAVES = 2
"""A job that loses three workers in a row before anything comes of it is taken for one that kills them."""

HEAL_SECONDS = 8
"""A dead worker's messages come back within its lease, which is shorter."""

SLOW = {"min": 0.5, "mean": 2.0, "max": 6.0}

pytestmark = pytest.mark.skipif(not can_be_found(), reason="finds the workers in /proc")


def test_killing_workers_at_random_loses_no_row_and_pays_none_twice(pipeline: Pipeline) -> None:
    """Half of the workers die at a random moment, and once more.

    They are killed while no submit of theirs is unanswered: that case costs minutes of looking for it at the provider,
    and the tests of `functions.core.jobs.work` go through it on a virtual clock. Whatever else they do dies with them:
    polling, downloading, checking, storing, writing down.

    The messages of a worker that dies before it has touched them come back after 18 minutes, or the recount rings their
    jobs before that: where nothing else is left to be done, those minutes are let pass.
    """
    chance = random.Random(20)  # picks victims
    pipeline.behave(latency_seconds=SLOW)
    prompts = [f"{CANARY} survivor {number}" for number in range(ROWS)]
    batch_id = pipeline.put("survivors.csv", file_of(prompts))

    killed = 0
    for wave in range(1, WAVES + 1):
        made = chance.randrange(ROWS * (wave - 1) // (WAVES + 1), ROWS * wave // (WAVES + 1))
        in_progress(pipeline, batch_id, more_than=made)
        killed += kill_half(pipeline, batch_id, chance)
    batch = end(pipeline, batch_id)

    jobs = pipeline.jobs(batch_id)
    assert killed >= WAVES
    assert any(job["attempt_count"] > 1 for job in jobs), "others took over what the killed ones had"
    assert (batch.state, batch.rows, batch.held, batch.failed) == (BatchState.COMPLETED, ROWS, 0, 0)
    check_numbers(pipeline, batch)
    rows = pipeline.results(batch_id)
    assert [row["prompt"] for row in rows] == prompts
    for row in rows:
        assert row["status"] == "success"
        pipeline.check_picture(row, (256, 256))
    assert pipeline.charges() == Counter(row["job_id"] for row in rows)
    assert batch.cost_usd == ROWS * PRICE == pipeline.net_usd()
    assert pipeline.dead_letters() == []


def end(pipeline: Pipeline, batch_id: str) -> Batch:
    """The batch, once it has ended. Lets minutes pass where its jobs wait for messages that nobody can see."""
    healed = time.monotonic()

    def look() -> Batch | None:
        nonlocal healed
        batch = pipeline.batch(batch_id)
        if not batch.is_open:
            return batch
        stands_still = batch.pending and not batch.running and pipeline.visible_messages() == 0
        if stands_still and time.monotonic() - healed > HEAL_SECONDS:
            pipeline.pass_time(batch_id)
            pipeline.tick()
            healed = time.monotonic()
        return None

    return pipeline.wait_for(look, lambda: f"{pipeline.batch(batch_id)} to end")


def check_numbers(pipeline: Pipeline, batch: Batch) -> None:
    """See that the batch's numbers are those of the raw jobs table."""
    counted = pipeline.recount(batch.batch_id)
    assert counted == {name: getattr(batch, name) for name in counted}
    assert batch.duplicates_prevented == batch.requested - counted["jobs"] == 0


def in_progress(pipeline: Pipeline, batch_id: str, *, more_than: int) -> None:
    """Wait until more than so many of the batch's pictures are made, and others are on their way."""

    def look() -> bool:
        batch = pipeline.batch(batch_id)
        return batch.succeeded > more_than and batch.running > 0

    pipeline.wait_for(look, lambda: f"more than {more_than} pictures of {pipeline.batch(batch_id)}")


def kill_half(pipeline: Pipeline, batch_id: str, chance: random.Random) -> int:
    """Kill half of the lane's workers at a moment when each of their paid calls has its answer; how many."""

    def kill() -> int:
        with frozen(processes_of(pipeline.instance, pipeline.lane()["function"])) as pids:
            # Twice: what was on its way to the table when they froze has arrived by the second look.
            first, second = (running(pipeline, batch_id) for _ in range(2))
            if not pids or not second or first != second or any(job.get("stage") == "submitting" for job in second):
                return 0
            victims = chance.sample(pids, (len(pids) + 1) // 2)
            return sum(signalled(pid, signal.SIGKILL) for pid in victims)

    return pipeline.wait_for(kill, lambda: "a moment without an unanswered submit")


def running(pipeline: Pipeline, batch_id: str) -> list[dict[str, Any]]:
    return [job for job in pipeline.jobs(batch_id) if job["state"] == "running"]
