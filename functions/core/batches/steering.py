"""What the operator does with batches: pause, resume, cancel; and rings batches and lanes anew."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from functions.core.batches import changes as batch_changes
from functions.core.batches.messages import Close, Ring
from functions.core.batches.records import Batch, BatchStore, Part
from functions.core.messages import dump
from functions.core.ports import Clock, Queue
from functions.core.writes import StaleWriteError

PAUSED_BY_OPERATOR = "by the operator"

LANE_KNOWN_SECONDS = 6
"""After this every splitter knows that a lane is not paused any more; what comes sooner would wait a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """Changes batches, and tells the splitter and the reporter. `models`: those that have a lane."""

    batches: BatchStore
    intake: Queue
    reports: Queue
    models: Collection[str]
    clock: Clock

    def pause(self, batch_id: str) -> Batch:
        """Let nothing more of a batch be bought until it is resumed. Calls that are open go on.

        Raises:
            StaleWriteError: when it is paused, is cancelled or has ended; it carries what is stored.
        """
        return self.batches.write(batch_id, batch_changes.pause(PAUSED_BY_OPERATOR))

    def resume(self, batch: Batch) -> Batch:
        """Let a batch go on that is paused as it was seen: whatever of it waits is rung from the beginning.

        Raises:
            StaleWriteError: when it is not paused so any more; it carries what is stored.
        """
        now_ms = self.clock.now_ms()
        after = self.batches.write(batch.batch_id, batch_changes.resume(batch, self.models, now_ms))
        # Read after that write: a part that comes later is rung by whoever makes it.
        first = self._first_part(batch.batch_id)
        if first is not None:
            self.intake.send(
                [dump(Ring(batch.batch_id, first.offset, model, 0, after.ring_chain(model))) for model in self.models]
            )
        return after

    def cancel(self, batch_id: str) -> Batch:
        """End a batch with what was called for it; asking twice sends the reporter twice.

        Raises:
            StaleWriteError: when it has ended; it carries what is stored.
        """
        try:
            batch = self.batches.write(batch_id, batch_changes.cancel(self.clock.now_ms()))
        except StaleWriteError:
            known = self.batches.get(batch_id)
            if known is None or not known.is_open:
                raise
            batch = known
        self.reports.send([dump(Close(batch_id))])
        return batch

    def ring_batch(self, batch_id: str) -> bool:
        """Ring the waiting jobs of a batch that is not paused once more; whether there may be any."""
        return self._ring_anew(batch_id, self.models)

    def ring_lane(self, model: str) -> int:
        """Ring the waiting jobs of a lane that was paused, of every open batch; how many batches that are."""
        batches = self.batches.open_batches()
        return sum(self._ring_anew(batch_id, [model], LANE_KNOWN_SECONDS) for batch_id in batches)

    def _ring_anew(self, batch_id: str, models: Collection[str], delay_seconds: int = 0) -> bool:
        """Ring what waits of a batch from the beginning; False if it is paused, has ended or has no part yet."""
        first, now_ms = self._first_part(batch_id), self.clock.now_ms()
        if first is None:
            return False
        rings = []
        with suppress(StaleWriteError):  # it is paused itself, or has an end
            for model in models:
                batch = self.batches.write(batch_id, batch_changes.ring_anew(model, now_ms))
                rings.append(dump(Ring(batch_id, first.offset, model, 0, batch.ring_chain(model))))
        if rings:
            self.intake.send(rings, delay_seconds=delay_seconds)
        return bool(rings)

    def _first_part(self, batch_id: str) -> Part | None:
        return next(iter(self.batches.parts(batch_id)), None)
