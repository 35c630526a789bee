"""Pausing, resuming and cancelling: batches, lanes and the intake.

Everything may be done twice: what is so already stays as it is, and is told as unchanged. What is resumed once more is
rung once more, which makes good what an attempt that died in between has left undone. What was decided is kept in the
tables; no deploy resets it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from functions.adapters.batches import DynamoBatchStore
from functions.adapters.clock import SystemClock
from functions.adapters.mappings import EventSourceMappings
from functions.adapters.sqs import SqsQueue, UndeliveredError
from functions.core.batches.records import Batch
from functions.core.batches.steering import PAUSED_BY_OPERATOR, Steering
from functions.core.catalog import Catalog
from functions.core.lanes import control
from functions.core.lanes.records import INTAKE, account_record, pace_of
from functions.core.writes import StaleWriteError
from ops.batches import find_batch
from ops.errors import CommandError, NotFoundError, UsageError

if TYPE_CHECKING:
    from ops.stack import Stack


class Kind(StrEnum):
    """What can be paused."""

    BATCH = "batch"
    LANE = "lane"
    INTAKE = "intake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of pausing or resuming something.

    paused: why it is paused now, empty if it is not. changed: it was not so before; `was`: what it was paused for then.
    later: AWS is at work on another change, and the governor carries this one out within a minute. batches: how many
    are rung anew by it. accepted: the model whose price the intake goes on at, and is not stopped for again so soon.
    """

    kind: Kind
    name: str = ""
    paused: str = ""
    was: str = ""
    changed: bool
    later: bool = False
    batches: int = 0
    accepted: str = ""


def pause_batch(stack: Stack, text: str) -> Change:
    """Let nothing more of a batch be bought: the one of this id, or beginning of an id.

    Raises:
        NotFoundError: when there is no such batch.
        UsageError: when it has ended or is being cancelled.
    """
    batch = _open_batch(stack, text, "pause")
    try:
        after = _steering(stack).pause(batch.batch_id)
    except StaleWriteError:
        after = _open_batch(stack, batch.batch_id, "pause")
        return Change(kind=Kind.BATCH, name=after.batch_id, paused=after.paused, was=after.paused, changed=False)
    return Change(kind=Kind.BATCH, name=after.batch_id, paused=after.paused, changed=True)


def resume_batch(stack: Stack, text: str) -> Change:
    """Let a batch go on, also one that waits to be confirmed. What waits of one that is not paused is rung once more.

    Raises:
        NotFoundError: when there is no such batch.
        UsageError: when it has ended or is being cancelled.
        CommandError: when the splitter could not be told.
    """
    batch, steering = _open_batch(stack, text, "resume"), _steering(stack)
    try:
        if not batch.paused:
            rung = steering.ring_batch(batch.batch_id)
            return Change(kind=Kind.BATCH, name=batch.batch_id, changed=False, batches=int(rung))
        after = steering.resume(batch)
    except StaleWriteError:
        after = _open_batch(stack, batch.batch_id, "resume")
        return Change(kind=Kind.BATCH, name=after.batch_id, paused=after.paused, changed=False)
    except UndeliveredError as error:
        raise _untold(error) from error
    return Change(kind=Kind.BATCH, name=after.batch_id, was=batch.paused, changed=True, batches=1)


def batch_to_cancel(stack: Stack, text: str) -> Batch:
    """The batch that is meant, as it is now.

    Raises:
        NotFoundError: when there is no such batch.
        UsageError: when it has ended.
    """
    return _not_ended(find_batch(stack, text), "cancel")


def cancel_batch(stack: Stack, batch_id: str) -> Batch:
    """End a batch with what was called for it, and have the reporter see to it.

    Raises:
        UsageError: when it has ended meanwhile.
        CommandError: when the reporter could not be told.
    """
    try:
        return _steering(stack).cancel(batch_id)
    except StaleWriteError:
        return _not_ended(find_batch(stack, batch_id), "cancel")
    except UndeliveredError as error:
        raise CommandError(
            f"The batch {batch_id} is cancelled, and the reporter could not be told ({error}). It sees for itself "
            "within minutes; the same command tells it again."
        ) from error


def pause_lane(stack: Stack, catalog: Catalog, model: str) -> Change:
    """Let no call leave a lane.

    Raises:
        NotFoundError: when there is no such lane.
    """
    key = _account_of(stack, catalog, model)
    try:
        stack.lanes().write(key, control.pause(model, PAUSED_BY_OPERATOR))
    except StaleWriteError as stale:
        paused = pace_of(stale.record, catalog.models[model]).paused
        return Change(kind=Kind.LANE, name=model, paused=paused, was=paused, changed=False)
    return Change(kind=Kind.LANE, name=model, paused=PAUSED_BY_OPERATOR, changed=True)


def resume_lane(stack: Stack, catalog: Catalog, model: str) -> Change:
    """Let a lane go on, and ring what waits for it, paused or not: workers dropped the messages of a paused lane.

    Raises:
        NotFoundError: when there is no such lane.
        CommandError: when the splitter could not be told.
    """
    key, table = _account_of(stack, catalog, model), stack.lanes()
    was = pace_of(table.get_many([key], consistent=True).get(key, {}), catalog.models[model]).paused
    if was:
        with suppress(StaleWriteError):  # the record is gone, and the pause with it
            table.write(key, control.resume(model))
    try:
        batches = _steering(stack).ring_lane(model)
    except UndeliveredError as error:
        raise _untold(error) from error
    return Change(kind=Kind.LANE, name=model, was=was, changed=bool(was), batches=batches)


def pause_intake(stack: Stack) -> Change:
    """Take no new files in, and ring no more jobs; what lies in the lanes' queues is worked off."""
    was = ""
    try:
        stack.lanes().write(INTAKE, control.pause_intake(PAUSED_BY_OPERATOR, SystemClock().now_ms()))
    except StaleWriteError as stale:
        was = control.intake_of(stale.record).paused
    done = EventSourceMappings(stack.lambda_()).change(stack.intake_mapping, enabled=False)
    return Change(kind=Kind.INTAKE, paused=was or PAUSED_BY_OPERATOR, was=was, changed=not was, later=not done)


def resume_intake(stack: Stack) -> Change:
    """Take files in again; for a while the price of the lane that the intake was stopped for is not held against it."""
    table = stack.lanes()
    seen = _intake(stack)
    if seen.paused:
        try:
            table.write(INTAKE, control.resume_intake(seen, SystemClock().now_ms()))
        except StaleWriteError as stale:  # somebody has resumed it, and it may have been paused for something else
            if now := control.intake_of(stale.record).paused:
                return Change(kind=Kind.INTAKE, paused=now, was=now, changed=False)
    done = EventSourceMappings(stack.lambda_()).change(stack.intake_mapping, enabled=True)
    return Change(kind=Kind.INTAKE, was=seen.paused, changed=bool(seen.paused), later=not done, accepted=seen.dear)


def pause_all(stack: Stack, catalog: Catalog) -> Iterator[Change]:
    """Pause every lane and the intake; the lanes first, which spend."""
    for model in _lanes(stack, catalog):
        yield pause_lane(stack, catalog, model)
    yield pause_intake(stack)


def resume_all(stack: Stack, catalog: Catalog) -> Iterator[Change]:
    """Resume every lane and the intake; batches that were paused by themselves stay so."""
    for model in _lanes(stack, catalog):
        yield resume_lane(stack, catalog, model)
    yield resume_intake(stack)


def intake_pause(stack: Stack) -> str:
    """Why the intake is paused, empty if it is not."""
    return _intake(stack).paused


def _intake(stack: Stack) -> control.Intake:
    return control.intake_of(stack.lanes().get_many([INTAKE], consistent=True).get(INTAKE, {}))


def _steering(stack: Stack) -> Steering:
    return Steering(
        batches=DynamoBatchStore(stack.dynamodb(), stack.batches_table),
        intake=SqsQueue(stack.sqs(), stack.intake_queue),
        reports=SqsQueue(stack.sqs(), stack.reports_queue),
        models=stack.lane_queues.keys(),
        clock=SystemClock(),
    )


def _open_batch(stack: Stack, text: str, what: str) -> Batch:
    batch = _not_ended(find_batch(stack, text), what)
    if batch.cancelled:
        raise UsageError(f"The batch {batch.batch_id} is being cancelled; there is nothing to {what}.")
    return batch


def _not_ended(batch: Batch, what: str) -> Batch:
    if not batch.is_open:
        raise UsageError(f"The batch {batch.batch_id} has ended: {batch.state}. There is nothing to {what}.")
    return batch


def _lanes(stack: Stack, catalog: Catalog) -> list[str]:
    return [model for model in catalog.models if model in stack.lane_queues]


def _account_of(stack: Stack, catalog: Catalog, model: str) -> str:
    """Key of the record that the lane's pause is kept in."""
    if model not in (known := _lanes(stack, catalog)):
        raise NotFoundError(f"The stack '{stack.name}' has no lane '{model}'; there is: {', '.join(known)}.")
    return account_record(catalog.models[model].account.name)


def _untold(error: Exception) -> CommandError:
    return CommandError(
        f"It goes on, and the splitter could not be told ({error}). The same command tells it again; without it, each "
        "open batch sends for its jobs within some minutes by itself."
    )
