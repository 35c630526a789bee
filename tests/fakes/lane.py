"""What surrounds a lane's worker, in memory: a provider that follows a script, its queue's visibility, its log."""

from __future__ import annotations

import asyncio
import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from PIL import Image

from functions.core.catalog import Mode, Model, OnAmbiguous, load_catalog
from functions.core.errors import ErrorClass, Fault
from functions.core.input.identity import PictureSpec, canonical_json, job_id
from functions.core.jobs import demand
from functions.core.jobs.records import Job
from functions.core.jobs.services import Services
from functions.core.jobs.vault import Vault
from functions.core.jobs.work import Delivery, LaneWorker
from functions.core.lanes.pacing import Bucket, Holding, Priority, Reservation
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
from functions.core.writes import Write, apply
from tests.fakes.stores import MemoryJobs, MemoryObjects, MemoryQueue
from tests.fakes.virtual_time import START_MS, VirtualClock

PRICE = Decimal("0.003")
LEASE_SECONDS = 120
SPEC = PictureSpec(model="flux-schnell", prompt="a red kettle", width=64, height=64, format="png")
JOB = job_id(SPEC)
SCHNELL = load_catalog().models["flux-schnell"]
MODEL = replace(SCHNELL, retry={}, mode=Mode.POLL, account=replace(SCHNELL.account, images_per_minute=6000))
CALLBACK_MODEL = replace(MODEL, mode=Mode.CALLBACK, inline_seconds=8, patience_seconds=180)
SYNC_MODEL = replace(MODEL, mode=Mode.SYNC)
REPAY_MODEL = replace(MODEL, on_ambiguous=OnAmbiguous.REPAY)

API_URL = "https://api.example"
SIGNING_SECRET = "signs-the-callbacks-of-our-unit-tests"

THROTTLED = Refused(Fault(ErrorClass.RATE_LIMITED, "HTTP 429", 429))
NO_ANSWER = Ambiguous(Fault(ErrorClass.AMBIGUOUS, "the answer to the submit was lost (ReadTimeout)"))
ERROR_500 = Ambiguous(Fault(ErrorClass.AMBIGUOUS, "HTTP 500", 500))
TASK_FAILED = Refused(Fault(ErrorClass.CAPACITY, "the task failed with code 5000", 200))
UNREADABLE = PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))
STRANGER = Prediction("stranger", failed=False)


def picture(spec: PictureSpec, size: tuple[int, int] | None = None) -> bytes:
    """A picture that fits the spec, unless told another size."""
    data = io.BytesIO()
    colour = (spec.seed or 0) % 256
    Image.new("RGB", size or (spec.width, spec.height), (colour, 80, 120)).save(data, spec.format)
    return data.getvalue()


@dataclass
class ScriptedApi:
    """A provider. It accepts and completes, unless `submits`, `polls` or `fetches` say otherwise for the next calls.

    A scripted value is an answer to give, or an exception to raise. `submit_seconds` and `work_seconds` of virtual time
    pass before the answer and before the picture is there. `on_submit` is called with the reference of a call that was
    taken, before its answer is given.
    """

    listed_seconds: float = 7 * 24 * 3600
    submit_seconds: float = 0.2
    work_seconds: float = 1.0
    submits: list[SubmitAnswer | Exception] = field(default_factory=list)
    polls: list[PollAnswer | Exception] = field(default_factory=list)
    fetches: list[bytes | Exception] = field(default_factory=list)
    listing: list[Prediction] | Exception = field(default_factory=list)
    submitted: list[tuple[str, float]] = field(default_factory=list)
    callback_urls: list[str] = field(default_factory=list)
    on_submit: Callable[[str], None] = lambda reference: None
    polled: int = 0
    fetched: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    _specs: dict[str, tuple[PictureSpec, float]] = field(default_factory=dict)

    @property
    def paid(self) -> int:
        """Predictions that were made and charged."""
        return len(self._specs)

    async def submit(self, spec: PictureSpec, *, job_id: str, callback_url: str, not_after: float) -> SubmitAnswer:
        now = asyncio.get_running_loop().time()
        if now > not_after:
            return NotSent()
        self.submitted.append((job_id, now))
        self.callback_urls.append(callback_url)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        await asyncio.sleep(self.submit_seconds)
        self.in_flight -= 1
        if self.submits:
            answer: SubmitAnswer = _answer(self.submits.pop(0))
            return answer
        reference = self.take(spec, now + self.work_seconds)
        self.on_submit(reference)
        return Accepted(reference, 200)

    def take(self, spec: PictureSpec = SPEC, ready: float = 0.0) -> str:
        """Make a prediction that is charged, and that is ready at a reading of the loop's clock; its reference."""
        reference = f"p{len(self._specs)}"
        self._specs[reference] = (spec, ready)
        return reference

    async def poll(self, reference: str) -> PollAnswer:
        self.polled += 1
        if self.polls:
            answer: PollAnswer = _answer(self.polls.pop(0))
            return answer
        _, ready = self._specs[reference]
        if asyncio.get_running_loop().time() < ready:
            return Working()
        return Completed(Output(url=reference), 200)

    async def predictions(self, since_ms: int, until_ms: int) -> tuple[Prediction, ...]:
        if isinstance(self.listing, Exception):
            raise self.listing
        return tuple(self.listing)

    async def fetch(self, output: Output) -> bytes:
        self.fetched += 1
        if self.fetches:
            data: bytes = _answer(self.fetches.pop(0))
            return data
        return picture(self._specs[output.url][0])

    def price(self, spec: PictureSpec) -> Decimal:
        return PRICE

    async def quote(self) -> Decimal:
        return PRICE


def _answer(scripted: Any) -> Any:
    if isinstance(scripted, Exception):
        raise scripted
    return scripted


@dataclass
class Messages:
    """The lane's queue as its worker sees it: how long each message was last hidden for."""

    hidden: dict[str, list[int]] = field(default_factory=dict)

    def change_visibility(self, seconds_by_receipt: Mapping[str, int]) -> None:
        for receipt, seconds in seconds_by_receipt.items():
            self.hidden.setdefault(receipt, []).append(seconds)


@dataclass
class Lines:
    """A log."""

    lines: list[tuple[str, dict[str, str | int | float | None]]] = field(default_factory=list)

    def __call__(self, event: str, **fields: str | int | float | None) -> None:
        # The real log refuses these names: logging keeps them for itself.
        assert not fields.keys() & {"message", "asctime", *vars(logging.makeLogRecord({}))}
        self.lines.append((event, fields))

    def of(self, event: str) -> list[dict[str, str | int | float | None]]:
        return [fields for name, fields in self.lines if name == event]


class Records:
    """The lanes table in memory."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}

    def write(self, key: str, write: Write) -> dict[str, Any]:
        self.records[key] = apply(write, self.records.get(key, {}))
        return self.records[key]


class CountedBucket(Bucket):
    """The account's bucket; `reserved` has for how many calls slots were asked for, each time, `seconds` how long
    pictures took."""

    reserved: list[int]
    seconds: list[float]

    def took(self, seconds: float) -> None:
        self.seconds.append(seconds)
        super().took(seconds)

    def reserve(
        self, calls: int, now_us: int, holding: Holding, *, ended: int = 0, priority: Priority = Priority.BULK
    ) -> Reservation:
        self.reserved.append(calls)
        return super().reserve(calls, now_us, holding, ended=ended, priority=priority)


@dataclass
class StoppedBatches:
    """The batches that are paused or cancelled."""

    ids: set[str] = field(default_factory=set)

    def stopped(self, batch_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(self.ids & set(batch_ids))


@dataclass
class Lane:
    """A lane with one pending job, and all that surrounds it."""

    api: ScriptedApi = field(default_factory=ScriptedApi)
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    images: MemoryObjects = field(default_factory=MemoryObjects)
    metadata: MemoryObjects = field(default_factory=MemoryObjects)
    dead_letters: MemoryQueue = field(default_factory=MemoryQueue)
    messages: Messages = field(default_factory=Messages)
    log: Lines = field(default_factory=Lines)
    lanes: Records = field(default_factory=Records)
    batches: StoppedBatches = field(default_factory=StoppedBatches)
    clock: VirtualClock = field(default_factory=VirtualClock)
    remaining: Callable[[], float] = lambda: 900.0
    model: Model = MODEL
    api_url: str = API_URL
    reserved: list[int] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    receives: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.add(SPEC)

    def add(self, spec: PictureSpec) -> str:
        write = demand.create(job_id(spec), model=spec.model, spec=canonical_json(spec), batch_id="a", now_ms=START_MS)
        self.jobs.write(job_id(spec), write)
        return job_id(spec)

    def worker(self, owner: str = "w") -> LaneWorker:
        services = Services(
            model=self.model,
            api=self.api,
            jobs=self.jobs,
            vault=Vault(self.images, self.metadata),
            dead_letters=self.dead_letters,
            clock=self.clock,
            log=self.log,
            uniform=lambda low, high: high,
            remaining=self.remaining,
            api_url=self.api_url,
            callback_secret=SIGNING_SECRET,
        )
        bucket = CountedBucket(self.lanes, self.model)
        bucket.reserved, bucket.seconds = self.reserved, self.took
        return LaneWorker(services, bucket, self.batches, self.messages, owner, LEASE_SECONDS)

    def job(self, of: str = JOB) -> Job:
        job = self.jobs.get(of)
        assert job is not None
        return job

    def hidden(self, of: str = JOB) -> int:
        """For how many seconds a job's message was hidden last."""
        return self.messages.hidden[f"receipt-{of}"][-1]

    async def deliver(self, *job_ids: str, owner: str = "w", batch: str = "") -> set[str]:
        """Work on one SQS batch, which rings on behalf of a batch; the jobs whose messages come back."""
        received = job_ids or (JOB,)
        self.receives.update(received)
        deliveries = [Delivery(one, f"receipt-{one}", Doorbell(one, batch), self.receives[one]) for one in received]
        return set(await self.worker(owner).work(deliveries))

    async def until_gone(self, of: str = JOB, most: int = 100) -> int:
        """Deliver the message each time it becomes visible, until it does not come back; how often that was."""
        for receives in range(1, most + 1):
            if not await self.deliver(of):
                return receives
            await self.clock.sleep(self.hidden(of))
        raise AssertionError(f"the message came back {most} times")
