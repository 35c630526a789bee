"""The image API of a simulated world: what it takes, charges, loses and calls back about."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from functions.core.catalog import Mode, Model
from functions.core.errors import ErrorClass, Fault
from functions.core.input.identity import PictureSpec
from functions.core.ports import (
    Accepted,
    Ambiguous,
    CallbackError,
    Completed,
    Notice,
    NotSent,
    Output,
    PollAnswer,
    PollError,
    Prediction,
    Refused,
    SubmitAnswer,
    Working,
)
from tests.fakes.lane import PRICE, picture
from tests.fakes.virtual_time import VirtualClock


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
    callback_lost: float
    callback_late: float
    callback_doubled: float
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
    model: Model
    call_back: Callable[[str, str, float], None]
    taken: dict[str, tuple[str, PictureSpec, float, int]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def paid(self) -> Counter[str]:
        """Charges of each job that were not given back."""
        return Counter(job for reference, (job, *_) in self.taken.items() if reference not in self.failed)

    async def submit(self, spec: PictureSpec, *, job_id: str, callback_url: str, not_after: float) -> SubmitAnswer:
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
        late = 0.0 if answered or code == 500 else self.random.uniform(0, self.model.timeout_seconds)
        reference = f"p{len(self.taken)}"
        ready = self.clock.monotonic() + late + self.random.expovariate(1 / 5)
        self.taken[reference] = (job_id, spec, ready, self.clock.now_ms() + round(late * 1000))
        if self.random.random() < self.chances.task_failed:
            self.failed.add(reference)
        if callback_url:
            self.call_back(callback_url, reference, ready)
        if not answered:
            return lost
        if self.model.mode is Mode.SYNC and reference not in self.failed:
            await asyncio.sleep(ready - self.clock.monotonic())
            return Completed(Output(url=reference), 200, reference)
        return Accepted(reference, 200)

    async def poll(self, reference: str) -> PollAnswer:
        if self.random.random() < self.chances.poll_broken:
            raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))
        return self.outcome(reference)

    def outcome(self, reference: str) -> PollAnswer:
        """What became of a call by now."""
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

    @property
    def listed_seconds(self) -> float:
        return 7 * 24 * 3600.0

    def price(self, spec: PictureSpec) -> Decimal:
        return PRICE

    def read_callback(self, body: bytes, headers: Mapping[str, str], *, secret: str, now_ms: int) -> Notice:
        """What its callbacks look like; without a secret nobody can tell who sent them."""
        event_id, _, reference = body.decode().partition(" ")
        if reference not in self.taken:
            raise CallbackError("unreadable", "it names no prediction")
        outcome = self.outcome(reference) if secret else Working()
        return Notice(event_id, reference, outcome, verified=bool(secret))
