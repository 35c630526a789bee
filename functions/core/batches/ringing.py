"""Ringing: sending the messages of jobs that wait, no faster than their lane works.

A lane's queue holds some two minutes of work; whoever finds it fuller puts his message back and looks again later. Each
batch has one ring message per lane, which goes through its parts in the order of the file, a slice of doorbells a turn.
So batches share a lane fairly however large they are, pausing stops spending within minutes, and no queue grows with
its input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from functions.core.batches import changes as batch_changes
from functions.core.batches import manifest
from functions.core.batches.manifest import ManifestPart
from functions.core.batches.messages import Ring
from functions.core.batches.records import Batch, BatchStore, Part
from functions.core.catalog import Catalog
from functions.core.jobs.lifecycle import claimable
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
PART_WAIT_SECONDS = 5
"""How long a ring message waits for a part of the file that is still to be made."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A model's queue, how many messages it may hold, and how many its account's plan lets through in a minute."""

    queue: Queue
    limit: int
    per_minute: int

    @property
    def slice(self) -> int:
        """Doorbells of one turn: a part of what the queue holds, so that it is filled up before it runs dry."""
        return min(LARGEST_SLICE, self.limit // 4)

    @property
    def wait_seconds(self) -> int:
        """How long to wait while the queue is full: until a slice may be done."""
        return max(1, min(LONGEST_WAIT_SECONDS, 60 * self.slice // self.per_minute))


def lanes_of(catalog: Catalog, queues: Mapping[str, Queue]) -> dict[str, Lane]:
    """The lanes of the models that have a queue."""
    lanes = {}
    for name, queue in queues.items():
        per_minute = catalog.models[name].account.images_per_minute
        lanes[name] = Lane(queue, max(FEWEST_QUEUED, min(QUEUE_MINUTES * per_minute, MOST_QUEUED)), per_minute)
    return lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ringer:
    """Rings the jobs of batches."""

    metadata: ObjectStore
    jobs: JobStore
    batches: BatchStore
    intake: Queue
    lanes: Mapping[str, Lane]
    clock: Clock
    log: EventLog

    def start(self, batch: Batch, part: Part, content: ManifestPart, waiting: frozenset[str] | None) -> None:
        """Begin to ring a batch with its first part: what the lane has room for and its first jobs at once.

        waiting: the jobs of the part that are not done; None if that is not known.
        """
        first = FIRST_JOBS
        rest = []
        for model, lane in self.lanes.items():
            ids = content.job_ids(model)
            left = [at for at, job_id in enumerate(ids) if waiting is None or job_id in waiting]
            room = max(first, lane.limit - lane.queue.depth()) if left else 0
            now, later = left[:room], left[room:]
            first = max(0, first - len(now))
            self._ring(lane, [ids[at] for at in now])
            if later:
                rest.append(Ring(batch.batch_id, part.offset, model, later[0]))
            else:
                rest.append(Ring(batch.batch_id, part.end, model, 0))
        now_whole = self.batches.get(batch.batch_id)
        only_part = now_whole is not None and now_whole.all_there and now_whole.parts_done == 1
        self.intake.send([dump(ring) for ring in rest if ring.part == part.offset or not only_part])
        with suppress(StaleWriteError):
            self.batches.write(batch.batch_id, batch_changes.rung(self.lanes, self.clock.now_ms()))

    def turn(self, ring: Ring) -> None:
        """Ring a slice if the lane has room, and send the rest, or all, back to the end of the intake queue.

        The chain of messages ends with the file, or with the batch.
        """
        lane = self.lanes.get(ring.model)
        if lane is None:
            self._say_missing(ring)
            return
        try:
            batch = self.batches.write(ring.batch_id, batch_changes.rung([ring.model], self.clock.now_ms()))
            if batch.reason == batch_changes.no_lane(ring.model):
                batch = self.batches.write(ring.batch_id, batch_changes.lane_is_back(ring.model))
        except StaleWriteError:
            return
        part = self.batches.get_part(ring.batch_id, ring.part)
        if part is None:
            if not batch.all_there:
                self.intake.send([dump(ring)], delay_seconds=PART_WAIT_SECONDS)
        elif lane.queue.depth() + lane.slice > lane.limit:
            self.intake.send([dump(ring)], delay_seconds=lane.wait_seconds)
        else:
            self._ring_slice(ring, lane, part)

    def _say_missing(self, ring: Ring) -> None:
        """A deploy took the lane away. Each recount that finds the jobs silent rings again: one day it is back."""
        self.log("lane_missing", batch_id=ring.batch_id, model=ring.model)
        with suppress(StaleWriteError):
            self.batches.write(ring.batch_id, batch_changes.wait_for_lane(ring.model))

    def _ring_slice(self, ring: Ring, lane: Lane, part: Part) -> None:
        ids = manifest.load(self.metadata, ring.batch_id, ring.part).job_ids(ring.model)
        end = ring.start + lane.slice
        self._ring(lane, self._ringable(ids[ring.start : end]))
        following = replace(ring, start=end) if end < len(ids) else replace(ring, part=part.end, start=0)
        self.intake.send([dump(following)])

    def _ringable(self, job_ids: Sequence[str]) -> list[str]:
        """Those that a worker could take. The read may lag behind: a job it does not know yet is rung."""
        known = self.jobs.get_many(job_ids, consistent=False)
        now_ms = self.clock.now_ms()
        return [one for one in job_ids if one not in known or claimable(known[one], now_ms)]

    def _ring(self, lane: Lane, job_ids: Sequence[str]) -> None:
        if job_ids:
            lane.queue.send([dump(Doorbell(job_id)) for job_id in job_ids])
