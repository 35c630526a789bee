"""A lane in a world that goes wrong: the real worker on virtual time, with everything around it simulated and seeded.

Each call that leaves a worker may take its time before and after it has had its effect, and may be the last thing the
worker does. Messages come late, twice or never; the provider loses answers, refuses and breaks; AWS throttles. One seed
is one schedule, and the same seed is the same schedule.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

from functions.core.errors import ErrorClass, Fault, StorageError
from functions.core.input.identity import PictureSpec, canonical_json, job_id
from functions.core.jobs import lifecycle
from functions.core.jobs.attempt import Services
from functions.core.jobs.pacing import Bucket
from functions.core.jobs.records import Job, State
from functions.core.jobs.vault import Vault
from functions.core.jobs.work import Delivery, LaneWorker
from functions.core.messages import Doorbell
from functions.core.ports import (
    Accepted,
    Ambiguous,
    Completed,
    NotSent,
    Output,
    PollAnswer,
    PollError,
    Prediction,
    Refused,
    SubmitAnswer,
    Working,
)
from functions.core.writes import Write
from tests.fakes.lane import LEASE_SECONDS, MODEL, PRICE, SPEC, Records, picture
from tests.fakes.stores import MemoryJobs, MemoryObjects, MemoryQueue
from tests.fakes.virtual_time import START_MS, VirtualClock

T = TypeVar("T")

HEAL_SECONDS = 300.0
"""How often somebody rings every job that has not ended, as the reporter's recount does."""

GIVE_UP_SECONDS = 6 * 3600.0
"""Virtual time after which a job that has not ended counts as stuck."""


class Killed(BaseException):  # no error: kill -9
    """Raised in everything a dead worker still tries to do."""


class ThrottledError(Exception):
    """What AWS raises when it has had enough; nothing has happened."""


@dataclass(frozen=True, slots=True)
class Chances:
    """How often things go wrong, each from 0 to 1 for each time they could."""

    kill: float
    lost_answer_taken: float
    lost_answer_not_taken: float
    refused: float
    task_failed: float
    poll_broken: float
    broken_picture: float
    storage_broken: float
    message_doubled: float
    message_lost: float
    frozen: float
    throttled: float

    @classmethod
    def drawn(cls, random: Random) -> Chances:
        """Some things go wrong often, most never: each schedule has troubles of its own."""
        worst = {"kill": 0.05, "message_lost": 0.3, "frozen": 0.1, "throttled": 0.1}
        return cls(
            **{
                name: worst.get(name, 0.4) * random.random() if random.random() < 0.4 else 0.0
                for name in cls.__dataclass_fields__
            }
        )


@dataclass
class Provider:
    """The image API behind every worker: it remembers what it was asked and what it charged."""

    random: Random
    chances: Chances
    clock: VirtualClock
    taken: dict[str, tuple[str, PictureSpec, float, int]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def paid(self) -> Counter[str]:
        """Charges of each job that were not given back."""
        return Counter(job for reference, (job, *_) in self.taken.items() if reference not in self.failed)

    async def submit(self, spec: PictureSpec, *, job_id: str, not_after: float) -> SubmitAnswer:
        if self.clock.monotonic() > not_after:
            return NotSent()
        draw = self.random.random()
        if draw < self.chances.refused:
            return Refused(Fault(self.random.choice((ErrorClass.RATE_LIMITED, ErrorClass.NETWORK)), "refused"))
        code = self.random.choice((500, 504, None))
        lost = Ambiguous(Fault(ErrorClass.AMBIGUOUS, "lost", code))
        if self.random.random() < self.chances.lost_answer_not_taken:
            return lost
        answered = self.random.random() >= self.chances.lost_answer_taken
        # Where the provider itself has not answered, it may take the call a good deal later.
        late = 0.0 if answered or code == 500 else self.random.uniform(0, MODEL.timeout_seconds)
        reference = f"p{len(self.taken)}"
        ready = self.clock.monotonic() + late + self.random.expovariate(1 / 5)
        self.taken[reference] = (job_id, spec, ready, self.clock.now_ms() + round(late * 1000))
        if self.random.random() < self.chances.task_failed:
            self.failed.add(reference)
        return Accepted(reference, 200) if answered else lost

    async def poll(self, reference: str) -> PollAnswer:
        if self.random.random() < self.chances.poll_broken:
            raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))
        _, _, ready, _ = self.taken[reference]
        if self.clock.monotonic() < ready:
            return Working()
        if reference in self.failed:
            return Refused(Fault(ErrorClass.CAPACITY, "the task failed with code 5000", 200))
        return Completed(Output(url=reference), 200)

    async def predictions(self, since_ms: int, until_ms: int) -> tuple[Prediction, ...]:
        if self.random.random() < self.chances.poll_broken:
            raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))
        return tuple(
            Prediction(reference, failed=reference in self.failed and self.clock.monotonic() >= ready)
            for reference, (_, _, ready, at_ms) in self.taken.items()
            if since_ms <= at_ms <= min(until_ms, self.clock.now_ms())
        )

    async def fetch(self, output: Output) -> bytes:
        spec = self.taken[output.url][1]
        data = picture(spec)
        return data[:-40] if self.random.random() < self.chances.broken_picture else data

    def price(self, spec: PictureSpec) -> Decimal:
        return PRICE


@dataclass
class Process:
    """One worker process. Everything it does to the world goes through here, until it is dead."""

    world: World
    owner: str
    dead: bool = False
    frozen_until: float = 0.0

    def now_ms(self) -> int:
        return self.world.clock.now_ms()

    def monotonic(self) -> float:
        return self.world.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; a frozen process wakes up when it is thawed, its heartbeats too. It is its worker's clock."""
        await asyncio.sleep(seconds)
        while (left := self.frozen_until - self.monotonic()) > 0:  # noqa: ASYNC110  # it may be frozen again
            await asyncio.sleep(left)

    async def reach(self, call: Callable[[], Awaitable[T]]) -> T:
        """Carry out a call, with time passing and death lurking before and after its effect."""
        await self._live()
        answer = await call()
        await self._live()
        return answer

    async def _live(self) -> None:
        random, chances = self.world.random, self.world.chances
        if random.random() < 0.5:
            await self.sleep(random.expovariate(20))
        if random.random() < chances.frozen:
            self.frozen_until = self.monotonic() + random.uniform(0, 2 * LEASE_SECONDS)
            await self.sleep(0)
        if not self.dead and random.random() < chances.kill:
            self.dead = True
        if self.dead:
            raise Killed

    def __getattr__(self, name: str) -> Any:
        """A method of the provider, seen from this process."""
        method = getattr(self.world.provider, name)
        if name == "price":
            return method

        async def reached(*args: Any, **kwargs: Any) -> Any:
            return await self.reach(lambda: method(*args, **kwargs))

        return reached


class Guarded:
    """A blocking port of one process: dead processes reach nothing, and some calls are the last ones.

    The worker calls these from threads; on the virtual loop they run inline, so time passes around them and not inside.
    """

    def __init__(self, process: Process, port: Any, *, owned: bool = False) -> None:
        self._process = process
        self._port = port
        self._owned = owned

    def __getattr__(self, name: str) -> Any:
        method, process = getattr(self._port, name), self._process

        def call(*args: Any, **kwargs: Any) -> Any:
            self._maybe_die()
            if process.world.random.random() < process.world.chances.throttled:
                raise ThrottledError
            answer = method(*args, **kwargs)
            if self._owned and name == "write":
                process.world.note(process.owner, args[0], args[1])
            self._maybe_die()
            return answer

        return call

    def _maybe_die(self) -> None:
        process = self._process
        if not process.dead and process.world.random.random() < process.world.chances.kill:
            process.dead = True
        if process.dead:
            raise Killed


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


@dataclass
class World:
    """A few jobs, a queue, and workers that come and go."""

    seed: int
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.chances = Chances.drawn(self.random)
        self.provider = Provider(self.random, self.chances, self.clock)
        self.jobs = MemoryJobs()
        self.images = FlakyObjects(self.random, self.chances.storage_broken)
        self.metadata = MemoryObjects()
        self.dead_letters = MemoryQueue()
        self.lanes = Records()
        self.visible: dict[str, tuple[str, float]] = {}
        self.stale_writes: list[str] = []
        self._receipts = 0
        for number in range(self.random.randint(1, 3)):
            spec = replace(SPEC, seed=number)
            write = lifecycle.create(
                job_id(spec), model=spec.model, spec=canonical_json(spec), batch_id="a", now_ms=START_MS
            )
            self.jobs.write(job_id(spec), write)
            self.ring(job_id(spec))

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
        if write.name not in ("claim_to_submit", "claim_to_look") and record.get("owner", owner) != owner:
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

    async def live(self) -> None:
        """Let time pass until every job has ended or is held, or far too much of it has passed."""
        workers = [asyncio.create_task(self._worker(name)) for name in "abc"[: self.random.randint(1, 3)]]
        healer = asyncio.create_task(self._heal())
        while self.open_jobs() and self.clock.monotonic() < GIVE_UP_SECONDS:  # noqa: ASYNC110  # it takes no time
            await asyncio.sleep(20)
        for task in (*workers, healer):
            task.cancel()
        await asyncio.gather(*workers, healer, return_exceptions=True)

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
        return [Delivery(receipt, receipt, Doorbell(self.visible[receipt][0])) for receipt in ready]

    def _lane_worker(self, process: Process) -> LaneWorker:
        ends = self.clock.monotonic() + 177
        services = Services(
            model=MODEL,
            api=process,
            jobs=Guarded(process, self.jobs, owned=True),
            vault=Vault(Guarded(process, self.images), Guarded(process, self.metadata)),
            dead_letters=Guarded(process, self.dead_letters),
            clock=process,
            log=lambda event, **fields: None,
            uniform=self.random.uniform,
            remaining=lambda: ends - self.clock.monotonic(),
        )
        bucket = Bucket(Guarded(process, self.lanes), MODEL.account)
        return LaneWorker(services, bucket, Guarded(process, self), process.owner, LEASE_SECONDS)

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
