"""Ringing: sending the messages of jobs that wait, no faster than their lane works.

A lane's queue holds some two minutes of work at the pace that the lane has now; whoever finds it fuller, or the lane
paused, puts his message back and looks again later. Each batch has one ring message per lane, which goes through its
parts in the order of the file, a slice of doorbells a turn. So batches share a lane fairly however large they are,
pausing stops spending within minutes, and no queue grows with its input.

The ring messages of a batch are a chain for each lane, which ends when the batch is paused or rung anew: whatever comes
late of an old chain is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from functions.core.batches import changes as batch_changes
from functions.core.batches import manifest
from functions.core.batches.manifest import ManifestPart
from functions.core.batches.messages import Ring
from functions.core.batches.price_check import why_too_dear
from functions.core.batches.records import Batch, BatchStore, Part
from functions.core.catalog import Catalog, Model
from functions.core.jobs.lifecycle import claimable
from functions.core.jobs.records import Job
from functions.core.lanes.measures import Done
from functions.core.lanes.records import Pace
from functions.core.messages import Doorbell, dump
from functions.core.ports import Clock, EventLog, JobStore, ObjectStore, Queue
from functions.core.writes import StaleWriteError

FIRST_JOBS = 100
"""Jobs of a batch that ring at once, however full the lane is."""

LARGEST_SLICE = 500
"""Doorbells of one turn at most."""

QUEUE_MINUTES = 2
FEWEST_QUEUED, MOST_QUEUED = 100, 4_000
"""Bounds of a lane's queue in messages. The upper one: the embedded AWS slows down beyond some 5,000."""

LONGEST_WAIT_SECONDS = 20
PAUSED_WAIT_SECONDS = 60
"""How long a ring message waits while its lane is paused."""

PART_WAIT_SECONDS = 5
"""How long a ring message waits for a part of the file that is still to be made."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A model and its queue."""

    model: Model
    queue: Queue


@dataclass(frozen=True, slots=True)
class Flow:
    """How a queue is filled whose lane makes so many images a minute."""

    per_minute: Decimal

    @property
    def limit(self) -> int:
        """How many messages the queue may hold."""
        return max(FEWEST_QUEUED, min(int(QUEUE_MINUTES * self.per_minute), MOST_QUEUED))

    @property
    def slice(self) -> int:
        """Doorbells of one turn: a part of what the queue holds, so that it is filled up before it runs dry."""
        return min(LARGEST_SLICE, self.limit // 4)

    @property
    def wait_seconds(self) -> int:
        """How long to wait while the queue is full: until a slice may be done."""
        if self.per_minute <= 0:
            return LONGEST_WAIT_SECONDS
        return max(1, min(LONGEST_WAIT_SECONDS, int(60 * self.slice / self.per_minute)))


class Paces(Protocol):
    """How fast lanes may go. What is read may be some seconds old."""

    def of(self, model: Model) -> Pace:
        """What is said of a model's lane and of its account."""

    def costs(self, model: Model) -> tuple[Pace, Done]:
        """What is said of a model's lane now, and what the lane did in the last hour."""


def lanes_of(catalog: Catalog, queues: Mapping[str, Queue]) -> dict[str, Lane]:
    """The lanes of the models that have a queue."""
    return {name: Lane(catalog.models[name], queue) for name, queue in queues.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringer:
    """Rings the jobs of batches."""

    metadata: ObjectStore
    jobs: JobStore
    batches: BatchStore
    intake: Queue
    lanes: Mapping[str, Lane]
    paces: Paces
    clock: Clock
    log: EventLog

    def start(self, batch: Batch, part: Part, content: ManifestPart, waiting: frozenset[str] | None) -> None:
        """Begin to ring a batch with its first part: what the lane has room for and its first jobs at once.

        A batch that is paused by now is rung when it is resumed. One whose pictures cost more than they used to is
        paused by this; only the models of this part are looked at (see `price_check`).

        waiting: the jobs of the part that are not done; None if that is not known.
        """
        known = self.batches.get(batch.batch_id)
        if known is None or known.paused or known.cancelled or self._is_too_dear(known, content):
            return
        first = FIRST_JOBS
        rest = []
        for model, lane in self.lanes.items():
            ids = content.job_ids(model)
            left = [at for at, job_id in enumerate(ids) if waiting is None or job_id in waiting]
            room = self._room(lane, first) if left else 0
            now, later = left[:room], left[room:]
            first = max(0, first - len(now))
            self._ring(lane, [Doorbell(ids[at], batch.batch_id) for at in now])
            at, start = (part.offset, later[0]) if later else (part.end, 0)
            rest.append(Ring(batch.batch_id, at, model, start, known.ring_chain(model)))
        now_whole = self.batches.get(batch.batch_id)
        only_part = now_whole is not None and now_whole.all_there and now_whole.parts_done == 1
        self.intake.send([dump(ring) for ring in rest if ring.part == part.offset or not only_part])
        with suppress(StaleWriteError):
            self.batches.write(batch.batch_id, batch_changes.rung(self.lanes, self.clock.now_ms()))

    def _is_too_dear(self, batch: Batch, content: ManifestPart) -> bool:
        """Whether the batch has to be confirmed, which it then waits for."""
        if batch.confirmed:
            return False
        models = [self.lanes[name].model for name in content.models if name in self.lanes]
        reasons = [why_too_dear(model, *self.paces.costs(model)) for model in models]
        why = next(filter(None, reasons), "")
        if why:
            with suppress(StaleWriteError):  # it is paused by now, or over
                self.batches.write(batch.batch_id, batch_changes.pause(why))
                self.log("batch_to_be_confirmed", batch_id=batch.batch_id)
        return bool(why)

    def turn(self, ring: Ring) -> None:
        """Ring a slice if the lane has room, and send the rest, or all, back to the end of the intake queue.

        The chain of messages ends with the file, with the batch, when the batch is paused, or with a new chain.
        """
        lane = self.lanes.get(ring.model)
        if lane is None:
            self._say_missing(ring)
            return
        try:
            batch = self.batches.write(
                ring.batch_id, batch_changes.ring_on(ring.model, ring.chain, self.clock.now_ms())
            )
            if batch.reason == batch_changes.no_lane(ring.model):
                batch = self.batches.write(ring.batch_id, batch_changes.lane_is_back(ring.model))
        except StaleWriteError:
            return
        part = self.batches.get_part(ring.batch_id, ring.part)
        if part is not None:
            self._turn(ring, batch, part, lane)
        elif not batch.all_there:
            self.intake.send([dump(ring)], delay_seconds=PART_WAIT_SECONDS)

    def _say_missing(self, ring: Ring) -> None:
        """A deploy took the lane away. Each recount that finds the jobs silent rings again: one day it is back."""
        self.log("lane_missing", batch_id=ring.batch_id, model=ring.model)
        with suppress(StaleWriteError):
            self.batches.write(ring.batch_id, batch_changes.wait_for_lane(ring.model))

    def _turn(self, ring: Ring, batch: Batch, part: Part, lane: Lane) -> None:
        pace = self.paces.of(lane.model)
        flow = Flow(pace.lane_per_minute(lane.model))
        if pace.paused:
            self.intake.send([dump(ring)], delay_seconds=PAUSED_WAIT_SECONDS)
        elif lane.queue.depth() + flow.slice > flow.limit:
            self.intake.send([dump(ring)], delay_seconds=flow.wait_seconds)
        else:
            ids = manifest.load(self.metadata, ring.batch_id, ring.part).job_ids(ring.model)
            end = ring.start + flow.slice
            self._ring(lane, self._doorbells(batch, ids[ring.start : end]))
            following = replace(ring, start=end) if end < len(ids) else replace(ring, part=part.end, start=0)
            self.intake.send([dump(following)])

    def _room(self, lane: Lane, first: int) -> int:
        """How many jobs of a new batch may be rung at once."""
        pace = self.paces.of(lane.model)
        return 0 if pace.paused else max(first, Flow(pace.lane_per_minute(lane.model)).limit - lane.queue.depth())

    def _doorbells(self, batch: Batch, job_ids: Sequence[str]) -> list[Doorbell]:
        """Of those that a worker could take. The read may lag behind: a job it does not know yet is rung.

        Of a cancelled batch those with an open call, which end whatever became of the batch.
        """
        known = self.jobs.get_many(job_ids, consistent=False)
        now_ms = self.clock.now_ms()
        if batch.cancelled:
            return [Doorbell(job_id) for job_id, job in known.items() if _is_open(job) and claimable(job, now_ms)]
        waiting = (one for one in job_ids if one not in known or claimable(known[one], now_ms))
        return [Doorbell(job_id, batch.batch_id) for job_id in waiting]

    def _ring(self, lane: Lane, doorbells: Sequence[Doorbell]) -> None:
        if doorbells:
            lane.queue.send([dump(doorbell) for doorbell in doorbells])


def _is_open(job: Job) -> bool:
    """Whether a call of the job may have been paid for, and its outcome is open."""
    return job.stage is not None
