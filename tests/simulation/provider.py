"""The image API of a simulated world: what it takes, charges, loses and calls back about."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from random import Random

from functions.core.catalog import Mode, Model
from functions.core.errors import ErrorClass, Fault
from functions.core.input.identity import PictureSpec
from functions.core.jobs.reconcile import ANSWERED_SETTLES_SECONDS
from functions.core.ports import (
    Accepted,
    Ambiguous,
    CallbackError,
    Completed,
    Gone,
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
from tests.simulation.chances import Chances

SIGNATURE = {"signature": "the provider's own"}
"""The header by which a simulated provider signs its callbacks."""

OUTAGES = 0.005
"""Part of the schedules in which the provider cannot be read for an hour or so: they take long."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was taken. Moments in epoch milliseconds, `ready` on the virtual clock; `attempt` announced it."""

    job_id: str
    attempt: int
    spec: PictureSpec
    ready: float
    at_ms: int
    listed_ms: int


_picture = cache(picture)


@dataclass
class Provider:
    """The image API behind every worker: it remembers what it was asked and what it charged."""

    random: Random
    chances: Chances
    clock: VirtualClock
    model: Model
    call_back: Callable[[str, str, float], None]
    announced_by: Callable[[str], int]
    taken: dict[str, Call] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    refunds: bool = False

    def __post_init__(self) -> None:
        self._down_from = self.random.uniform(0, 20) if self.random.random() < OUTAGES else math.inf
        self._down_until = self._down_from + self.random.uniform(3000, 6000)

    def paid(self) -> Counter[str]:
        """Charges of each job that were not given back."""
        return Counter(call.job_id for reference, call in self.taken.items() if reference not in self.failed)

    def call_of(self, job_id: str, attempt: int) -> str:
        """The reference of a job's call, which its dashboard shows to people; empty if it never came."""
        calls = self.taken.items()
        return next((one for one, call in calls if (call.job_id, call.attempt) == (job_id, attempt)), "")

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
        at_ms = self.clock.now_ms() + round(late * 1000)
        unlisted = 0.0
        if self.random.random() < self.chances.listed_late:
            unlisted = self.random.uniform(0, ANSWERED_SETTLES_SECONDS)
        attempt = self.announced_by(job_id)
        self.taken[reference] = Call(job_id, attempt, spec, ready, at_ms, at_ms + round(unlisted * 1000))
        if self.random.random() < self.chances.task_failed:
            self.failed.add(reference)
        elif self.random.random() < self.chances.picture_gone:
            self.gone.add(reference)
        if callback_url:
            self.call_back(callback_url, reference, ready)
        if not answered:
            return lost
        if self.model.mode is Mode.SYNC and reference not in self.failed | self.gone:
            await asyncio.sleep(ready - self.clock.monotonic())
            return Completed(Output(url=reference), 200, reference)
        return Accepted(reference, 200)

    async def poll(self, reference: str) -> PollAnswer:
        self._read()
        if reference not in self.taken:
            raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 404", 404))
        return self.outcome(reference)

    def outcome(self, reference: str) -> PollAnswer:
        """What became of a call by now."""
        if self.clock.monotonic() < self.taken[reference].ready:
            return Working()
        if reference in self.failed:
            return Refused(Fault(ErrorClass.CAPACITY, "the task failed with code 5000", 200))
        if reference in self.gone:
            return Gone(Fault(ErrorClass.TIMEOUT, "the task was deleted", 200))
        return Completed(Output(url=reference), 200)

    async def predictions(self, since_ms: int, until_ms: int) -> tuple[Prediction, ...]:
        self._read()
        return tuple(
            Prediction(reference, failed=reference in self.failed and self.clock.monotonic() >= call.ready)
            for reference, call in self.taken.items()
            if since_ms <= call.at_ms <= until_ms and call.listed_ms <= self.clock.now_ms()
        )

    def _read(self) -> None:
        """A request that costs nothing; it may find the provider down for long."""
        down = self._down_from < self.clock.monotonic() < self._down_until
        if down or self.random.random() < self.chances.poll_broken:
            raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))

    async def fetch(self, output: Output) -> bytes:
        spec = self.taken[output.url].spec
        if output.url not in self.failed and self.random.random() >= self.chances.broken_picture:
            return _picture(spec)
        if self.refunds and self.random.random() < 0.1:
            self.failed.add(output.url)
        return _picture(spec)[:-40]

    @property
    def listed_seconds(self) -> float:
        return 7 * 24 * 3600.0

    def price(self, spec: PictureSpec) -> Decimal:
        return PRICE

    def read_callback(self, body: bytes, headers: Mapping[str, str], *, secret: str, now_ms: int) -> Notice:
        """What its callbacks look like; without a secret nobody can tell who sent them."""
        if secret and headers.get("signature") != SIGNATURE["signature"]:
            raise CallbackError("forged", "it did not sign this")
        event_id, _, reference = body.decode().partition(" ")
        outcome = self.outcome(reference) if secret else Working()
        return Notice(event_id, reference, outcome, verified=bool(secret))
