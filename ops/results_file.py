"""Reading results.csv: the file's own cells, our columns beside them, and the exact text of each line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from functions.core.batches.results import COLUMNS, safe_cell
from ops.errors import CommandError

_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


class ResultsError(CommandError):
    """Raised when what is published as a batch's results.csv is not such a file."""

    def __init__(self) -> None:
        super().__init__(
            "The results.csv in the bucket is damaged, or was not written by imagebatch. Submit the file again: "
            "pictures that are there cost nothing."
        )


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One line: the file's `cells`, and what became of the row by our columns' names (`core.batches.results`).

    `text` is the line as it stands in the file, with its line end.
    """

    text: str
    cells: tuple[str, ...]
    outcome: Mapping[str, str]

    def integer(self, column: str) -> int | None:
        """A number of our columns, None where the cell is empty."""
        return int(self.outcome[column]) if self.outcome[column] else None

    def amount(self, column: str) -> Decimal | None:
        """An amount of our columns, None where the cell is empty."""
        return Decimal(self.outcome[column]) if self.outcome[column] else None

    @property
    def same_as(self) -> int | None:
        """The row of this file that has the same picture and came first."""
        return int(self.outcome["duplicate_of"]) if self.outcome["duplicate_of"].isdecimal() else None

    @property
    def paid_by(self) -> str:
        """The other batch that paid for the picture."""
        return "" if self.same_as is not None else self.outcome["duplicate_of"]


@dataclass(frozen=True, slots=True)
class Heading:
    """The header line. `columns`: the file's own; `names`: all, ours included."""

    text: str
    columns: tuple[str, ...]
    names: tuple[str, ...]


def read_results(lines: Iterable[str]) -> tuple[Heading, Iterator[ResultLine]]:
    """The header and the lines of a results.csv, given its text line by line with the line ends as they are.

    Raises:
        ResultsError: it is no such file; also while the lines are read.
    """
    records = _records(lines)
    text, names = next(records, ("", ()))
    own = len(names) - len(COLUMNS)
    if own < 1 or any(name.removeprefix("result_") != ours for name, ours in zip(names[own:], COLUMNS, strict=True)):
        raise ResultsError
    heading = Heading(text, (names[0].removeprefix(_BOM), *names[1:])[:own], names)
    return heading, (_result_line(raw, cells, own) for raw, cells in records)


def shown_cell(cell: str) -> str:
    """A cell as it was sent: without the apostrophe that keeps a spreadsheet from executing it."""
    return cell[1:] if cell.startswith("'") and safe_cell(cell[1:]) == cell else cell


def append_cell(text: str, cell: str) -> str:
    """A line of the file with one more cell, and the rest of it as it is."""
    line = text.rstrip("\r\n")
    quoted = '"{}"'.format(cell.replace('"', '""')) if any(mark in cell for mark in ',"\r\n') else cell
    return f"{line},{quoted}{text[len(line) :]}"


def _result_line(text: str, cells: tuple[str, ...], own: int) -> ResultLine:
    if len(cells) != own + len(COLUMNS):
        raise ResultsError
    return ResultLine(text, cells[:own], dict(zip(COLUMNS, cells[own:], strict=True)))


def _records(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    taken: list[str] = []

    def taking() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    try:
        for cells in csv.reader(taking(), strict=True):
            yield "".join(taken), tuple(cells)
            taken.clear()
    except (csv.Error, UnicodeDecodeError) as error:
        raise ResultsError from error
