"""``imagebatch status``."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.live import Live

from ops.batches import find_batch, first_problems, recent_batches, status_record
from ops.cli.frame import JsonOption, connect, print_json, stderr, stdout
from ops.cli.views import batch_table, batch_view
from ops.cli.waiting import report_outcome, wait
from ops.errors import UsageError
from ops.stack import Stack

_TABLE_EVERY_SECONDS = 2.0


def status(
    context: typer.Context,
    batch: Annotated[
        str | None,
        typer.Argument(
            metavar="BATCH",
            help="A batch's id or the beginning of it; without it the recent ones.",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until it ends.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many recent batches to list.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show how far a batch is, what it cost and which rows were not understood; or list the recent batches."""
    stack = connect(context)
    if batch is None:
        _show_recent(stack, limit, watch=watch, as_json=as_json)
        return
    found = find_batch(stack, batch)
    if watch:
        report_outcome(stack, wait(stack, found.batch_id), as_json)
        return
    problems = first_problems(stack, found)
    if as_json:
        print_json(status_record(found, problems))
    else:
        stdout.print(batch_view(found, problems))


def _show_recent(stack: Stack, limit: int, *, watch: bool, as_json: bool) -> None:
    if watch and as_json:
        raise UsageError("--watch with --json needs a BATCH: it prints the record when the batch has ended.")
    batches = recent_batches(stack, limit)
    if as_json:
        print_json({"batches": [status_record(batch, []) for batch in batches]})
    elif watch:
        _watch_recent(stack, limit)
    elif batches:
        stdout.print(batch_table(batches))
    else:
        stderr.print("There are no batches yet; `imagebatch submit FILE` starts one.", markup=False)


def _watch_recent(stack: Stack, limit: int) -> None:
    """Show the list until Ctrl-C."""
    try:
        with Live(batch_table([]), console=stdout) as live:
            while True:
                live.update(batch_table(recent_batches(stack, limit)))
                time.sleep(_TABLE_EVERY_SECONDS)
    except KeyboardInterrupt:
        return
