"""Every change of a batch record, and what it is conditional on: an open batch, since a closed one never changes again.

Each value is a conditional `Write`, as for jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from functions.core.batches.counting import Counts
from functions.core.batches.records import BATCH_ITEM, CLOSED, OPEN, Batch, BatchState, Source, ring_chain
from functions.core.input.errors import REASON_LIMIT
from functions.core.input.text import clip
from functions.core.jobs.records import timestamp
from functions.core.lanes.records import placeholder
from functions.core.writes import AllOf, AnyOf, AtMost, Condition, Missing, Value, Write, equals

_IS_OPEN = equals("listing", OPEN)
_IS_SCANNING = AllOf((_IS_OPEN, equals("state", BatchState.SCANNING)))


def open_batch(
    batch_id: str,
    source: Source,
    *,
    recipe: str,
    recipe_text: str,
    chunk_rows: int,
    deadline_hours: float,
    now_ms: int,
) -> Write:
    """A file was uploaded. If it has no batch yet: an event that is delivered twice opens one."""
    now = timestamp(now_ms)
    return Write(
        name="open_batch",
        when=Missing("batch_id"),
        sets={
            "batch_id": batch_id,
            "item": BATCH_ITEM,
            "listing": OPEN,
            "state": BatchState.SCANNING,
            "source": {"bucket": source.bucket, "key": source.key, "version": source.version},
            "recipe": recipe,
            "recipe_text": recipe_text,
            "chunk_rows": chunk_rows,
            "created_at": now,
            "updated_at": now,
            "deadline_at": timestamp(now_ms + round(deadline_hours * 3_600_000)),
            "scanned": False,
            "late": False,
        },
    )


def reject(reason: str, now_ms: int) -> Write:
    """The file cannot be used. While nothing was made of it."""
    return Write(
        name="reject",
        when=AllOf((_IS_OPEN, Missing("parts_done"))),
        sets={
            "listing": CLOSED,
            "state": BatchState.REJECTED,
            "reason": clip(reason, REASON_LIMIT),
            "updated_at": timestamp(now_ms),
            "finished_at": timestamp(now_ms),
        },
    )


def cut_short(reason: str, now_ms: int) -> Write:
    """The rest of the file cannot be used: the batch ends with what was made of it, and then says why."""
    return Write(
        name="cut_short",
        when=_IS_OPEN,
        sets={"cut_short": True, "reason": clip(reason, REASON_LIMIT), "updated_at": timestamp(now_ms)},
    )


def touch(now_ms: int) -> Write:
    """The scan goes on."""
    return Write(name="touch", when=_IS_OPEN, sets={"updated_at": timestamp(now_ms)})


def scanned(rows: int, now_ms: int) -> Write:
    """The scan has seen the end of the file, which has so many rows."""
    return Write(
        name="scanned",
        when=_IS_SCANNING,
        sets={
            "scanned": True,
            "rows_expected": rows,
            "state": BatchState.RUNNING,
            "updated_at": timestamp(now_ms),
        },
    )


def count(counts: Counts, now_ms: int) -> Write:
    """The batch's jobs, or a part of its rows, have moved on."""
    return Write(name="count", when=_IS_OPEN, sets={"updated_at": timestamp(now_ms)}, adds=dict(counts))


def pause(why: str) -> Write:
    """Nothing more of the batch is bought until it is resumed. While it is not paused: the first reason stays."""
    return Write(
        name="pause_batch",
        when=AllOf((_IS_OPEN, Missing("paused"), Missing("cancelled"))),
        sets={"paused": clip(why, REASON_LIMIT)},
    )


def resume(batch: Batch, models: Iterable[str], now_ms: int) -> Write:
    """A paused batch goes on, and its jobs of these models are rung by a new chain of messages. While it is paused as
    it was seen.

    Its silence begins anew: the jobs' turn is still to come.
    """
    return Write(
        name="resume_batch",
        when=AllOf((_IS_OPEN, equals("paused", batch.paused), Missing("cancelled"))),
        sets={"confirmed": True, "updated_at": timestamp(now_ms), **_new_chains(models, now_ms)},
        removes=("paused",),
    )


def cancel(now_ms: int) -> Write:
    """Nothing more of the batch is read, rung or bought: it ends with what was called. Once."""
    return Write(
        name="cancel_batch",
        when=AllOf((_IS_OPEN, Missing("cancelled"))),
        sets={"cancelled": True, "updated_at": timestamp(now_ms)},
        removes=("paused",),
    )


def nudge(batch: Batch, now_ms: int) -> Write:
    """Somebody is about to be sent to look after the batch. Once: if nobody was since it was seen."""
    seen: Condition = equals("checked_at", batch.checked_at) if batch.checked_at else Missing("checked_at")
    return Write(name="nudge", when=AllOf((_IS_OPEN, seen)), sets={"checked_at": timestamp(now_ms)})


def begin_recount(now_ms: int, until_ms: int) -> Write:
    """A recount takes the batch for itself until a time that also names it; unless another one has it."""
    free = AnyOf((Missing("recount_until"), AtMost("recount_until", now_ms)))
    return Write(
        name="begin_recount",
        when=AllOf((_IS_OPEN, free)),
        sets={"recount_until": until_ms, "checked_at": timestamp(now_ms)},
        removes=("recount_again",),
    )


def recount_again() -> Write:
    """A recount is wanted while there is one, which may have read too early."""
    return Write(name="recount_again", when=_IS_OPEN, sets={"recount_again": True})


def end_recount(until_ms: int) -> Write:
    """The recount that had the batch is over, and the batch still open."""
    return Write(name="end_recount", when=_counting(until_ms), removes=("recount_until",))


def correct(batch: Batch, counts: Counts) -> Write:
    """The counters become what was counted, if there was no progress meanwhile: the two could not be told apart.

    By the recount that has the batch. Leaves `updated_at`, for this is no progress.
    """
    return Write(
        name="correct",
        when=AllOf((_counting(batch.recount_until), equals("updated_at", batch.updated_at))),
        sets=_numbers(counts),
    )


def publish(batch: Batch, results_key: str, *, late: bool) -> Write:
    """The results so far are there; the batch goes on. By the recount that has it."""
    return Write(
        name="publish",
        when=_counting(batch.recount_until),
        sets={"results_key": results_key, "late": batch.late or late},
    )


def close(batch: Batch, counts: Counts, *, results_key: str, reason: str, now_ms: int) -> Write:
    """Nothing is left to do: the counters become the exact ones. By the recount that has the batch.

    With a reason the batch ends as rejected, since a part of its rows could not be read in its time; or as cancelled.
    Not if it was cancelled meanwhile.
    """
    same_parts = equals("parts_done", batch.parts_done) if batch.parts_done else Missing("parts_done")
    return Write(
        name="close",
        when=AllOf((_counting(batch.recount_until), same_parts, *(() if batch.cancelled else (Missing("cancelled"),)))),
        sets={
            **_numbers(counts),
            "listing": CLOSED,
            "state": _end_of(batch, reason),
            "results_key": results_key,
            "reason": clip(reason, REASON_LIMIT),
            "updated_at": timestamp(now_ms),
            "finished_at": timestamp(now_ms),
        },
        removes=("recount_until",),
    )


def rung(models: Iterable[str], now_ms: int) -> Write:
    """Somebody rings the batch's jobs of these models."""
    return Write(name="rung", when=_IS_OPEN, sets={"rung": True, **{_rung_at(model): now_ms for model in models}})


def ring_on(model: str, chain: int, now_ms: int) -> Write:
    """The batch's jobs of a model are still rung. By the chain of messages that does so, while it is not paused."""
    name = ring_chain(model)
    this_one = equals(name, chain) if chain else Missing(name)
    return Write(
        name="ring_on",
        when=AllOf((_IS_OPEN, Missing("paused"), this_one)),
        sets={"rung": True, _rung_at(model): now_ms},
    )


def ring_again(model: str, now_ms: int, silent_since_ms: int) -> Write:
    """A new chain of messages is about to ring the jobs of a model, if there was no sign of one for long enough.

    While the batch is not paused. The old chain, if a message of it is still on its way, ends by this.
    """
    at = _rung_at(model)
    silent = AnyOf((Missing(at), AtMost(at, silent_since_ms)))
    return Write(
        name="ring_again",
        when=AllOf((_IS_OPEN, Missing("paused"), silent)),
        sets=_new_chains([model], now_ms),
    )


def ring_anew(model: str, now_ms: int) -> Write:
    """A new chain is about to ring the jobs of a model, whose lane was paused; the old one ends by this. While the
    batch is not paused itself."""
    return Write(
        name="ring_anew",
        when=AllOf((_IS_OPEN, Missing("paused"), Missing("cancelled"))),
        sets=_new_chains([model], now_ms),
    )


def wait_for_lane(model: str) -> Write:
    """Jobs of the batch cannot be rung, since a deploy took their model's lane away; unless more stands in its way."""
    return Write(name="wait_for_lane", when=AllOf((_IS_OPEN, Missing("reason"))), sets={"reason": no_lane(model)})


def lane_is_back(model: str) -> Write:
    """The lane that the batch waited for is there again."""
    return Write(name="lane_is_back", when=AllOf((_IS_OPEN, equals("reason", no_lane(model)))), removes=("reason",))


def no_lane(model: str) -> str:
    """What stands in the way of a batch whose jobs have no lane."""
    return (
        f"Its jobs of the model {model!r} wait: no lane works for that model. Enable it again; they expire otherwise."
    )


def _rung_at(model: str) -> str:
    """The attribute with the last sign that somebody rings the jobs of a model, in epoch milliseconds.

    Of the characters that the placeholders of an update expression may have, and another one for each model.
    """
    return "rung_at_" + placeholder(model)


def _new_chains(models: Iterable[str], now_ms: int) -> dict[str, Value]:
    """What says that these models are rung by new chains, which are named after this moment."""
    return {"rung": True, **{name: now_ms for model in models for name in (_rung_at(model), ring_chain(model))}}


def _end_of(batch: Batch, reason: str) -> BatchState:
    if batch.cancelled:
        return BatchState.CANCELLED
    return BatchState.REJECTED if reason else BatchState.COMPLETED


def _counting(until_ms: int) -> Condition:
    return AllOf((_IS_OPEN, equals("recount_until", until_ms)))


def _numbers(counts: Counts) -> dict[str, Value]:
    return {name: Decimal(number) if name == "cost_usd" else int(number) for name, number in counts.items()}
