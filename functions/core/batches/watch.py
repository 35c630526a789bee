"""Looking after open batches: which of them need somebody, and when.

What is looked after without anything coming of it is looked after less and less often, since a recount reads every job.
"""

from __future__ import annotations

from functions.core.batches.messages import Close, Scan
from functions.core.batches.records import Batch, epoch_ms
from functions.core.batches.recount import SILENCE_SECONDS

LONGEST_REST_SECONDS = 6 * 3600
LIFE_SECONDS = 7 * 24 * 3600
"""After seven days jobs that nobody started expire, and the batch ends."""


def past_deadline(batch: Batch, now_ms: int) -> bool:
    """Whether the batch's results are due although it is not finished, and were not published yet.

    Before there is a part there is nothing to publish.
    """
    return bool(batch.parts_done) and not batch.late and now_ms >= epoch_ms(batch.deadline_at)


def past_life(batch: Batch, now_ms: int) -> bool:
    """Whether the batch has to end."""
    return now_ms >= epoch_ms(batch.created_at) + LIFE_SECONDS * 1000


def silent(batch: Batch, now_ms: int) -> bool:
    """Whether there was no progress for a while. By then the counters have followed all there was to follow."""
    return now_ms - epoch_ms(batch.updated_at) >= SILENCE_SECONDS * 1000


def recount_due(batch: Batch, now_ms: int) -> bool:
    """Whether a recount may come to something, or put something right."""
    if _has_to_be_seen(batch, now_ms):
        return True
    return batch.all_there and (batch.looks_finished or (silent(batch, now_ms) and not batch.paused))


def needs(batch: Batch, now_ms: int) -> Scan | Close | None:
    """Whom an open batch needs that had its rest since somebody looked: nobody, if there is progress.

    A recount, if no more rows will come or its time is over. Else a new scan from the beginning: a message of
    the old one was lost. Of a paused batch whose file is read nothing is awaited.
    """
    if now_ms - epoch_ms(batch.checked_at) < _rest_ms(batch):
        return None
    if _has_to_be_seen(batch, now_ms):
        return Close(batch.batch_id)
    if not silent(batch, now_ms):
        return None
    if batch.all_there:
        return Close(batch.batch_id) if recount_due(batch, now_ms) else None
    return Scan(batch.batch_id, batch.source.key, batch.source.version, 0, 1, 1)


def _has_to_be_seen(batch: Batch, now_ms: int) -> bool:
    """Whether its time is over, or it was cancelled and its jobs are to be let go."""
    return past_deadline(batch, now_ms) or past_life(batch, now_ms) or batch.cancelled


def _rest_ms(batch: Batch) -> int:
    """How long to leave the batch alone after a look: as long as it had been silent by then, within bounds."""
    silent_ms = epoch_ms(batch.checked_at) - epoch_ms(batch.updated_at) if batch.checked_at else 0
    return max(SILENCE_SECONDS * 1000, min(silent_ms, LONGEST_REST_SECONDS * 1000))
