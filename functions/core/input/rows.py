"""Reading CSV and TSV as people have them: whole tables, ranges of rows, and where to cut a file into chunks.

    table = read_table(first bytes of the file, its name)     header, delimiter, where the rows begin
    cut_ranges(blocks, table, start, rows=5000)               places to cut, without looking into cells
    read_records(blocks, table, start)                        the rows of a range, good and bad

The same rows come out whether a file is read in one go or in ranges cut at any row (see `segments`).
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from functions.core.input.errors import Problem
from functions.core.input.lines import RECORD_LIMIT
from functions.core.input.segments import Form, Place, Segment, lenient_cells, open_quote, segments
from functions.core.input.table import Table

CELL_LIMIT = 32_767
"""Characters of the longest cell: as many as a spreadsheet holds, so that results can be opened there."""

_SALVAGED = 1024  # bytes of an oversized row that are kept to recognise it by


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its cells, as many as the header has columns.

    start: where it begins (byte offset, row, physical line); after: where the next one does. With a problem
    the cells are what could be saved of them, for the results to show.
    """

    start: Place
    after: Place
    cells: tuple[str, ...]
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class RowRange:
    """Consecutive rows: bytes [start.offset, end.offset), rows [start.row, end.row)."""

    start: Place
    end: Place


def cut_ranges(
    source: Iterable[bytes], table: Table, start: Place, rows: int, max_bytes: int = 8 * 1024 * 1024
) -> Iterator[RowRange]:
    """Yield ranges of `rows` rows of the bytes that begin at `start`; fewer once they reach max_bytes.

    Places depend on the bytes alone: going on from any range's end gives the same ranges. No rows give no
    range.
    """
    begin = after = start
    for segment in segments(source, table.dialect, start):
        after = segment.after
        if after.row - begin.row >= rows or after.offset - begin.offset >= max_bytes:
            yield RowRange(begin, after)
            begin = after
    if after.row > begin.row:
        yield RowRange(begin, after)


def read_records(source: Iterable[bytes], table: Table, start: Place) -> Iterator[Record]:
    """Yield the rows of bytes that begin at `start`, in order, the bad ones with their problem."""
    for segment in segments(source, table.dialect, start):
        yield _record(segment, table)


def _record(segment: Segment, table: Table) -> Record:
    columns = table.dialect.columns
    cells, problem = _cells(segment, table)
    if problem is None:
        return Record(segment.start, segment.after, tuple(cells))
    kept = _salvage(segment, table.dialect.delimiter)[:columns]
    return Record(segment.start, segment.after, (*kept, *[""] * (columns - len(kept))), problem)


def _cells(segment: Segment, table: Table) -> tuple[list[str], Problem | None]:
    delimiter = table.dialect.delimiter
    if segment.form is Form.OVERSIZED:
        return [], _oversized(segment)
    try:
        text = segment.data.decode("utf-8")
    except UnicodeDecodeError as error:
        return [], _not_utf8(segment, table, error.start)
    if segment.form is Form.BROKEN:
        return [], _broken(segment, table, text)
    if "\0" in text:
        return [], _nul(segment, table)
    if segment.form is Form.PLAIN:
        cells = text.rstrip("\r\n").split(delimiter)
    else:
        cells = next(csv.reader((text,), delimiter=delimiter, strict=True))
    return cells, _misfit(segment, table, cells)


def _oversized(segment: Segment) -> Problem:
    return Problem(
        segment.start.line,
        "",
        f"this row is longer than {RECORD_LIMIT // 1024} KiB; shorten it (a prompt has 10,000 characters at most)",
    )


def _broken(segment: Segment, table: Table, text: str) -> Problem:
    cell, character = open_quote(text, table.dialect.delimiter)
    return Problem(
        segment.start.line,
        table.header.name_at(cell),
        f"the quote at character {character} opens a cell that is not properly closed; "
        "close it before the separator or the line end, and write a quote inside a quoted cell twice",
    )


def _nul(segment: Segment, table: Table) -> Problem:
    line, cell, character = _locate(segment, table, segment.data.index(b"\0"))
    return Problem(
        line,
        table.header.name_at(cell),
        f"character {character} is a NUL, which no text has; save the file again as UTF-8 CSV",
    )


def _misfit(segment: Segment, table: Table, cells: list[str]) -> Problem | None:
    """Cells that do not fit the header: a row cut by a stray line break must not become a paid picture."""
    line, columns = segment.start.line, table.dialect.columns
    if len(cells) != columns:
        shown = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a |"}[table.dialect.delimiter]
        return Problem(
            line,
            table.header.name_at(min(len(cells), columns)),
            f"this row has {_count(len(cells))}, the header has {_count(columns)}; "
            f"a cell that contains {shown} or a line break must stand in double quotes",
        )
    for position, cell in enumerate(cells):
        if len(cell) > CELL_LIMIT:
            return Problem(
                line,
                table.header.name_at(position),
                f"this cell has {len(cell):,} characters; shorten it to {CELL_LIMIT:,} at most",
            )
    return None


def _count(cells: int) -> str:
    return f"{cells} cell" if cells == 1 else f"{cells} cells"


def _not_utf8(segment: Segment, table: Table, at: int) -> Problem:
    line, cell, character = _locate(segment, table, at)
    return Problem(
        line,
        table.header.name_at(cell),
        f"byte 0x{segment.data[at]:02x} at character {character} is not UTF-8; "
        "save the file as UTF-8 (in Excel: CSV UTF-8)",
    )


def _locate(segment: Segment, table: Table, at: int) -> tuple[int, int, int]:
    """Physical line, cell (from 0) and character in that line (from 1) of a byte of the row."""
    before = segment.data[:at]
    lines = (before + b".").splitlines()
    text = before.decode("utf-8", "replace")
    delimiter = table.dialect.delimiter
    cells = text.split(delimiter) if segment.form is Form.PLAIN else lenient_cells(text, delimiter)
    character = len(lines[-1][:-1].decode("utf-8", "replace")) + 1
    return segment.start.line + len(lines) - 1, max(len(cells) - 1, 0), character


def _salvage(segment: Segment, delimiter: str) -> list[str]:
    data = segment.data[:_SALVAGED] if segment.form is Form.OVERSIZED else segment.data
    text = data.decode("utf-8", "replace").replace("\0", "�")
    if segment.form is Form.PLAIN:
        return text.rstrip("\r\n").split(delimiter)
    return [cell.rstrip("\r\n") for cell in lenient_cells(text, delimiter)]
