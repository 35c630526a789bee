"""Following the jobs table's stream: the batches' counters move with their jobs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from functions.core.batches import changes as batch_changes
from functions.core.batches.counting import Change, deltas
from functions.core.batches.messages import Close
from functions.core.batches.records import BatchStore
from functions.core.messages import dump
from functions.core.ports import Clock, Queue
from functions.core.writes import StaleWriteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """Adds the changes of jobs to the counters of the open batches that want them: one write for each batch."""

    batches: BatchStore
    reports: Queue
    clock: Clock

    def follow(self, changes: Iterable[Change]) -> None:
        """Count changes. A batch that seems finished by them is sent to be closed; closed ones stay as they are."""
        for batch_id, counts in deltas(changes).items():
            with suppress(StaleWriteError):
                batch = self.batches.write(batch_id, batch_changes.count(counts, self.clock.now_ms()))
                if batch.looks_finished:
                    self.reports.send([dump(Close(batch_id))])
