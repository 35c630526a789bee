"""Scanning an uploaded file: where are its rows, and who shall plan them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from functions.core.batches import changes as batch_changes
from functions.core.batches.counting import COUNTED_SECONDS
from functions.core.batches.messages import Chunk, Close, Scan, Uploaded
from functions.core.batches.records import Batch, BatchStore, Source, batch_from_record
from functions.core.batches.refusing import UNUSABLE, give_up
from functions.core.batches.sheet import RECIPE_LIMIT, batch_recipe, open_sheet
from functions.core.catalog import Catalog
from functions.core.input.errors import NO_ROWS, RecipeError, UnusableFileError
from functions.core.input.recipe import DEFAULT_DEADLINE_HOURS
from functions.core.input.rows import cut_ranges
from functions.core.input.segments import Place
from functions.core.input.table import Table
from functions.core.keys import batch_id_for, folder_of, recipe_key
from functions.core.messages import dump
from functions.core.ports import Clock, EventLog, ObjectStore, Queue
from functions.core.writes import StaleWriteError, Write

SCAN_SECONDS = 45.0
"""After this a scan hands over to its own continuation, so that no file is too long for an invocation."""

SAFETY_SECONDS = 20.0
"""A scan hands over earlier when so little is left of its invocation."""

CHUNKS_AHEAD = 40
"""So many chunks of a file are on their way at most, four for each splitter that may work at a time: fewer would have
the splitters wait for the scan, more have others wait for the file."""

ROOM_AHEAD = 20
"""A scan that was so far ahead goes on when no more chunks than this are left."""

AHEAD_WAIT_SECONDS = 2
"""Between two looks whether they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """Opens batches and cuts their files into chunks. Memory is bounded by the longest row."""

    inbox: ObjectStore
    inbox_name: str
    metadata: ObjectStore
    batches: BatchStore
    intake: Queue
    reports: Queue
    catalog: Catalog
    chunk_rows: int
    clock: Clock
    log: EventLog

    def start(self, uploaded: Uploaded, remaining: Callable[[], float]) -> None:
        """Open the batch of an upload and scan it. A folder marker, as consoles make them, is no upload."""
        if uploaded.key.endswith("/") and uploaded.size == 0:
            return
        batch = self._open(uploaded)
        if not batch.scanned:
            self.scan(Scan(batch.batch_id, uploaded.key, uploaded.version, 0, 1, 1), remaining)

    def scan(self, scan: Scan, remaining: Callable[[], float]) -> None:
        """Send the chunks from a place on; from offset 0 it begins at the first row.

        Chunks whose parts are there are not sent again. A file that cannot be used brings its batch to its end.

        A scan runs only so far ahead of the chunks: it comes back when some of them are done. So an upload waits on the
        intake queue behind a few chunks of a large file and not behind all of them.
        """
        batch = self.batches.get(scan.batch_id)
        if batch is None or not batch.is_open or batch.cancelled or batch.whole:
            return
        if _rows_ahead(batch, scan.row) > ROOM_AHEAD * batch.chunk_rows:
            self.intake.send([dump(scan)], delay_seconds=AHEAD_WAIT_SECONDS)
            return
        try:
            table = open_sheet(self.inbox, batch, self.catalog).table
            start = Place(scan.offset, scan.row, scan.line) if scan.offset else table.start
            self._proceed(batch, self._cut(batch, table, start, remaining))
        except UNUSABLE as error:
            give_up(batch.batch_id, error, batches=self.batches, reports=self.reports, clock=self.clock, log=self.log)

    def _open(self, uploaded: Uploaded) -> Batch:
        batch_id = batch_id_for(uploaded.key, uploaded.version)
        known = self.batches.get(batch_id)
        if known is not None:
            return known
        recipe, text = self._recipe(uploaded.key)
        write = batch_changes.open_batch(
            batch_id,
            Source(self.inbox_name, uploaded.key, uploaded.version),
            recipe=recipe,
            recipe_text=text,
            chunk_rows=self.chunk_rows,
            deadline_hours=_deadline_hours(recipe, text),
            now_ms=self.clock.now_ms(),
        )
        try:
            batch = self.batches.write(batch_id, write)
        except StaleWriteError as stale:
            return batch_from_record(stale.record)
        self.log("batch_opened", batch_id=batch_id, recipe=recipe, size=uploaded.size)
        return batch

    def _recipe(self, key: str) -> tuple[str, str]:
        """Name and text of the recipe of an inbox folder, both empty if there is none."""
        name = folder_of(key)
        body = self.metadata.get(recipe_key(name)) if name else None
        if body is None:
            return "", ""
        return name, body.decode("utf-8-sig", "replace")[: RECIPE_LIMIT + 1]

    def _cut(self, batch: Batch, table: Table, start: Place, remaining: Callable[[], float]) -> Scan | int:
        """Send chunks; the number of rows of the whole file, or how to go on if the time ran out."""
        source, batch_id = batch.source, batch.batch_id
        made = {part.offset: part.end for part in self.batches.parts(batch_id)} if batch.parts_done else {}
        rows = start.row - 1
        stop_at = self.clock.monotonic() + min(SCAN_SECONDS, remaining() - SAFETY_SECONDS)
        stream = self.inbox.read_range(source.key, source.version, start.offset)
        for cut in cut_ranges(stream, table, start, batch.chunk_rows):
            begin, end = cut.start, cut.end
            rows = end.row - 1
            if not _lies_in_parts(begin.offset, end.offset, made):
                message = Chunk(batch_id, source.key, source.version, begin.offset, end.offset, begin.row, begin.line)
                self.intake.send([dump(message)])
            if self.clock.monotonic() >= stop_at or _rows_ahead(batch, end.row) >= CHUNKS_AHEAD * batch.chunk_rows:
                return Scan(batch_id, source.key, source.version, end.offset, end.row, end.line)
        return rows

    def _proceed(self, batch: Batch, found: Scan | int) -> None:
        if isinstance(found, Scan):
            self.intake.send([dump(found)])
            self._write(batch, batch_changes.touch(self.clock.now_ms()))
        elif found == 0:
            raise UnusableFileError([NO_ROWS])
        else:
            after = self._write(batch, batch_changes.scanned(found, self.clock.now_ms()))
            self.log("batch_scanned", batch_id=batch.batch_id, rows=found)
            if after is not None and after.looks_finished:
                self.reports.send([dump(Close(batch.batch_id))], delay_seconds=COUNTED_SECONDS)

    def _write(self, batch: Batch, write: Write) -> Batch | None:
        """The batch after a write, or None if another run was first."""
        try:
            return self.batches.write(batch.batch_id, write)
        except StaleWriteError:
            return None


def _rows_ahead(batch: Batch, row: int) -> int:
    """How many rows before this one are in no part yet, as far as the batch is known to be."""
    return row - 1 - batch.rows


def _lies_in_parts(begin: int, end: int, made: Mapping[int, int]) -> bool:
    """Whether parts (offset to end) lie end to end from one byte to another."""
    while begin < end and begin in made:
        begin = made[begin]
    return begin >= end


def _deadline_hours(recipe: str, text: str) -> float:
    try:
        return batch_recipe(recipe, text).deadline_hours
    except RecipeError:
        return DEFAULT_DEADLINE_HOURS  # the scan is about to reject the batch
