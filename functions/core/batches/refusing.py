"""What a file comes to that cannot be read any further, whoever finds it out."""

from __future__ import annotations

from contextlib import suppress

from functions.core.batches import changes as batch_changes
from functions.core.batches.counting import COUNTED_SECONDS
from functions.core.batches.messages import Close
from functions.core.batches.records import BatchStore
from functions.core.errors import MissingObjectError
from functions.core.input.errors import InputError
from functions.core.messages import dump
from functions.core.ports import Clock, EventLog, Queue
from functions.core.writes import StaleWriteError

UNUSABLE = (InputError, MissingObjectError)
"""Errors that come again however often the file is read."""


def give_up(
    batch_id: str,
    error: Exception,
    *,
    batches: BatchStore,
    reports: Queue,
    clock: Clock,
    log: EventLog,
) -> None:
    """Reject a batch that has no part yet; let one that has parts end with them, and with the reason.

    The file was good when it was scanned if it has parts: it was deleted since, or a deploy changed the catalog.
    """
    deleted = "The file was deleted before all of it was read; upload it again."
    reason = deleted if isinstance(error, MissingObjectError) else str(error)
    with suppress(StaleWriteError):  # the batch has parts, or an end
        batches.write(batch_id, batch_changes.reject(reason, clock.now_ms()))
        log("batch_rejected", batch_id=batch_id)
        return
    with suppress(StaleWriteError):
        batch = batches.write(batch_id, batch_changes.cut_short(reason, clock.now_ms()))
        log("batch_cut_short", batch_id=batch_id, rows=batch.rows)
        if batch.looks_finished:
            reports.send([dump(Close(batch_id))], delay_seconds=COUNTED_SECONDS)
