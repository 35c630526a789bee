"""The whole of imagebatch except the workers' inside, in memory: uploads in, batches and results out.

Messages are handled one at a time, in the order of a queue or as a test chooses. Changes of jobs are kept as the stream
would have them until they are followed. A crash can be put after any call to a store or queue.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import quote_plus

from functions.core.batches.chunking import JOBS_OF_A_PART, Chunker
from functions.core.batches.intake import Splitter
from functions.core.batches.messages import Close, Tick, parse_intake, parse_report
from functions.core.batches.records import COUNTERS, Batch
from functions.core.batches.reporting import Reporter
from functions.core.batches.ringing import Ringer, lanes_of
from functions.core.batches.scanning import Scanner
from functions.core.batches.tracking import Tracker
from functions.core.catalog import Catalog, Model, parse_catalog
from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Job, Picture, State, job_from_record
from functions.core.keys import batch_id_for, image_key, results_key
from functions.core.lanes.measures import Done
from functions.core.lanes.records import Pace
from functions.core.messages import dump, parse_doorbell
from tests.fakes.batches import ManualClock, MemoryBatches, MemoryUpload
from tests.fakes.lane import Lines
from tests.fakes.stores import MemoryObjects, MemoryQueue, StreamedJobs

T = TypeVar("T")

CATALOG = """
[accounts.wavespeed]
provider = "wavespeed"
base_url = "https://provider.example"
plan = "silver"
[plans.wavespeed]
silver = { images = 500, seconds = 60, concurrency = 300 }
[models.flux-schnell]
account = "wavespeed"
provider_model = "wavespeed-ai/flux-schnell"
price_usd = "0.003"
enabled = true
workers = 8
timeout_seconds = 60
mode = "callback"
min_side = 64
max_side = 1536
formats = ["jpeg", "png", "webp"]
parameters = ["width", "height", "seed", "format"]
"""
FILE = "sku,prompt,variants\n1,cat,\n2,dog,2\n3,cat,\n4,,\n5,bird,\n6,cat,\n7,fish,\n"
"""Seven rows that ask for seven pictures: five different ones. Rows 3 and 6 repeat row 1, and row 4 has no prompt."""

MODEL = "flux-schnell"
PRICE = Decimal("0.003")
LEASE_MS = 120_000
PICTURE = Picture(width=1024, height=1024, size=900, format="jpeg", sha256="ab" * 32)
PLENTY = 100.0
"""Seconds that are left of an invocation where a test does not care."""


class CrashError(Exception):
    """Raised in place of going on, as a killed process would not."""


@dataclass
class Crashes:
    """Wraps stores and queues so that the n-th call crashes after it was carried out. 0: never."""

    countdown: int = 0

    def guard(self, inner: Any) -> Any:
        return _Guarded(inner, self)

    def passed(self) -> None:
        if self.countdown:
            self.countdown -= 1
            if not self.countdown:
                raise CrashError


class _Guarded:
    def __init__(self, inner: Any, crashes: Crashes) -> None:
        self._inner, self._crashes = inner, crashes

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not callable(member):
            return member

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = member(*args, **kwargs)
            self._crashes.passed()
            return answer

        return call


@dataclass
class MemoryPaces:
    """What is said of every lane and its account. Implements `functions.core.batches.ringing.Paces`."""

    pace: Pace = field(default_factory=Pace)
    hour: Done = field(default_factory=Done)

    def of(self, model: Model) -> Pace:
        return self.pace

    def costs(self, model: Model) -> tuple[Pace, Done]:
        return self.pace, self.hour


@dataclass
class Plant:
    """Everything, wired up."""

    chunk_rows: int = 5000
    part_jobs: int = JOBS_OF_A_PART
    lanes: tuple[str, ...] = (MODEL,)
    catalog: Catalog = field(default_factory=lambda: parse_catalog(CATALOG))
    inbox: MemoryObjects = field(default_factory=MemoryObjects)
    metadata: MemoryObjects = field(default_factory=MemoryObjects)
    jobs: StreamedJobs = field(default_factory=StreamedJobs)
    batches: MemoryBatches = field(default_factory=MemoryBatches)
    intake: MemoryQueue = field(default_factory=MemoryQueue)
    reports: MemoryQueue = field(default_factory=MemoryQueue)
    lane: MemoryQueue = field(default_factory=MemoryQueue)
    clock: ManualClock = field(default_factory=ManualClock)
    crashes: Crashes = field(default_factory=Crashes)
    log: Lines = field(default_factory=Lines)
    paces: MemoryPaces = field(default_factory=MemoryPaces)

    def __post_init__(self) -> None:
        guard = self.crashes.guard
        jobs, batches, metadata = guard(self.jobs), guard(self.batches), guard(self.metadata)
        inbox, intake, reports = guard(self.inbox), guard(self.intake), guard(self.reports)
        shared: dict[str, Any] = {"batches": batches, "metadata": metadata, "clock": self.clock, "log": self.log}
        lanes = lanes_of(self.catalog, dict.fromkeys(self.lanes, guard(self.lane)))
        ringer = Ringer(jobs=jobs, intake=intake, lanes=lanes, paces=self.paces, **shared)
        reading: dict[str, Any] = {"inbox": inbox, "reports": reports, "catalog": self.catalog, **shared}
        scanner = Scanner(inbox_name="inbox", intake=intake, chunk_rows=self.chunk_rows, **reading)
        chunker = Chunker(jobs=jobs, intake=intake, ringer=ringer, part_jobs=self.part_jobs, **reading)
        self.splitter = Splitter(scanner, chunker, ringer)
        self.tracker = Tracker(batches=batches, reports=reports, clock=self.clock)
        self.reporter = Reporter(
            jobs=jobs,
            upload=lambda key: guard(MemoryUpload(self.metadata, key)),
            intake=intake,
            reports=reports,
            catalog=self.catalog,
            **shared,
        )

    def upload(self, key: str, text: str | bytes, version: str = "v1") -> str:
        """Put a file into the inbox, about which S3 sends a message; the id of the batch it will be."""
        body = text.encode() if isinstance(text, str) else text
        self.inbox.objects[key] = body
        stored = {"key": quote_plus(key), "versionId": version, "size": len(body)}
        self.intake.send([json.dumps({"Records": [{"s3": {"object": stored}}]})])
        return batch_id_for(key, version)

    def begin(self, rows: int = 3) -> tuple[str, list[str]]:
        """Ring and count the jobs of a new batch, and empty all queues; the ids of the batch and of its jobs."""
        batch_id = self.upload("a.csv", csv_of(rows))
        self.split()
        self.track()
        for queue in (self.lane, self.reports, self.intake):
            queue.messages.clear()
        return batch_id, list(self.jobs.records)

    def split(self, turns: int = 1000) -> None:
        """Handle the intake queue's messages until there are none, or so many of them."""
        self._drain(self.intake, self.handle_intake, turns)

    def handle_intake(self, body: str) -> None:
        """Handle one message of the intake queue."""
        for message in parse_intake(body):
            self.splitter.handle(message, lambda: PLENTY)

    def sent(self, kind: type[T]) -> list[T]:
        """The messages of one kind that wait in the intake queue."""
        messages = (message for body in self.intake.bodies for message in parse_intake(body))
        return [message for message in messages if isinstance(message, kind)]

    def report(self, turns: int = 1000) -> None:
        """Handle the reports queue's messages until there are none, or so many of them."""
        self._drain(self.reports, lambda body: self.reporter.handle(parse_report(body)), turns)

    def tick(self) -> None:
        """Let a minute's tick look after the batches, and handle what it sends to the reports queue."""
        self.reports.send([dump(Tick())])
        self.report()

    def close(self, batch_id: str) -> None:
        """Ask for a batch to be closed."""
        self.reports.send([dump(Close(batch_id))])
        self.report()

    def track(self) -> None:
        """Let the tracker see all changes that it has not seen. Those of a crash are lost."""
        changes, self.jobs.stream = self.jobs.stream, []
        with suppress(CrashError):
            self.tracker.follow(changes)

    def _drain(self, queue: MemoryQueue, handle: Callable[[str], None], turns: int) -> None:
        """Handle messages; one whose handling crashed comes back."""
        for _ in range(turns):
            if not queue.messages:
                return
            body, _ = queue.messages.pop(0)
            try:
                handle(body)
            except CrashError:
                queue.send([body])

    def work(self, outcome: Callable[[str], State] = lambda job_id: State.SUCCESS) -> None:
        """Do what the lane's doorbells ask for; `outcome` says how each job ends."""
        doorbells, self.lane.messages = self.lane.messages, []
        for body, _ in doorbells:
            job_id = parse_doorbell(body).job_id
            if self.jobs.records[job_id]["state"] == State.PENDING:
                self.end_job(job_id, outcome(job_id))

    def end_job(self, job_id: str, state: State, error: ErrorClass = ErrorClass.CAPACITY) -> None:
        """Take a pending job and bring it to a state, as a worker would."""
        now_ms, job = self.clock.now_ms(), self.job(job_id)
        claim = lifecycle.claim_to_submit("w", now_ms, LEASE_MS)
        if job.attempt_count:
            claim = lifecycle.claim_to_look(job, "w", now_ms, LEASE_MS)
        job = self.jobs.write(job_id, claim)
        fence, fault = job.attempt_count, Fault(error, "as the test wanted")
        if state is State.SUCCESS:
            key = image_key(job_id, "jpeg")
            write = lifecycle.succeed(
                fence,
                job,
                PICTURE,
                reference="",
                image_key=key,
                price_usd=PRICE,
                latency_ms=1200,
                now_ms=now_ms,
            )
            self.jobs.write(job_id, write)
        elif state is State.FAILED:
            self.jobs.write(job_id, lifecycle.fail(fence, job, fault, price_usd=PRICE, now_ms=now_ms))
        elif state is State.HELD:
            self.jobs.write(job_id, lifecycle.hold(fence, job, fault, now_ms))

    def call_back(self, job_id: str, reference: str = "p1") -> None:
        """Finish a job with a picture, whatever it is, as a provider's callback does."""
        now_ms, job = self.clock.now_ms(), self.job(job_id)
        write = lifecycle.finish(
            job,
            PICTURE,
            attempt=job.call_attempt,
            reference=reference,
            image_key=image_key(job_id, "jpeg"),
            price_usd=PRICE,
            latency_ms=1200,
            event_id=f"event of {reference}",
            now_ms=now_ms,
        )
        self.jobs.write(job_id, write)

    def run(self, outcome: Callable[[str], State] = lambda job_id: State.SUCCESS) -> None:
        """Let everything work until there is nothing left to do."""
        while self._ready():
            self.split(1)
            self.work(outcome)
            self.track()
            self.report(1)

    def _ready(self) -> bool:
        """Whether there is anything to do before time passes."""
        waiting = (*self.intake.messages, *self.reports.messages)
        return bool(self.lane.messages or self.jobs.stream or any(not delay for _, delay in waiting))

    def heal(self) -> None:
        """Let time pass, minute by minute, until every batch has its end."""
        for _ in range(200):
            self.run()
            if not self.batches.open_batches():
                return
            self.clock.pass_time(60)
            for queue in (self.intake, self.reports):
                queue.messages = [(body, 0) for body in queue.bodies]
            self.reports.send([dump(Tick())])
        raise AssertionError(f"batches stay open: {[self.batch(one) for one in self.batches.open_batches()]}")

    def batch(self, batch_id: str) -> Batch:
        """A batch that is known to exist."""
        batch = self.batches.get(batch_id)
        assert batch is not None
        return batch

    def job(self, job_id: str) -> Job:
        """A job that is known to exist."""
        return job_from_record(self.jobs.records[job_id])

    def results(self, batch_id: str) -> list[dict[str, str]]:
        """The lines of a batch's results.csv."""
        text = self.metadata.objects[results_key(batch_id)].decode()
        return list(csv.DictReader(io.StringIO(text)))


def csv_of(rows: int, prefix: str = "cat") -> str:
    """A file with so many different pictures."""
    return "prompt\n" + "".join(f"{prefix} {number}\n" for number in range(rows))


def counters(batch: Batch) -> Mapping[str, int | Decimal]:
    """The numbers that people look at, to compare."""
    return {name: getattr(batch, name) for name in (*COUNTERS, "cost_usd")}
