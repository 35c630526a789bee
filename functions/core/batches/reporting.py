"""What happens to the messages of the reports queue: batches are closed, published, and looked after."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from functions.core.batches import changes as batch_changes
from functions.core.batches.counting import exactly
from functions.core.batches.messages import Close, ReportMessage, Ring, Tick
from functions.core.batches.records import Batch, BatchStore
from functions.core.batches.recount import SILENCE_SECONDS, Recount, Truth
from functions.core.batches.watch import needs, past_deadline, past_life, recount_due, silent
from functions.core.catalog import Catalog
from functions.core.keys import results_key
from functions.core.messages import dump
from functions.core.ports import Clock, EventLog, JobStore, ObjectStore, Queue, Upload
from functions.core.writes import StaleWriteError

RECOUNT_SECONDS = 660
"""How long a recount has its batch for itself: longer than an invocation can last."""

AGAIN_SECONDS = 5
"""How long after a recount the next one begins that was asked for meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Brings batches to their end. `upload` begins to write an object of the metadata bucket."""

    batches: BatchStore
    jobs: JobStore
    metadata: ObjectStore
    upload: Callable[[str], Upload]
    intake: Queue
    reports: Queue
    catalog: Catalog
    clock: Clock
    log: EventLog

    def handle(self, message: ReportMessage) -> None:
        """Do what a message asks for."""
        match message:
            case Tick():
                self.tick()
            case Close(batch_id):
                self.close(batch_id)

    def tick(self) -> None:
        """Send somebody to each open batch that needs it."""
        for batch_id in self.batches.open_batches():
            batch, now_ms = self.batches.get(batch_id), self.clock.now_ms()
            message = needs(batch, now_ms) if batch is not None and batch.is_open else None
            if batch is None or message is None:
                continue
            with suppress(StaleWriteError):  # another tick was first
                self.batches.write(batch_id, batch_changes.nudge(batch, now_ms))
                (self.reports if isinstance(message, Close) else self.intake).send([dump(message)])
                self.log("batch_looked_after", batch_id=batch_id, needs=type(message).__name__)

    def close(self, batch_id: str) -> None:
        """Recount a batch, and close it if nothing is left to do.

        Else: publish what there is if only held jobs are left or if it is due, put the counters right, and ring jobs
        whose doorbell seems to be lost.
        """
        now_ms = self.clock.now_ms()
        known = self.batches.get(batch_id)
        if known is None or not known.is_open or not recount_due(known, now_ms):
            return
        until_ms = now_ms + RECOUNT_SECONDS * 1000
        try:
            batch = self.batches.write(batch_id, batch_changes.begin_recount(now_ms, until_ms))
        except StaleWriteError:
            with suppress(StaleWriteError):
                self.batches.write(batch_id, batch_changes.recount_again())
            return
        try:
            self._recount(batch, now_ms)
        finally:
            with suppress(StaleWriteError):  # it was closed
                after = self.batches.write(batch_id, batch_changes.end_recount(until_ms))
                if after.recount_again:
                    self.reports.send([dump(Close(batch_id))], delay_seconds=AGAIN_SECONDS)

    def _recount(self, batch: Batch, now_ms: int) -> None:
        late, over = past_deadline(batch, now_ms), past_life(batch, now_ms)
        key = results_key(batch.batch_id)
        recount = Recount(
            batches=self.batches,
            jobs=self.jobs,
            metadata=self.metadata,
            catalog=self.catalog,
            log=self.log,
            batch=batch,
            now_ms=now_ms,
            expire=over,
            partly=late,
        )
        results = self.upload(key)
        try:
            truth = recount.run(results)
            published = recount.wanted and bool(truth.counts.get("rows"))
            if published:
                results.finish()
            else:
                results.discard()
        except BaseException:
            results.discard()
            raise
        if not truth.unfinished and ((batch.all_there and not truth.held) or over or batch.cancelled):
            self._end(batch, truth, key if published else "")
            return
        with suppress(StaleWriteError):
            if published:
                self.batches.write(batch.batch_id, batch_changes.publish(batch, key, late=late))
            if silent(batch, now_ms):
                self.batches.write(batch.batch_id, batch_changes.correct(batch, exactly(truth.counts)))
        self._ring_again(batch, truth)

    def _end(self, batch: Batch, truth: Truth, key: str) -> None:
        reason = _why_not_whole(batch, int(truth.counts.get("rows", 0)))
        write = batch_changes.close(
            batch, exactly(truth.counts), results_key=key, reason=reason, now_ms=self.clock.now_ms()
        )
        with suppress(StaleWriteError):  # a part came in while counting: the next recount sees it
            self.batches.write(batch.batch_id, write)
            self.log("batch_closed", batch_id=batch.batch_id, jobs=int(truth.counts.get("jobs", 0)), reason=reason)

    def _ring_again(self, batch: Batch, truth: Truth) -> None:
        now_ms = self.clock.now_ms()
        since_ms = now_ms - SILENCE_SECONDS * 1000
        for model, part in truth.silent.items():
            with suppress(StaleWriteError):  # somebody rings, or will when the batch is resumed
                self.batches.write(batch.batch_id, batch_changes.ring_again(model, now_ms, since_ms))
                self.intake.send([dump(Ring(batch.batch_id, part, model, 0, now_ms))])
                self.log("rung_again", batch_id=batch.batch_id, model=model)


def _why_not_whole(batch: Batch, rows: int) -> str:
    if batch.whole:
        return ""
    if batch.cancelled:
        return f"The batch was cancelled when {rows or 'none'} of its file's rows had been read."
    why = batch.reason if batch.cut_short else "The rest was not read within seven days."
    return f"{rows or 'None'} of the file's rows became pictures or bad rows; upload the others again. {why}"
