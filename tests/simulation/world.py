"""A lane in a world that goes wrong: the real worker on virtual time, with everything around it simulated and seeded.

Each call that leaves a worker or the completion function may take its time before and after it has had its effect, and
may be the last thing its process does. Messages and callbacks come late, twice or never; the provider loses answers,
refuses and breaks; AWS throttles. One seed is one schedule, and the same seed is the same schedule.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from urllib.parse import parse_qs, urlsplit

from functions.core.batches.counting import Change
from functions.core.catalog import Mode, Model, OnAmbiguous
from functions.core.errors import StorageError
from functions.core.input.identity import canonical_json, job_id
from functions.core.jobs import lifecycle
from functions.core.jobs.completion import Callback, Completion, Result, http_status
from functions.core.jobs.pacing import Bucket
from functions.core.jobs.records import Job, State
from functions.core.jobs.services import Services
from functions.core.jobs.vault import Vault
from functions.core.jobs.work import Delivery, LaneWorker
from functions.core.messages import Doorbell, parse_doorbell
from functions.core.writes import Write
from tests.fakes.lane import LEASE_SECONDS, MODEL, SPEC, Records
from tests.fakes.stores import MemoryJobs, MemoryObjects, MemoryQueue
from tests.fakes.virtual_time import START_MS, VirtualClock
from tests.simulation.processes import Guarded, Killed, Process, ThrottledError
from tests.simulation.provider import Chances, Provider

HEAL_SECONDS = 300.0
"""How often somebody rings every job that has not ended, as the reporter's recount does."""

GIVE_UP_SECONDS = 6 * 3600.0
"""Virtual time after which a job that has not ended counts as stuck."""

DELIVERIES = 3
"""How often the provider tries to deliver a callback."""

SIGNING_SECRET = "signs-the-keys-of-this-simulated-world"
NOT_OURS = frozenset({"claim_to_submit", "claim_to_look", "heal", "finish", "count_payment"})
"""Writes that need not be the owner's."""


class FlakyObjects(MemoryObjects):
    """A bucket that refuses now and then."""

    def __init__(self, random: Random, chance: float) -> None:
        super().__init__()
        self._random, self._chance = random, chance

    def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
        if self._random.random() < self._chance:
            raise StorageError("an object could not be written: SlowDown")
        return super().put_if_absent(key, body, content_type)

    def get(self, key: str) -> bytes | None:
        if self._random.random() < self._chance:
            raise StorageError("an object could not be read: SlowDown")
        return super().get(key)


class StreamedJobs(MemoryJobs):
    """The jobs table and its stream."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: list[Change] = []

    def write(self, job_id: str, write: Write) -> Job:
        before = self.get(job_id)
        after = super().write(job_id, write)
        self.stream.append(Change(before, after))
        return after


@dataclass
class World:
    """A few jobs, a queue, workers that come and go, and callbacks."""

    seed: int
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.chances = Chances.drawn(self.random)
        self.model = self._some_model()
        self.signed = self.random.random() < 0.7
        self.provider = Provider(self.random, self.chances, self.clock, self.model, self.call_back)
        self.jobs = StreamedJobs()
        self.images = FlakyObjects(self.random, self.chances.storage_broken)
        self.metadata = MemoryObjects()
        self.dead_letters = MemoryQueue()
        self.lanes = Records()
        self.visible: dict[str, tuple[str, float]] = {}
        self.received: Counter[str] = Counter()
        self.stale_writes: list[str] = []
        self.answered: list[tuple[str, str, Result]] = []
        self._receipts = 0
        self._callbacks: set[asyncio.Task[None]] = set()
        for number in range(self.random.randint(1, 3)):
            spec = replace(SPEC, seed=number)
            write = lifecycle.create(
                job_id(spec), model=spec.model, spec=canonical_json(spec), batch_id="a", now_ms=START_MS
            )
            self.jobs.write(job_id(spec), write)
            self.ring(job_id(spec))

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
        for _ in range(2 if self.random.random() < self.chances.message_doubled else 1):
            self._receipts += 1
            self.visible[f"m{self._receipts}"] = (job, self.clock.monotonic() if self._running() else 0.0)

    def note(self, owner: str, job: str, write: Write) -> None:
        """Remember a write that somebody made who did not own the job at that moment."""
        record = self.jobs.records[job]
        if write.name not in NOT_OURS and record.get("owner", owner).partition("/")[0] != owner:
            self.stale_writes.append(f"{write.name} by {owner}")

    def change_visibility(self, seconds_by_receipt: Mapping[str, int]) -> None:
        """The lane's queue. Implements `functions.core.ports.Visibility`."""
        for receipt, seconds in seconds_by_receipt.items():
            if receipt in self.visible:
                self.visible[receipt] = (self.visible[receipt][0], self.clock.monotonic() + seconds)

    def open_jobs(self) -> list[str]:
        """Jobs that something has still to happen to."""
        ended = (State.SUCCESS, State.FAILED, State.HELD)
        return [job for job, record in self.jobs.records.items() if record["state"] not in ended]

    def send(self, bodies: Sequence[str], *, delay_seconds: int = 0) -> None:
        """The lane's queue. Implements `functions.core.ports.Queue`."""
        for body in bodies:
            self.ring(parse_doorbell(body).job_id)

    def depth(self) -> int:
        """The lane's queue."""
        return len(self.visible)

    def call_back(self, url: str, reference: str, ready: float) -> None:
        """The provider is to post an outcome to a URL when it is there; some events get lost, late or doubled."""
        draw = self.random.random
        if draw() < self.chances.callback_lost:
            return
        late = self.random.uniform(0, 4000) if draw() < self.chances.callback_late else 0.0
        for _ in range(2 if draw() < self.chances.callback_doubled else 1):
            task = asyncio.create_task(self._deliver(url, reference, ready + late))
            self._callbacks.add(task)
            task.add_done_callback(self._callbacks.discard)

    async def _deliver(self, url: str, reference: str, at: float) -> None:
        """Post an outcome until it is taken, each time to another process of the completion function."""
        await asyncio.sleep(max(0.0, at - self.clock.monotonic()))
        parts = urlsplit(url)
        callback = Callback(
            provider=parts.path.rpartition("/")[2],
            key=parse_qs(parts.query)["key"][0],
            body=f"event-{reference} {reference}".encode(),
            headers={},
        )
        for delivery in range(DELIVERIES):
            process = Process(self, f"callback-{reference}-{delivery}")
            try:
                result = await self._completion(process).receive(callback)
            except (Killed, ThrottledError):
                result = Result.BROKEN
            self.answered.append((callback.key[:64], reference, result))
            if http_status(result) == 200:
                return
            await asyncio.sleep(self.random.uniform(1, 30))

    async def live(self) -> None:
        """Let time pass until every job has ended or is held and all callbacks came, or far too much of it passed."""
        workers = [asyncio.create_task(self._worker(name)) for name in "abc"[: self.random.randint(1, 3)]]
        healer = asyncio.create_task(self._heal())
        while (self.open_jobs() or self._callbacks) and self.clock.monotonic() < GIVE_UP_SECONDS:  # noqa: ASYNC110  # it takes no time
            await asyncio.sleep(20)
        for task in (*workers, healer):
            task.cancel()
        await asyncio.gather(*workers, healer, *self._callbacks, return_exceptions=True)

    async def _worker(self, name: str) -> None:
        """A poller of the queue and the process that it feeds, replaced when it dies."""
        number = 0
        while True:
            number += 1
            received = self._receive()
            if not received:
                await asyncio.sleep(self._until_visible() + self.random.uniform(0.1, 2))
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
        return max(0.0, min(soonest - self.clock.monotonic(), HEAL_SECONDS / 10))

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
            jobs=Guarded(process, self.jobs, owned=True),
            vault=Vault(Guarded(process, self.images), Guarded(process, self.metadata)),
            dead_letters=Guarded(process, self.dead_letters),
            clock=process,
            log=lambda event, **fields: None,
            uniform=self.random.uniform,
            remaining=lambda: ends - self.clock.monotonic(),
            api_url="https://api.example",
            callback_secret=SIGNING_SECRET,
        )
        bucket = Bucket(Guarded(process, self.lanes), MODEL.account)
        return LaneWorker(services, bucket, Guarded(process, self), process.owner, LEASE_SECONDS)

    def _completion(self, process: Process) -> Completion:
        return Completion(
            models={self.model.name: self.model},
            readers={self.model.account.provider: self.provider.read_callback},
            api=lambda model: process,
            webhook_secret=lambda account: "signed" if self.signed else "",
            callback_secret=SIGNING_SECRET,
            jobs=Guarded(process, self.jobs),
            vault=Vault(Guarded(process, self.images), Guarded(process, self.metadata)),
            lanes={self.model.name: Guarded(process, self)},
            clock=process,
            log=lambda event, **fields: None,
        )

    async def _heal(self) -> None:
        while True:
            await asyncio.sleep(HEAL_SECONDS)
            for job in self.open_jobs():
                self.ring(job)

    @staticmethod
    def _running() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False
        return True


def job_of(world: World, job: str) -> Job:
    """A job as the table has it."""
    found = world.jobs.get(job)
    assert found is not None
    return found
