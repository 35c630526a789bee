"""A small file behind a large one on the same lane is done in minutes, however large that one is.

The intake queue and the lane on virtual time: as many splitters as the event source mapping allows, each message taking
as long as it would, and a lane that works off its doorbells in their order at its rate.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

import pytest

from functions.core.batches.messages import Chunk, Ring, Scan, parse_intake
from functions.core.batches.scanning import CHUNKS_AHEAD
from tests.fakes.plant import Plant, csv_of

SPLITTERS = 10
"""Messages of the intake queue that are handled at a time, by the event source mapping."""

CHUNK_SECONDS = 10.0
"""What a chunk of 5,000 rows takes a splitter, several times what is measured. The rows here are fewer."""

PER_MINUTE = 500
CHUNK_ROWS = 5
SMALL = 10


@dataclass
class Works:
    """The splitters and the lane of a plant, second by second."""

    plant: Plant
    now: float = 0.0
    most_chunks: int = 0
    _due: list[tuple[float, int, str]] = field(default_factory=list)
    _at_work: list[tuple[float, int, str]] = field(default_factory=list)
    _number: itertools.count[int] = field(default_factory=itertools.count)
    _done: float = 0.0

    def pass_second(self) -> None:
        self.now += 1
        self.plant.clock.pass_time(1)
        while self._at_work and self._at_work[0][0] <= self.now:
            self.plant.handle_intake(heapq.heappop(self._at_work)[2])
            self._take_in()
        self._take_in()
        self.most_chunks = max(self.most_chunks, sum('"kind":"chunk"' in body for _, _, body in self._due))
        self._make_pictures()

    def _take_in(self) -> None:
        """Put what was sent into the queue, and let free splitters take what is visible, the oldest first."""
        for body, delay in self.plant.intake.messages:
            heapq.heappush(self._due, (self.now + delay, next(self._number), body))
        self.plant.intake.messages.clear()
        while self._due and self._due[0][0] <= self.now and len(self._at_work) < SPLITTERS:
            _, number, body = heapq.heappop(self._due)
            heapq.heappush(self._at_work, (self.now + _seconds(body), number, body))

    def _make_pictures(self) -> None:
        self._done += PER_MINUTE / 60
        made, waiting = int(self._done), self.plant.lane.messages
        self._done -= made
        self.plant.lane.messages = waiting[:made]
        self.plant.work()
        self.plant.lane.messages = waiting[made:]
        self.plant.track()
        self.plant.report()


def _seconds(body: str) -> float:
    """How long a message takes its splitter."""
    (message,) = parse_intake(body)
    return {Chunk: CHUNK_SECONDS, Ring: 1.0, Scan: 2.0}.get(type(message), 3.0)


@pytest.mark.parametrize("chunks", [CHUNKS_AHEAD, 300])
def test_a_small_file_behind_a_large_one_is_done_in_three_minutes(chunks: int) -> None:
    plant = Plant(chunk_rows=CHUNK_ROWS)
    works = Works(plant)
    plant.upload("large.csv", csv_of(chunks * CHUNK_ROWS, "large"))
    for _ in range(30):
        works.pass_second()
    small = plant.upload("small.csv", csv_of(SMALL, "small"))
    while not (known := plant.batches.get(small)) or known.is_open:
        works.pass_second()
        assert works.now < 30 + 180, "the small file waits"
    assert plant.batch(small).succeeded == SMALL
    assert works.most_chunks <= CHUNKS_AHEAD + 2 * SMALL // CHUNK_ROWS


def test_a_scan_runs_ahead_of_the_chunks_only_so_far_and_comes_to_its_end() -> None:
    plant = Plant(chunk_rows=2)
    batch_id = plant.upload("large.csv", csv_of(100))
    plant.split(1)
    assert (len(plant.sent(Chunk)), len(plant.sent(Scan))) == (CHUNKS_AHEAD, 1)
    scan = plant.intake.messages.pop()
    plant.handle_intake(scan[0])
    assert plant.intake.messages[-1][1] > 0, "it waits, and not as a message that is received over and over"
    plant.heal()
    assert (plant.batch(batch_id).rows, plant.batch(batch_id).succeeded) == (100, 100)


def test_a_scan_that_waits_for_lost_chunks_is_begun_anew() -> None:
    plant = Plant(chunk_rows=2)
    batch_id = plant.upload("large.csv", csv_of(100))
    plant.split(1)
    plant.intake.messages = plant.intake.messages[-1:]
    plant.heal()
    assert plant.batch(batch_id).succeeded == 100
