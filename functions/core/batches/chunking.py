"""Chunks: the rows between two places of a file become jobs, a part of the manifest, and doorbells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from functions.core.batches import changes as batch_changes
from functions.core.batches import manifest
from functions.core.batches.asking import ask
from functions.core.batches.counting import COUNTED_SECONDS, Counts, add_to
from functions.core.batches.dropping import Others, drop, droppable
from functions.core.batches.manifest import ManifestPart, Row
from functions.core.batches.messages import Chunk, Close
from functions.core.batches.records import Batch, BatchStore, Part, RowProblem
from functions.core.batches.refusing import UNUSABLE, give_up
from functions.core.batches.ringing import Ringer
from functions.core.batches.sheet import open_sheet
from functions.core.catalog import Catalog
from functions.core.input.errors import Problem
from functions.core.input.identity import PictureSpec, job_id
from functions.core.input.planning import PlannedRow
from functions.core.input.segments import Place
from functions.core.jobs.records import State
from functions.core.messages import dump
from functions.core.ports import Clock, EventLog, JobStore, ObjectStore, Queue
from functions.core.writes import StaleWriteError

PROBLEMS_KEPT = 20
"""Problems of a part that its record shows; the results show all."""

JOBS_OF_A_PART = 10_000
"""Pictures that a part may ask for: some 5,000 rows with a hundred variants each take longer than an invocation may."""

_JOBS_AT_A_TIME = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunker:
    """Makes the parts of a batch. The record of a part is written once, after all that it speaks of is there.

    A part ends after the row that brings it to `part_jobs` pictures.
    """

    inbox: ObjectStore
    metadata: ObjectStore
    jobs: JobStore
    batches: BatchStore
    intake: Queue
    reports: Queue
    ringer: Ringer
    catalog: Catalog
    clock: Clock
    log: EventLog
    part_jobs: int = JOBS_OF_A_PART

    def split(self, chunk: Chunk) -> None:
        """Make a chunk's part unless it is there, and see that its jobs are rung.

        A part may end before its chunk does: what is left is a chunk of its own, which the part's record begins.

        Raises:
            RestlessJobError: when jobs could not be joined for now.
        """
        batch = self.batches.get(chunk.batch_id)
        if batch is None or not batch.is_open or batch.cancelled:
            return
        part = self.batches.get_part(batch.batch_id, chunk.offset)
        waits = True
        if part is not None and part.first_row == 1 and not batch.rung:  # an earlier run died between the two
            self.ringer.start(batch, part, manifest.load(self.metadata, batch.batch_id, part.offset), None)
        while part is not None and part.end < chunk.end:
            chunk = _after(part, chunk)
            part = self.batches.get_part(batch.batch_id, chunk.offset)
        if part is None:
            try:
                waits = self._make(batch, chunk)
            except UNUSABLE as error:
                give_up(
                    batch.batch_id, error, batches=self.batches, reports=self.reports, clock=self.clock, log=self.log
                )
                return
        self._close_if_finished(batch.batch_id, COUNTED_SECONDS if waits else 0)

    def _make(self, batch: Batch, chunk: Chunk) -> bool:
        """Make a part, and send the rest of its chunk; whether any of its jobs is not done."""
        sheet = open_sheet(self.inbox, batch, self.catalog)
        gathered = _Gathered(self.jobs, batch.batch_id, self.clock)
        start = Place(chunk.offset, chunk.row, chunk.line)
        after = gathered.take(sheet.plan(self.inbox, batch, start, chunk.end), start, self.part_jobs)
        content = ManifestPart(sheet.table.header.names, sheet.bom, tuple(gathered.rows))
        manifest.store(self.metadata, batch.batch_id, chunk.offset, content)
        part = Part(
            offset=chunk.offset,
            end=after.offset,
            end_line=after.line,
            first_row=chunk.row,
            rows=len(gathered.rows),
            invalid_rows=sum(not row.job_ids for row in gathered.rows),
            requested=gathered.requested,
            problems=tuple(gathered.problems),
        )
        counted = batch_changes.count(_counts(part, gathered), self.clock.now_ms())
        try:
            added = self.batches.add_part(batch.batch_id, part, counted)
        except StaleWriteError:  # the batch was closed meanwhile: it waits for nothing any more
            self._drop(batch.batch_id, gathered.waiting)
            return False
        if added:
            if part.end < chunk.end:
                self.intake.send([dump(_after(part, chunk))])
            self.log(
                "part_made",
                batch_id=batch.batch_id,
                part=part.offset,
                rows=part.rows,
                requested=part.requested,
                duplicates=part.requested - len(gathered.paid),
            )
        if part.first_row == 1:
            self.ringer.start(batch, part, content, frozenset(gathered.waiting))
        return bool(gathered.waiting)

    def _drop(self, batch_id: str, job_ids: Iterable[str]) -> None:
        """Let the jobs of a part go that no recount will know of. If the batch was cancelled; else they may be rung."""
        batch = self.batches.get(batch_id)
        if batch is None or not batch.cancelled:
            return
        others, now_ms = Others(self.batches, batch_id), self.clock.now_ms()
        jobs = self.jobs.get_many(sorted(job_ids), consistent=True)
        uncalled = {job_id: job for job_id, job in jobs.items() if job.state is State.PENDING and droppable(job)}
        drop(uncalled, others, self.jobs, now_ms, self.log)

    def _close_if_finished(self, batch_id: str, delay_seconds: int) -> None:
        """If the jobs have all ended already, no change of any will tell that the batch is finished."""
        batch = self.batches.get(batch_id)
        if batch is not None and batch.looks_finished:
            self.reports.send([dump(Close(batch_id))], delay_seconds=delay_seconds)


class _Gathered:
    """The rows of a part, and what became of asking for their jobs, some thousands at a time."""

    def __init__(self, jobs: JobStore, batch_id: str, clock: Clock) -> None:
        self.rows: list[Row] = []
        self.requested = 0
        self.problems: list[RowProblem] = []
        self.waiting: set[str] = set()
        self.paid: set[str] = set()
        self.met_ended: dict[str, int | Decimal] = {}
        self._jobs, self._batch_id, self._clock = jobs, batch_id, clock
        self._asked: set[str] = set()

    def take(self, planned: Iterable[tuple[PlannedRow, Place]], start: Place, most: int) -> Place:
        """Keep the rows and ask for their jobs, until there are so many; where the row after them begins."""
        after = start
        specs: dict[str, PictureSpec] = {}
        for row, following in planned:
            ids = tuple(job_id(spec) for spec in row.jobs)
            after = following
            self.requested += len(ids)
            self.rows.append(_manifest_row(row, ids))
            room = PROBLEMS_KEPT - len(self.problems)
            self.problems += [RowProblem(row.row, one.line, one.column, one.message) for one in row.problems[:room]]
            specs |= {one: spec for one, spec in zip(ids, row.jobs, strict=True) if one not in self._asked}
            self._asked.update(ids)
            if len(specs) >= _JOBS_AT_A_TIME:
                self._ask(specs)
                specs = {}
            if self.requested >= most:
                break
        if specs:
            self._ask(specs)
        return after

    def _ask(self, specs: dict[str, PictureSpec]) -> None:
        answer = ask(self._jobs, self._batch_id, specs, self._clock.now_ms())
        self.waiting |= answer.waiting
        self.paid |= answer.paid
        add_to(self.met_ended, answer.met_ended)


def _after(part: Part, chunk: Chunk) -> Chunk:
    """What a part leaves of its chunk."""
    return replace(chunk, offset=part.end, row=part.first_row + part.rows, line=part.end_line)


def _manifest_row(row: PlannedRow, job_ids: tuple[str, ...]) -> Row:
    return Row(
        row=row.row,
        line=row.line,
        cells=row.cells,
        model=row.jobs[0].model if row.jobs else "",
        job_ids=job_ids,
        picture_name=row.picture_name,
        problems=tuple(_sentence(problem) for problem in row.problems),
    )


def _sentence(problem: Problem) -> str:
    """A problem in words. A column without a name is called `column 7` already."""
    column = problem.column if problem.column.startswith("column ") else f"column {problem.column}"
    where = f"line {problem.line}, {column}" if problem.column else f"line {problem.line}"
    return f"{where}: {problem.message}"


def _counts(part: Part, gathered: _Gathered) -> Counts:
    """What a part adds to its batch. Its new jobs are not counted here: their changes are."""
    counts: dict[str, int | Decimal] = {
        "parts_done": 1,
        "rows": part.rows,
        "invalid_rows": part.invalid_rows,
        "requested": part.requested,
        "duplicates_prevented": part.requested - len(gathered.paid),
    }
    add_to(counts, gathered.met_ended)
    return counts
