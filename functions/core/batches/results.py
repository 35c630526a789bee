"""results.csv: the file as it was sent, and beside each row what became of it.

A row with several variants has one line for each. Always comma-separated; it begins with a byte order mark if the file
did, since spreadsheets that write one need one, and scripts that do not expect one trip over it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from functions.core.batches.manifest import ManifestPart, Row
from functions.core.input.identity import spec_from_json
from functions.core.input.text import clip
from functions.core.jobs.records import Job, State
from functions.core.keys import seed_for

COLUMNS = (
    "status",
    "image",
    "picture_name",
    "width",
    "height",
    "seed",
    "sha256",
    "cost_usd",
    "attempts",
    "latency_ms",
    "made_by",
    "error_class",
    "error",
    "row",
    "line",
    "job_id",
    "duplicate_of",
)
"""What is added to the file's columns; under `result_…` where the file has a column of that name.

status: a job's state, or `invalid`. image: key in the images bucket. cost_usd: in the line that the batch paid for, so
that the column adds up to the batch's cost, whatever became of its jobs; 0 in the lines that share its picture.
made_by: the model. row: the data row from 1; line: where it begins in the file. duplicate_of: the row of this file that
has the same picture, or else the batch that paid for it.
"""

INVALID = "invalid"
"""Status and error class of a row that asks for no picture because something is wrong with it."""

_EXECUTED = re.compile(r"[\t\r\n]|\s*[-=+@＝＋－＠]")  # a Japanese Excel takes the wide ones too
_MESSAGE_LIMIT = 2_000  # characters; a reader that allows 131,072 to a cell must get through
_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?%?")


class ResultsTable:
    """Writes the lines of one batch's results, part by part in the order of the file."""

    def __init__(self, batch_id: str) -> None:
        self._batch_id = batch_id
        self._text = _Lines()
        self._writer = csv.writer(self._text, lineterminator=_Lines.END)

    def header(self, part: ManifestPart) -> None:
        """Write the header line. `part` is any of the batch's parts."""
        if part.bom:
            self._text.mark()
        self._writer.writerow([safe_cell(name) for name in (*part.columns, *added_columns(part.columns))])

    def row(self, row: Row, jobs: Mapping[str, Job], first_rows: Mapping[str, int]) -> None:
        """Write a row's lines.

        first_rows: for each of its jobs that an earlier line had, the row of that line.
        """
        cells = [safe_cell(cell) for cell in row.cells]
        if not row.job_ids:
            self._writer.writerow((*cells, *_invalid(row)))
        for number, job_id in enumerate(row.job_ids, start=1):
            name = f"{row.picture_name}-{number}" if row.picture_name and len(row.job_ids) > 1 else row.picture_name
            earlier = first_rows.get(job_id)
            self._writer.writerow((*cells, *self._outcome(row, jobs[job_id], name, earlier)))

    def take(self) -> bytes:
        """What was written since the last call."""
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()

    def _outcome(self, row: Row, job: Job, name: str, earlier: int | None) -> tuple[object, ...]:
        seed = spec_from_json(job.spec).seed
        paid_here = earlier is None and job.paid_by(self._batch_id)
        duplicate_of = earlier if earlier is not None else "" if paid_here else job.batch_id
        paid = job.cost_to(self._batch_id) if earlier is None else Decimal(0)
        cost = _money(None if job.cost_usd is None else paid)
        made = job.state is State.SUCCESS
        return (
            job.state.value,
            job.image_key,
            safe_cell(name),
            job.width,
            job.height,
            seed_for(job.job_id) if seed is None else seed,
            job.sha256,
            cost,
            job.attempt_count,
            job.latency_ms,
            job.model,
            "" if made or job.error_class is None else job.error_class.value,
            "" if made else safe_cell(clip(job.error_message, _MESSAGE_LIMIT)),
            row.row,
            row.line,
            job.job_id,
            duplicate_of,
        )


class _Lines(io.StringIO):
    r"""Text whose lines end in \n, as shells want it, though they are written with \r\n.

    For only with that does the csv module put every cell into quotes that has one of the two.
    """

    END = "\r\n"

    def mark(self) -> None:
        """Begin with a byte order mark."""
        super().write("\N{ZERO WIDTH NO-BREAK SPACE}")

    def write(self, line: str) -> int:
        """Take one line."""
        return super().write(line.removesuffix(self.END) + "\n")


def added_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """The names of our columns beside the file's, told apart from them in any case."""
    taken = {name.strip().casefold() for name in columns}
    names = []
    for column in COLUMNS:
        name = column
        while name in taken:
            name = f"result_{name}"
        names.append(name)
    return tuple(names)


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet executes: what would start a formula gets an apostrophe before it.

    https://owasp.org/www-community/attacks/CSV_Injection. A plain number such as -5 or +3,5 stays as it is: it computes
    nothing, and with an apostrophe it would be a text and no longer add up. So that the apostrophe can be told from one
    of the sender's, what the sender protected gets one more: `ops.results_file.shown_cell` is the exact inverse.
    """
    bare = text.lstrip("'")
    if _EXECUTED.match(bare) and not _NUMBER.fullmatch(bare):
        return f"'{text}"
    return text


def _invalid(row: Row) -> tuple[object, ...]:
    outcome = {
        "status": INVALID,
        "picture_name": safe_cell(row.picture_name),
        "error_class": INVALID,
        "error": safe_cell(" ".join(row.problems)),  # of few problems, and short ones: see `Problem`
        "row": row.row,
        "line": row.line,
    }
    return tuple(outcome.get(column, "") for column in COLUMNS)


def _money(amount: Decimal | None) -> str:
    return "" if amount is None else format(amount.normalize(), "f")
