"""A batch's progress on standard error: a live bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from functions.core.batches.records import Batch, BatchState
from ops.batches import expected_jobs
from ops.cli.frame import stderr
from ops.cli.views import counted, dollars

_LOG_EVERY_SECONDS = 10.0

Show = Callable[[Batch | None], None]


@contextmanager
def batch_progress() -> Iterator[Show]:
    """Give what shows a reading of a batch; None means that it has not begun."""
    if not stderr.is_terminal:
        yield _Log()
        return
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=36),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("waiting for the upload to be noticed", total=None)

        def show(batch: Batch | None) -> None:
            if batch is not None:
                total = expected_jobs(batch) if batch.whole else None
                bar.update(task, total=total, completed=done(batch), description=describe(batch))

        yield show


def done(batch: Batch) -> int:
    """How many of the batch's jobs need no more work."""
    return batch.succeeded + batch.failed + batch.held


def describe(batch: Batch) -> str:
    """A reading in a few words."""
    if batch.state is BatchState.REJECTED:
        return "rejected"
    expected = expected_jobs(batch)
    if not expected and not batch.whole:
        return "reading the file"
    parts = [f"{batch.succeeded:,} of {counted(expected, 'picture')}"]
    if batch.paused:
        parts.append(f"paused ({batch.paused})")
    if not batch.whole:
        parts.append("still reading")
    parts += [f"{number:,} {word}" for number, word in ((batch.failed, "failed"), (batch.held, "held")) if number]
    return ", ".join([*parts, dollars(batch.cost_usd)])


class _Log:
    def __init__(self) -> None:
        self._last_text = ""
        self._last_time = -_LOG_EVERY_SECONDS

    def __call__(self, batch: Batch | None) -> None:
        if batch is None:
            return
        text, now = describe(batch), time.monotonic()
        if text != self._last_text and (now - self._last_time >= _LOG_EVERY_SECONDS or not batch.is_open):
            stderr.print(text, markup=False)
            self._last_text, self._last_time = text, now
