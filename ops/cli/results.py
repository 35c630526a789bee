"""``imagebatch results``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from functions.core.batches.records import Batch, BatchState
from ops.batches import find_batch
from ops.cli.frame import JsonOption, connect, print_json, stderr, stdout
from ops.cli.progress import describe
from ops.cli.views import counted, summary
from ops.errors import IncompleteError, NotYetError, RejectedError
from ops.gallery import Gallery, claim_folder, write_gallery
from ops.stack import Stack


def results(
    context: typer.Context,
    batch: Annotated[
        str, typer.Argument(metavar="BATCH", help="A batch's id or the beginning of it.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where to write; made if it is not there.", show_default=False
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that holds something else, over what has our names.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a batch's results.csv, its pictures and a page that shows them into a folder.

    Pictures are named after the row's sku or id, or as the recipe says, else after the row's number and prompt. Run it
    again after an interruption: what is there already is not fetched again.
    """
    stack = connect(context)
    found = find_batch(stack, batch)
    require_results(found)
    gallery = fetch(stack, found, output, force=force)
    if as_json:
        print_json(gallery_record(found, gallery))
    else:
        if found.is_open:
            stderr.print("The batch is not finished; these are the results so far.", style="yellow")
        stdout.print(summary(found), markup=False)
        stdout.print(
            f"{counted(gallery.files, 'picture')} in {gallery.folder}, {gallery.fetched:,} fetched now.", markup=False
        )
        stdout.print(f"Look at them: {gallery.page}", markup=False, soft_wrap=True)
    if gallery.gone:
        raise IncompleteError(
            f"{counted(gallery.gone, 'picture')} of this batch cannot be fetched: not in the bucket any more. "
            "Submit the file again to have them made anew."
        )


def require_results(batch: Batch) -> None:
    """See that a batch has published results.

    Raises:
        RejectedError: it never will.
        NotYetError: not yet.
    """
    if batch.results_key:
        return
    if batch.state is BatchState.REJECTED:
        raise RejectedError(f"The batch was rejected, so there are no results. {batch.reason}")
    raise NotYetError(
        f"The batch is not finished: {describe(batch)}. Its results come at its end. "
        f"Follow it: imagebatch status {batch.batch_id} --watch"
    )


def fetch(stack: Stack, batch: Batch, folder: Path, *, force: bool = False) -> Gallery:
    """Write a batch's gallery, with a progress bar on standard error.

    Raises:
        UsageError: the folder holds something else, and not `force`.
    """
    claim_folder(folder, batch.batch_id, force=force)
    with _bar() as (set_total, advance):
        return write_gallery(stack, batch, folder, set_total, lambda _: advance())


def gallery_record(batch: Batch, gallery: Gallery) -> dict[str, object]:
    """What was written, as JSON."""
    return {
        "batch_id": batch.batch_id,
        "state": batch.state,
        "output": str(gallery.folder),
        "page": str(gallery.page),
        "lines": gallery.lines,
        "pictures": gallery.files,
        "fetched": gallery.fetched,
        "gone": gallery.gone,
        "cost_usd": batch.cost_usd,
    }


@contextmanager
def _bar() -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    columns = (BarColumn(bar_width=36), TextColumn("fetching pictures"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield (lambda total: bar.update(task, total=total)), (lambda: bar.advance(task))
