"""Where each row of a file begins and ends, by bytes. Cells are not looked at more than that takes.

A row may span physical lines (quoted line breaks). What decides is only its own bytes and what follows it,
never where the reading began; so a file read from any row's start gives the same rows, and a range that ends
where a row ends gives the same as the whole file. To keep it so, a row whose quotes do not come out is one
physical line, whatever the reason (a parse error, no end within the limits, the end of the data), and
reading goes on with the next line.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from functions.core.input.lines import RECORD_LIMIT, physical_lines

RECORD_LINES = 1_000
"""Physical lines of the longest row.

Looking for the end of a quote that has none is bounded by this and by RECORD_LIMIT: in a file made of nothing but such
lines each of them is looked through once for every line before it that is in reach.
"""

_QUOTED_CELL = re.compile(r'"(?:[^"]++|"")*+"')
_Lines = Iterator[tuple[bytes, int]]
_Ahead = deque[tuple[bytes, int]]


class Form(Enum):
    """How the bytes of a row are to be taken."""

    PLAIN = "plain"  # split on the delimiter, quotes mean nothing
    QUOTED = "quoted"  # the csv module reads it strictly
    BROKEN = "broken"  # a quote opens that is never properly closed
    OVERSIZED = "oversized"  # longer than RECORD_LIMIT, only its beginning is kept


class Place(NamedTuple):
    """Where a row begins: byte offset, number of the row from 1, physical line from 1."""

    offset: int
    row: int
    line: int


class Segment(NamedTuple):
    """The bytes of one row. `after` is where the next row begins, blank lines before it included."""

    start: Place
    after: Place
    data: bytes
    form: Form


@dataclass(frozen=True, slots=True)
class Dialect:
    """One of , ; TAB | and the number of the header's columns."""

    delimiter: str
    columns: int


def segments(source: Iterable[bytes], dialect: Dialect, start: Place) -> Iterator[Segment]:
    """Yield the rows of bytes that begin at `start`; blank lines are skipped and have no row number."""
    lines = physical_lines(source)
    ahead: _Ahead = deque()
    blank = b" \t\r\n".replace(dialect.delimiter.encode(), b"")
    place = start
    while True:
        if ahead:
            data, length = ahead.popleft()
        else:
            try:
                data, length = next(lines)
            except StopIteration:
                return
        form, count = Form.PLAIN, 1
        if length > RECORD_LIMIT:
            form = Form.OVERSIZED
        elif b'"' in data:
            form, count = _extent(data, ahead, lines, dialect)
            if count > 1:
                data = b"".join((data, *(ahead.popleft()[0] for _ in range(count - 1))))
                length = len(data)
        elif not data.strip(blank):
            place = Place(place.offset + length, place.row, place.line + 1)
            continue
        after = Place(place.offset + length, place.row + 1, place.line + count)
        yield Segment(place, after, data, form)
        place = after


def _extent(first: bytes, ahead: _Ahead, lines: _Lines, dialect: Dialect) -> tuple[Form, int]:
    """How to take the row that begins with this line, and how many lines it has."""
    # Latin-1 maps bytes to characters one to one, and all that structures a row is ASCII: UTF-8 comes out the
    # same.
    text = first.decode("latin-1")
    cells, count = 0, 1
    if text.count('"') % 2 == 0:  # all of it most likely: the quick way
        cells, count = _strict_cells((text,), dialect.delimiter)
    if not cells:
        cells, count = _strict_cells(_texts(first, ahead, lines), dialect.delimiter)
    if dialect.delimiter == "\t" and text.count("\t") + 1 == dialect.columns:
        # Tab-separated text has no quoting by its definition, though Excel quotes in it: `"G I G" on a wall`
        # is a cell that begins with a quote. Quotes count only where they too give the header's number of
        # cells, and a cell that goes on in the next line must be the last one (an earlier one would have
        # swallowed tabs of this line).
        continues = count == 1 or len(lenient_cells(text, "\t")) == dialect.columns
        if cells != dialect.columns or not continues:
            return Form.PLAIN, 1
    return (Form.QUOTED, count) if cells else (Form.BROKEN, 1)


def _strict_cells(lines: Iterable[str], delimiter: str) -> tuple[int, int]:
    """How many cells and lines the row has that begins these lines; no cells where its quotes are wrong."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        return len(next(reader)), reader.line_num
    except csv.Error:
        return 0, 1


def _texts(first: bytes, ahead: _Ahead, lines: _Lines) -> Iterator[str]:
    """The first line and those after it while all are within the limits; lines taken are put into `ahead`."""
    yield first.decode("latin-1")
    size = len(first)
    for taken in range(RECORD_LINES - 1):
        if taken == len(ahead):
            following = next(lines, None)
            if following is None:
                return
            ahead.append(following)
        data, length = ahead[taken]
        size += length
        if size > RECORD_LIMIT:
            return
        yield data.decode("latin-1")


def lenient_cells(text: str, delimiter: str) -> list[str]:
    """What the csv module makes of a text that it would not read strictly."""
    return next(csv.reader((text,), delimiter=delimiter), [])


def open_quote(line: str, delimiter: str) -> tuple[int, int]:
    """The cell (from 0) and character (from 1) where the quote opens that keeps this line from being read."""
    position = cell = 0
    while line[position] != '"' or _closes(line, position, delimiter):
        quoted = _QUOTED_CELL.match(line, position)
        position = line.index(delimiter, quoted.end() if quoted else position) + 1
        cell += 1
    return cell, position + 1


def _closes(line: str, position: int, delimiter: str) -> bool:
    quoted = _QUOTED_CELL.match(line, position)
    return quoted is not None and line[quoted.end() : quoted.end() + 1] in (delimiter, "\r", "\n", "")
