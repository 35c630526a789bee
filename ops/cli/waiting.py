"""Waiting for a batch in a terminal, and what a command ends with when the batch has."""

from __future__ import annotations

import typer

from functions.core.batches.records import Batch, BatchState
from ops.batches import first_problems, is_complete, status_record
from ops.cli.frame import end_with, print_json, stderr, stdout
from ops.cli.progress import batch_progress
from ops.cli.views import batch_view, held_command, summary
from ops.errors import IncompleteError, RejectedError
from ops.following import follow
from ops.stack import Stack

POLL_SECONDS = 1.0


def wait(stack: Stack, batch_id: str) -> Batch:
    """Show a batch's progress until it has ended or waits for a person. Ctrl-C stops the showing, not the batch."""
    batch = None
    try:
        with batch_progress() as show:
            for batch in follow(stack, batch_id, every_seconds=POLL_SECONDS):
                show(batch)
    except KeyboardInterrupt:
        stderr.print(f"The batch goes on. Follow it: imagebatch status {batch_id} --watch", markup=False)
        raise typer.Exit(130) from None
    assert batch is not None  # noqa: S101  # follow() ends on a batch that has ended
    return batch


def report_outcome(stack: Stack, batch: Batch, as_json: bool) -> None:
    """Print a batch that has ended. Ends the command with the exit code of the outcome."""
    problems = first_problems(stack, batch)
    if as_json:
        print_json(status_record(batch, problems))
    else:
        stdout.print(batch_view(batch, problems))
    if batch.state is BatchState.REJECTED:
        end_with(RejectedError(f"The batch was rejected. {batch.reason}"))
    if batch.results_key and not as_json:
        fetch = f"Fetch the pictures: imagebatch results {batch.batch_id} --output DIR"
        stderr.print(fetch, style="dim", markup=False, soft_wrap=True)
    if not is_complete(batch):
        end_with(IncompleteError(f"{summary(batch)} {_advice(batch)}"))


def _advice(batch: Batch) -> str:
    advice = [
        "Correct the rows that were not understood and submit the file again." if batch.invalid_rows else "",
        "results.csv says why rows failed; submit the file again to try what may have passed." if batch.failed else "",
        f"What is held is not called again before you decide: {held_command(batch)}" if batch.held else "",
        "What is there costs nothing the next time." if batch.invalid_rows or batch.failed else "",
    ]
    return " ".join(filter(None, advice))
