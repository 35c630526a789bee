"""Who else writes to the jobs of a simulated world: the operator, batches that come later, and the end of a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from functions.core.batches.asking import ask
from functions.core.catalog import load_catalog
from functions.core.input.identity import PictureSpec, job_id
from functions.core.jobs import demand
from functions.core.jobs.records import Job, State
from ops.errors import UsageError
from ops.held import Decision, GiveUp, Look, Resubmit, check
from tests.fakes.lane import PRICE, SPEC
from tests.simulation.chances import Suspect
from tests.simulation.processes import AnswerLostError, GuardedJobs, Killed, Process, ThrottledError

if TYPE_CHECKING:
    from tests.simulation.world import World

CATALOG = load_catalog()
PRICES = {SPEC.model: PRICE}
BROKEN = (Killed, ThrottledError, AnswerLostError)


async def later_batch(world: World, batch_id: str) -> None:
    """A batch that wants some of the pictures that are there or on their way, and perhaps another one."""
    random = world.random
    await asyncio.sleep(random.choice((60, 600, 6000)) * random.random())
    numbers = random.sample(range(4), random.randint(1, 3))
    specs: dict[str, PictureSpec] = {}
    for number in numbers:
        spec = replace(SPEC, seed=number)
        specs[job_id(spec)] = spec
    while True:  # as its message comes again until it is asked
        process = Process(world, f"asks-for-{batch_id}")
        with suppress(*BROKEN):
            answer = ask(_SlowReader(process, world.jobs), batch_id, specs, world.clock.now_ms())
            break
        await asyncio.sleep(random.uniform(1, 60))
    world.asked.add(batch_id)
    for job in sorted(answer.waiting):
        world.ring(job)


async def end_of_batch(world: World) -> None:
    """The reporter ends what was not started in time."""
    await asyncio.sleep(world.random.uniform(0, 3000))
    process = Process(world, "reporter")
    jobs = world.jobs.get_many(world.open_jobs(), consistent=True)
    await asyncio.sleep(world.random.choice((0.0, 1.0)))
    with suppress(*BROKEN):
        writes = {job_id: demand.expire(job, world.clock.now_ms()) for job_id, job in jobs.items()}
        GuardedJobs(process, world.jobs).write_many(writes)


class _SlowReader(GuardedJobs):
    """Time passes between what it reads and what it writes, although its blocking calls take none here."""

    def get_many(self, job_ids: Sequence[str], *, consistent: bool) -> dict[str, Job]:
        return {job_id: self._port.a_while_ago(job_id) for job_id in job_ids}


@dataclass
class Operator:
    """A person who decides about held jobs and has the provider's dashboard open. So many decisions, and no more.

    The operator may not know what a call has cost, and may name a wrong prediction, but never says of a call that was
    taken that it was not.
    """

    world: World
    decisions: int

    async def work(self) -> None:
        random = self.world.random
        while self.decisions:
            await asyncio.sleep(random.uniform(10, 900))
            held = list(self.world.jobs.held())
            if held:
                self.decisions -= 1
                job = random.choice(held)
                decision = random.choice(self._choices(job))(job)
                await asyncio.sleep(random.choice((0, 60, 2000)) * random.random())
                self._carry_out(job, decision)

    @property
    def is_needed(self) -> bool:
        """Whether something will still be decided."""
        return self.decisions > 0 and any(record["state"] == State.HELD for record in self.world.jobs.records.values())

    def _choices(self, job: Job) -> list[Callable[[Job], Decision]]:
        taken = self._call(job) != ""
        paid = taken and self._call(job) not in self.world.provider.failed
        counts = paid or Suspect.REFUND_UNSEEN in self.world.suspects
        return [
            lambda _: Look(),
            lambda job: Look(self._call(job)),
            lambda _: Look("nowhere"),
            self._somebody_elses,
            lambda _: Resubmit(not_taken=not counts, prices=PRICES),
            lambda _: Resubmit(prices=PRICES if counts else {}),
            lambda _: GiveUp(PRICES if paid else {}),
            lambda _: GiveUp(),
        ]

    def _call(self, job: Job) -> str:
        return self.world.provider.call_of(job.job_id, job.call_attempt)

    def _somebody_elses(self, job: Job) -> Look:
        """A prediction that another job's record names, or none."""
        others = [other.reference for other in self.world.all_jobs() if other.job_id != job.job_id and other.reference]
        return Look(self.world.random.choice(others) if others else "")

    def _carry_out(self, job: Job, decision: Decision) -> None:
        """As `ops.held` does it; the clock of that is not virtual."""
        jobs = GuardedJobs(Process(self.world, "operator"), self.world.jobs)
        with suppress(UsageError, *BROKEN):
            check(cast(Any, _Stack(jobs, {job.model: ""})), CATALOG, [job], decision)
            try:
                jobs.write_many({job.job_id: decision.write(job, self.world.clock.now_ms())})
            finally:
                if decision.rings:
                    self.world.ring(job.job_id)


@dataclass(frozen=True, slots=True)
class _Stack:
    """What deciding needs of a deployed stack."""

    store: GuardedJobs
    lane_queues: dict[str, str]

    def jobs(self) -> GuardedJobs:
        return self.store
