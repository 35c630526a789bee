"""``imagebatch pause``, ``resume`` and ``cancel``: what stops, what goes on, and what ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from functions.core.batches.records import Batch
from functions.core.catalog import Catalog, load_catalog
from ops import control
from ops.batches import file_name
from ops.cli.asking import agreed
from ops.cli.frame import JsonOption, connect, print_json, stderr, stdout
from ops.cli.views import counted, dollars
from ops.control import Change, Kind
from ops.errors import UsageError
from ops.stack import Stack

BatchArgument = Annotated[
    str | None,
    typer.Argument(metavar="BATCH", help="A batch's id or the beginning of it.", show_default=False),
]
LaneOption = Annotated[
    str | None, typer.Option("--lane", metavar="MODEL", help="The lane of a model.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="Every lane and the intake.")]
IntakeOption = Annotated[bool, typer.Option("--intake", help="The intake: what reads uploaded files.")]


def pause(
    context: typer.Context,
    batch: BatchArgument = None,
    lane: LaneOption = None,
    everything: AllOption = False,
    intake: IntakeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop buying: for a batch, for a lane, or altogether. Calls that are under way finish, and nothing is lost.

    A paused batch is still read to its end, and publishes what it has at its deadline. A paused lane makes no calls for
    any batch. With the intake paused, what lies in the lanes' queues, some two minutes of work, is worked off; batches
    that were taken in wait, and go on when it is resumed. Files that are uploaded wait for up to ten days: resume it
    before then, or upload them again afterwards.

    It stays so until you resume it; a deploy does not. A batch ends seven days after its upload all the same.
    """
    _one(batch, lane, everything=everything, intake=intake)
    stack, catalog = connect(context), load_catalog()
    if batch is not None:
        changes: Iterable[Change] = [control.pause_batch(stack, batch)]
    elif lane is not None:
        changes = [control.pause_lane(stack, catalog, lane)]
    elif intake:
        changes = [control.pause_intake(stack)]
    else:
        changes = control.pause_all(stack, catalog)
    _report(changes, _paused, as_json=as_json)


def resume(
    context: typer.Context,
    batch: BatchArgument = None,
    lane: LaneOption = None,
    everything: AllOption = False,
    intake: IntakeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let go on what was paused, by you or by a guardrail. A batch that waits to be confirmed is confirmed by it.

    An intake that was stopped since a lane's pictures became dear goes on at their price: for an hour it is not stopped
    for the price of that lane again. Batches that were paused by themselves are not resumed with their lane or by
    --all.

    If it fails half way, do it again: what waits of a batch or a lane is sent for anew, paused or not.
    """
    _one(batch, lane, everything=everything, intake=intake)
    stack, catalog = connect(context), load_catalog()
    _report(_resume(stack, catalog, batch, lane, intake=intake), _resumed, as_json=as_json)
    if not intake and not everything and (why := control.intake_pause(stack)):
        stderr.print(
            f"The intake is paused, so it waits ({why}). Let it go on: imagebatch resume --intake",
            markup=False,
            soft_wrap=True,
        )


def cancel(
    context: typer.Context,
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="A batch's id or the beginning of it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End a batch with what was made for it. What that means is said first, and asked about.

    Pictures that are being made finish, since they are paid for, and are kept; those that wait are not made, unless
    another batch asks for them too. The batch then ends as cancelled, with the results of what there is. It cannot be
    taken back; the same file, submitted again, pays only for what is not there.
    """
    stack = connect(context)
    found = control.batch_to_cancel(stack, batch)
    if not agreed(list(_plan(found)), yes=yes):
        if as_json:
            print_json(_record(found, cancelled=found.cancelled))
        stderr.print("Nothing was changed.")
        return
    after = control.cancel_batch(stack, found.batch_id)
    if as_json:
        print_json(_record(after, cancelled=True))
    else:
        stdout.print(
            f"Cancelling the batch {after.batch_id}. Follow it: imagebatch status {after.batch_id} --watch",
            markup=False,
            soft_wrap=True,
        )


def _one(batch: str | None, lane: str | None, *, everything: bool, intake: bool) -> None:
    choices = {"BATCH": batch is not None, "--lane": lane is not None, "--all": everything, "--intake": intake}
    given = [name for name, is_given in choices.items() if is_given]
    if len(given) != 1:
        said = f"; {' and '.join(given)} exclude each other" if given else ""
        raise UsageError(f"Say what is meant: BATCH, --lane, --all or --intake{said}.")


def _resume(stack: Stack, catalog: Catalog, batch: str | None, lane: str | None, *, intake: bool) -> Iterator[Change]:
    if batch is not None:
        yield control.resume_batch(stack, batch)
    elif lane is not None:
        yield control.resume_lane(stack, catalog, lane)
    elif intake:
        yield control.resume_intake(stack)
    else:
        yield from control.resume_all(stack, catalog)


def _report(changes: Iterable[Change], sentence: Callable[[Change], str], *, as_json: bool) -> None:
    """Say what became of each, as soon as it is done."""
    told = []
    for change in changes:
        told.append(asdict(change))
        if not as_json:
            stdout.print(sentence(change), markup=False, soft_wrap=True)
        if change.later:
            stderr.print(
                "AWS is at work on another change of the intake; this one is carried out within a minute.",
                markup=False,
                soft_wrap=True,
            )
    if as_json:
        print_json({"changes": told})


def _paused(change: Change) -> str:
    what = _what(change)
    if not change.changed:
        return f"{what} is paused already: {change.paused}."
    match change.kind:
        case Kind.BATCH:
            return f"{what} is paused; what is being made finishes. Go on: imagebatch resume {change.name}"
        case Kind.LANE:
            return f"{what} is paused; what is being made finishes. Go on: imagebatch resume --lane {change.name}"
        case Kind.INTAKE:
            return (
                f"{what} is paused; what lies in the lanes' queues is worked off, batches wait, and uploaded files for "
                "up to ten days. Go on: imagebatch resume --intake"
            )


def _resumed(change: Change) -> str:
    what = _what(change)
    if not change.changed:
        return f"{what} is paused: {change.paused}." if change.paused else f"{what} is not paused{_anew(change)}."
    waiting = f", and {_batches(change)} with it" if change.kind is Kind.LANE else ""
    price = f" For an hour it is not stopped for the price of {change.accepted} again." if change.accepted else ""
    return f"{what} goes on{waiting}. It was paused: {change.was}.{price}"


def _anew(change: Change) -> str:
    """What was sent for although nothing was paused."""
    if change.kind is Kind.INTAKE or not change.batches:
        return ""
    if change.kind is Kind.BATCH:
        return "; what waits of it is sent for anew"
    return f"; what waits for it is sent for anew, of {_batches(change)}"


def _batches(change: Change) -> str:
    return counted(change.batches, "batch", "batches")


def _what(change: Change) -> str:
    return f"The {change.kind} {change.name}" if change.name else f"The {change.kind}"


def _plan(batch: Batch) -> Iterator[str]:
    """What is about to happen."""
    again = ", which is being cancelled already" if batch.cancelled else ""
    yield f"To cancel the batch {batch.batch_id} ({file_name(batch)}){again}."
    unread = "" if batch.whole else " The rest of its file is not read."
    yield (
        f"Not made: {counted(batch.pending, 'picture')} that wait, but for those that another batch asks for.{unread}"
    )
    held = f" Held as before: {batch.held:,}." if batch.held else ""
    yield (
        f"Kept: {counted(batch.succeeded, 'picture')}, and {batch.running:,} being made, which finish first.{held} "
        f"It has cost {dollars(batch.cost_usd)} so far, without those."
    )


def _record(batch: Batch, *, cancelled: bool) -> dict[str, object]:
    """What `imagebatch cancel --json` prints: the batch's progress at that moment."""
    return {
        "batch_id": batch.batch_id,
        "cancelled": cancelled,
        "state": batch.state,
        "pending": batch.pending,
        "running": batch.running,
        "held": batch.held,
        "succeeded": batch.succeeded,
        "cost_usd": batch.cost_usd,
    }
