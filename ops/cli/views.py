"""Batches as people read them in a terminal. Whatever comes from a file is printed as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from functions.core.batches.records import Batch, BatchState, RowProblem
from functions.core.catalog import Catalog
from functions.core.jobs.records import Job, Stage
from ops.batches import expected_jobs, file_name, waits_for_a_person
from ops.held import price_again

_STYLES = {
    BatchState.SCANNING: "cyan",
    BatchState.RUNNING: "cyan",
    BatchState.COMPLETED: "green",
    BatchState.REJECTED: "red",
    BatchState.CANCELLED: "yellow",
}


_REPAID = "submitted again although an earlier call may have been paid for"


def dollars(amount: Decimal) -> str:
    """An amount as people write it, cents and below where they matter."""
    return "$0" if amount == 0 else f"${amount:,.3f}" if amount < 1 else f"${amount:,.2f}"


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def moment(text: str) -> str:
    """A time of a record in the reader's own time zone."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M}" if text else ""


def batch_table(batches: Sequence[Batch]) -> Table:
    """A line for each batch."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Batch", overflow="fold")
    table.add_column("State", no_wrap=True)
    for heading in ("Rows", "Made", "Failed", "Held", "Cost"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Begun", no_wrap=True)
    for batch in batches:
        table.add_row(
            Text(batch.batch_id),
            state_text(batch),
            f"{batch.rows:,}",
            f"{batch.succeeded:,}",
            f"{batch.failed:,}",
            f"{batch.held:,}",
            dollars(batch.cost_usd),
            moment(batch.created_at),
        )
    return table


def held_table(jobs: Sequence[Job], short_ids: Mapping[str, str], catalog: Catalog) -> Table:
    """What is known of each held job."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Job", "Model", "Held since"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Pay again", justify="right", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for job in jobs:
        price = price_again(catalog, job)
        table.add_row(
            short_ids[job.job_id],
            Text(job.model),
            moment(job.held_at),
            "not known" if price is None else dollars(price),
            Text("\n".join(_why_held(job))),
        )
    return table


def _why_held(job: Job) -> Iterator[str]:
    if job.error_class:
        yield f"{job.error_class}: {job.error_message}"
    yield f"provider's id: {job.reference if job.stage is Stage.ACCEPTED else 'not known'}"
    others = len(job.batches - {job.batch_id})
    yield f"batch: {job.batch_id}" + (f" and {others:,} more" if others else "")


def batch_view(batch: Batch, problems: Sequence[RowProblem]) -> RenderableType:
    """All that is known of one batch."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _facts(batch):
        table.add_row(label, value)
    if not problems:
        return table
    return Group(table, Text(""), _problem_table(batch, problems))


def held_command(batch: Batch) -> str:
    """The command that lists the batch's held jobs."""
    return f"imagebatch held list --batch {batch.batch_id}"


def summary(batch: Batch) -> str:
    """A batch's outcome in a line or two."""
    made = f"{counted(batch.rows, 'row')}, {counted(batch.succeeded, 'picture')}"
    losses = [
        f"{batch.failed:,} failed" if batch.failed else "",
        f"{batch.held:,} held (they may have been paid for)" if batch.held else "",
        f"{counted(batch.invalid_rows, 'row')} not understood" if batch.invalid_rows else "",
        f"{counted(batch.duplicates_prevented, 'duplicate')} not paid for" if batch.duplicates_prevented else "",
    ]
    return ", ".join([made, *filter(None, losses)]) + f". Cost: {dollars(batch.cost_usd)}."


def state_text(batch: Batch) -> Text:
    """The state, and what is special about it."""
    remark = _remark(batch)
    return Text(
        f"{batch.state}, {remark}" if remark else batch.state, style="yellow" if remark else _STYLES[batch.state]
    )


def _remark(batch: Batch) -> str:
    if batch.is_open and batch.cancelled:
        return "being cancelled"
    if batch.paused:
        return "paused"
    return "held" if waits_for_a_person(batch) else "late" if batch.late else ""


def _facts(batch: Batch) -> Iterator[tuple[str, Text]]:
    yield "Batch", Text(batch.batch_id, style="bold")
    yield "State", state_text(batch)
    for label, value in (*_source_facts(batch), *_outcome_facts(batch), *_time_facts(batch)):
        if value:
            yield label, Text(value)


def _source_facts(batch: Batch) -> list[tuple[str, str]]:
    recipe = f", recipe {batch.recipe}" if batch.recipe else ""
    paused = f"{batch.paused}; go on: imagebatch resume {batch.batch_id}" if batch.paused and batch.is_open else ""
    return [("Paused", paused), ("Reason", batch.reason), ("File", f"{file_name(batch)}{recipe}")]


def _outcome_facts(batch: Batch) -> list[tuple[str, str]]:
    if batch.state is BatchState.REJECTED and not batch.rows:
        return []
    unfinished = batch.pending + batch.running
    return [
        ("Rows", f"{batch.rows:,}" + (f", {batch.invalid_rows:,} not understood" if batch.invalid_rows else "")),
        ("Pictures", f"{expected_jobs(batch):,} different ones of {batch.requested:,} asked for"),
        ("Made", f"{batch.succeeded:,}"),
        ("Failed", f"{batch.failed:,}" if batch.failed else ""),
        ("Held", f"{batch.held:,}; see why and decide: {held_command(batch)}" if batch.held else ""),
        ("Repaid", f"{batch.repaid:,}; {_REPAID}" if batch.repaid else ""),
        ("To do", f"{batch.pending:,} waiting, {batch.running:,} being made" if unfinished else ""),
        ("Cost", f"{dollars(batch.cost_usd)}; {counted(batch.duplicates_prevented, 'duplicate')} not paid for"),
    ]


def _time_facts(batch: Batch) -> list[tuple[str, str]]:
    ends = moment(batch.finished_at) or f"not yet; deadline {moment(batch.deadline_at)}"
    return [("Begun", moment(batch.created_at)), ("Finished", ends)]


def _problem_table(batch: Batch, problems: Sequence[RowProblem]) -> RenderableType:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Line", justify="right")
    table.add_column("Column")
    table.add_column("What is wrong", overflow="fold")
    for problem in problems:
        table.add_row(f"{problem.line:,}", Text(problem.column), Text(problem.message))
    listed = len({problem.row for problem in problems})
    if batch.invalid_rows <= listed:
        return table
    rest = Text(f"… and {batch.invalid_rows - listed:,} more; results.csv has all of them.", style="dim")
    return Group(table, rest)
