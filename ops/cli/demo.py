"""``imagebatch demo``: the whole way of a CSV, on an AWS embedded in this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from functions.core.batches.records import Batch
from ops import uploads
from ops.aws_errors import explain
from ops.batches import is_complete
from ops.cli.frame import JsonOption, embedded_stack, print_json, stdout
from ops.cli.local import show_step
from ops.cli.progress import batch_progress
from ops.cli.results import fetch, gallery_record, require_results
from ops.cli.views import counted, dollars, summary
from ops.errors import CommandError, IncompleteError
from ops.following import follow
from ops.local.embedded import ROOT
from ops.local.instance import LocalInstance
from ops.local.state import StateDirectory
from ops.stack import Stack, local_stack

EXAMPLE = ROOT / "events" / "products.csv"

_POLL_SECONDS = 0.2
_STUCK_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Run:
    """A batch that has ended, and when its first picture was seen, in seconds from the upload."""

    batch: Batch
    first_picture: float | None
    whole: float


def demo(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the pictures go.")] = Path("out"),
    state: Annotated[
        Path, typer.Option("--state", metavar="DIR", help="Where the embedded AWS keeps its state.")
    ] = Path(".imagebatch/demo"),
    as_json: JsonOption = False,
) -> None:
    """Make pictures of events/products.csv on an AWS embedded in this machine: no account, no money.

    Starts the embedded AWS and a provider that draws pictures itself, deploys the stack, copies the file into the inbox
    bucket, waits, fetches the results and stops what it started. State is kept: a second run finds everything paid for.
    """
    begin = time.monotonic()
    name = embedded_stack(context)
    with _sentence_and_logs(state), _instance(state, name) as instance:
        stack = local_stack(instance, name)
        with show_step(f"Copying {EXAMPLE.relative_to(ROOT)} into the inbox bucket"):
            upload = uploads.upload(stack, EXAMPLE, EXAMPLE.name)
        until_upload = time.monotonic() - begin
        run = _watch(stack, upload.batch_id)
        require_results(run.batch)
        gallery = fetch(stack, run.batch, output / run.batch.batch_id)
    first = None if run.first_picture is None else round(until_upload + run.first_picture, 1)
    seconds = {"first_picture": first, "upload": round(until_upload, 1), "all_after_upload": round(run.whole, 1)}
    if as_json:
        print_json({**gallery_record(run.batch, gallery), "seconds": seconds})
    else:
        stdout.print(outcome(run, first), markup=False, soft_wrap=True)
        stdout.print(f"Pictures:  {gallery.folder / 'images'}", markup=False, soft_wrap=True)
        stdout.print(f"Results:   {gallery.folder / 'results.csv'}", markup=False, soft_wrap=True)
        stdout.print(f"Look at:   {gallery.page}", markup=False, soft_wrap=True)
    if not is_complete(run.batch) or gallery.gone:
        raise IncompleteError(f"Not every row has a picture. {summary(run.batch)} The logs are in {state / 'logs'}.")


def outcome(run: Run, first_picture: float | None) -> str:
    """The demo's outcome in words. `first_picture`: seconds from the command to the first picture, if there is one."""
    batch = run.batch
    pictures = f"{counted(batch.rows, 'row')}, {counted(batch.succeeded, 'picture')}"
    if batch.duplicates_prevented == batch.requested:
        return f"{pictures}. Everything was paid for by an earlier run: this one cost {dollars(batch.cost_usd)}."
    saved = f", {counted(batch.duplicates_prevented, 'duplicate')} not paid for" if batch.duplicates_prevented else ""
    speed = ""
    if first_picture is not None:
        speed = f" First picture {first_picture:.0f} s after the start; all of them {run.whole:.0f} s after the upload."
    cost = f" Cost: {dollars(batch.cost_usd)} (no real money: the provider is in this machine)."
    return f"{pictures}{saved}.{cost}{speed}"


def _watch(stack: Stack, batch_id: str) -> Run:
    """Show the progress until the batch has ended.

    Raises:
        CommandError: when nothing has moved for a long time.
    """
    begin = moved = time.monotonic()
    first, seen, batch = None, None, None
    with batch_progress() as show:
        for batch in follow(stack, batch_id, every_seconds=_POLL_SECONDS):
            show(batch)
            now = time.monotonic()
            if batch and batch.succeeded and first is None:
                first = now - begin
            if batch != seen:
                seen, moved = batch, now
            if now - moved > _STUCK_SECONDS:
                raise CommandError(f"Nothing has moved for {_STUCK_SECONDS:.0f} seconds.")
    assert batch is not None  # noqa: S101  # follow() ends on a batch that has ended
    return Run(batch, first, time.monotonic() - begin)


@contextmanager
def _instance(directory: Path, stack: str) -> Iterator[LocalInstance]:
    """The embedded AWS of the demo, which has it for itself; stopped in the end unless it was running before."""
    busy = f"Another demo is at work in {directory}; wait for it, or name another folder with --state."
    with StateDirectory.make(directory).held("demo", otherwise=busy):
        was_running = LocalInstance.find(directory) is not None
        instance = LocalInstance.start(directory, stack=stack, current=False, step=show_step)
        try:
            yield instance
        finally:
            if not was_running:
                with show_step("Stopping the embedded AWS"):
                    instance.stop()


@contextmanager
def _sentence_and_logs(state: Path) -> Iterator[None]:
    """Any failure ends with a sentence that names the logs."""
    try:
        yield
    except typer.Exit:
        raise
    except Exception as error:
        said = explain(error)
        text = str(said) if said else f"The demo met a fault of imagebatch itself: {type(error).__name__}: {error}."
        raise CommandError(f"{text} The logs are in {state / 'logs'}; `make demo` goes on where this ended.") from error
