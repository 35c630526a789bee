"""A lane in a world that goes wrong: the real worker on virtual time, with everything around it simulated and seeded.

Each call that leaves a worker or the completion function may take its time before and after it has had its effect, and
may be the last thing its process does. Messages and callbacks come late, twice or never; the provider loses answers,
refuses and breaks; AWS throttles. One seed is one schedule, and the same seed is the same schedule.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from functions.core.catalog import Mode, Model, OnAmbiguous
from functions.core.input.identity import canonical_json, job_id
from functions.core.jobs import demand
from functions.core.jobs.records import Job, State
from functions.core.jobs.services import Services
from functions.core.jobs.vault import Vault
from functions.core.jobs.work import Delivery, LaneWorker
from functions.core.lanes.pacing import Bucket
from functions.core.messages import Doorbell, parse_doorbell
from functions.core.writes import Write
from tests.fakes.lane import LEASE_SECONDS, MODEL, SPEC, Records, StoppedBatches
from tests.fakes.stores import MemoryObjects, MemoryQueue
from tests.fakes.virtual_time import START_MS, VirtualClock
from tests.simulation.callbacks import ATTACKER, SIGNING_SECRET, Post
from tests.simulation.chances import Chances, Suspect
from tests.simulation.processes import Guarded, GuardedJobs, Killed, Process
from tests.simulation.provider import Provider
from tests.simulation.stores import FlakyObjects, IndexedJobs
from tests.simulation.visitors import Operator, end_of_batch, later_batch

HEAL_SECONDS = 300.0
"""How often somebody rings every job that has not ended, as the reporter's recount does."""

GIVE_UP_SECONDS = 24 * 3600.0
"""Virtual time after which a job that has not ended counts as stuck."""

NOT_OURS = frozenset(
    {
        *("claim_to_submit", "claim_to_look", "heal", "finish", "count_payment"),
        *("create", "join", "revive", "expire", "look_again", "resubmit", "give_up"),
    }
)
"""Writes that need not be the owner's."""


@dataclass
class World:
    """A few jobs, a queue, workers that come and go, and callbacks."""

    seed: int
    suspects: frozenset[Suspect] = frozenset()
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.chances = Chances.drawn(self.random)
        self.model = self._some_model()
        self.signed = self.random.random() < 0.7
        self.post = Post(self)
        self.jobs = IndexedJobs(self.clock, self.random, self.chances.index_stale)
        self.provider = Provider(
            self.random, self.chances, self.clock, self.model, self.post.call_back, self._open_attempt
        )
        self.provider.refunds = Suspect.REFUND_UNSEEN in self.suspects
        self.images = FlakyObjects(self.random, self.chances.storage_broken)
        self.metadata = MemoryObjects()
        self.dead_letters = MemoryQueue()
        self.lanes = Records()
        self.visible: dict[str, tuple[str, float]] = {}
        self.received: Counter[str] = Counter()
        self.stale_writes: list[str] = []
        self.believed_attacks: list[str] = []
        self.asked = {"a"}
        self.closed: set[str] = set()
        self.charged_after_the_end: list[str] = []
        self.operator = Operator(self, self.random.choice((0, 0, 1, 2, 4)))
        self._receipts = 0
        self._rung = asyncio.Event()

    def _some_model(self) -> Model:
        """Each schedule has one mode and one policy."""
        draw = self.random.random
        mode = Mode.POLL if draw() < 0.3 else Mode.SYNC if draw() < 0.15 else Mode.CALLBACK
        return replace(
            MODEL,
            mode=mode,
            inline_seconds=self.random.choice((0, 2, 8)),
            on_ambiguous=OnAmbiguous.REPAY if draw() < 0.2 else OnAmbiguous.HOLD,
        )

    def ring(self, job: str) -> None:
        """Send a job's message; some get lost, some come twice."""
        if self.random.random() < self.chances.message_lost:
            return
        self._rung.set()
        for _ in range(2 if self.random.random() < self.chances.message_doubled else 1):
            self._receipts += 1
            self.visible[f"m{self._receipts}"] = (job, self.clock.monotonic())

    def note(self, owner: str, job: str, write: Write) -> None:
        """Remember a write that somebody made who did not own the job at that moment, or was only to be asked about."""
        record = self.jobs.records[job]
        if write.name not in NOT_OURS and record.get("owner", owner).partition("/")[0] != owner:
            self.stale_writes.append(f"{write.name} by {owner}")
        if owner.startswith(ATTACKER):
            self.believed_attacks.append(write.name)
        if write.name in ("announce", "claim_to_submit") and record["batch_id"] in self.closed:
            self.charged_after_the_end.append(record["batch_id"])
        if record["state"].ended:
            wanted = ((batch, [job.state for job in self.all_jobs() if batch in job.batches]) for batch in self.asked)
            self.closed |= {batch for batch, states in wanted if all(state.ended for state in states)}

    def change_visibility(self, seconds_by_receipt: Mapping[str, int]) -> None:
        """The lane's queue. Implements `functions.core.ports.Visibility`."""
        for receipt, seconds in seconds_by_receipt.items():
            if receipt in self.visible:
                self.visible[receipt] = (self.visible[receipt][0], self.clock.monotonic() + seconds)

    def open_jobs(self) -> list[str]:
        """Jobs that something has still to happen to."""
        ended = (State.SUCCESS, State.FAILED, State.HELD)
        return [job for job, record in self.jobs.records.items() if record["state"] not in ended]

    def all_jobs(self) -> list[Job]:
        """Every job, as the table has it."""
        return list(self.jobs.get_many(list(self.jobs.records), consistent=True).values())

    def _open_attempt(self, job: str) -> int:
        attempt: int = self.jobs.records[job]["call_attempt"]
        return attempt

    def send(self, bodies: Sequence[str], *, delay_seconds: int = 0) -> None:
        """The lane's queue. Implements `functions.core.ports.Queue`."""
        for body in bodies:
            self.ring(parse_doorbell(body).job_id)

    def depth(self) -> int:
        """The lane's queue."""
        return len(self.visible)

    async def live(self) -> None:
        """Let time pass until every job has ended or is held for good and all callbacks came, or far too much of it."""
        self._upload()
        workers = [asyncio.create_task(self._worker(name)) for name in "abc"[: self.random.randint(1, 3)]]
        visits = [asyncio.create_task(visit) for visit in self._visits()]
        people = [asyncio.create_task(self.operator.work()) for _ in range(2)]  # who do not tell each other
        forever = [*workers, *people, asyncio.create_task(self._heal())]
        while self._is_busy(visits) and self.clock.monotonic() < GIVE_UP_SECONDS:  # noqa: ASYNC110  # it takes no time
            await asyncio.sleep(60)
        while not all(
            task.done() for task in forever
        ):  # a process that is killed just then hides the end from its poller
            for task in forever:
                task.cancel()
            await asyncio.sleep(1)
        await asyncio.gather(*forever, *visits, *self.post.underway, return_exceptions=True)

    def _upload(self) -> None:
        """The first batch."""
        for number in range(self.random.randint(1, 3)):
            spec = replace(SPEC, seed=number)
            job, text = job_id(spec), canonical_json(spec)
            self.jobs.write(job, demand.create(job, model=spec.model, spec=text, batch_id="a", now_ms=START_MS))
            self.ring(job)

    def _visits(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Who comes once, if at all."""
        draw = self.random.random
        yield from (later_batch(self, batch) for batch in ("b", "c") if draw() < 0.25)
        if draw() < 0.1:
            yield end_of_batch(self)
        if draw() < 0.3:
            yield self.post.attack()

    def _is_busy(self, visits: Sequence[asyncio.Task[None]]) -> bool:
        coming = self.post.underway or not all(visit.done() for visit in visits)
        return bool(coming or self.open_jobs() or self.operator.is_needed)

    async def _worker(self, name: str) -> None:
        """A poller of the queue and the process that it feeds, replaced when it dies."""
        number = 0
        while True:
            number += 1
            received = self._receive()
            if not received:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._rung.wait(), self._until_visible())
                self._rung.clear()
                await asyncio.sleep(self.random.uniform(0.1, 2))
                continue
            process = Process(self, f"{name}-{number}")
            try:
                back = await self._lane_worker(process).work(received)
            except (Killed, BaseExceptionGroup):
                assert process.dead
                continue
            for delivery in received:
                if delivery.message_id not in back:
                    self.visible.pop(delivery.receipt, None)

    def _until_visible(self) -> float:
        """Seconds until a message can be received, as far as is known now."""
        soonest = min((at for _, at in self.visible.values()), default=self.clock.monotonic() + HEAL_SECONDS)
        return max(0.0, min(soonest - self.clock.monotonic(), HEAL_SECONDS))

    def _receive(self) -> Sequence[Delivery]:
        now = self.clock.monotonic()
        ready = [receipt for receipt, (_, at) in self.visible.items() if at <= now][:10]
        self.change_visibility(dict.fromkeys(ready, 6 * LEASE_SECONDS))
        self.received.update(ready)
        return [Delivery(one, one, Doorbell(self.visible[one][0]), self.received[one]) for one in ready]

    def _lane_worker(self, process: Process) -> LaneWorker:
        ends = self.clock.monotonic() + 177
        services = Services(
            model=self.model,
            api=process,
            jobs=GuardedJobs(process, self.jobs),
            vault=Vault(Guarded(process, self.images), Guarded(process, self.metadata)),
            dead_letters=Guarded(process, self.dead_letters),
            clock=process,
            log=lambda event, **fields: None,
            uniform=self.random.uniform,
            remaining=lambda: ends - self.clock.monotonic(),
            api_url="https://api.example",
            callback_secret=SIGNING_SECRET,
        )
        bucket = Bucket(Guarded(process, self.lanes), MODEL)
        return LaneWorker(services, bucket, StoppedBatches(), Guarded(process, self), process.owner, LEASE_SECONDS)

    async def _heal(self) -> None:
        while True:
            await asyncio.sleep(HEAL_SECONDS)
            for job in self.open_jobs():
                self.ring(job)
