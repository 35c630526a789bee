"""The batch record and its parts: what the batches table holds, typed.

A batch is one uploaded file. It is listed `open` until it has an end: `completed` (every job has ended, and the
numbers are an exact recount), `cancelled` (so have those that had been called) or `rejected` (the file could not be
used). While it is open its counters are progress:
they come from the jobs table's stream and may be off when a record is lost; the recount at the close puts them right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

from functions.core.lanes.records import placeholder
from functions.core.writes import Write

OPEN, CLOSED = "open", "closed"
"""Values of `listing`, the key of the index that finds the batches somebody has to look after."""

BATCH_ITEM = "batch"
"""Sort key of the batch itself in the batches table; its parts have `keys.part_item`."""


class BatchState(StrEnum):
    """How far a batch is. `scanning`: its file is still being cut into parts."""

    SCANNING = "scanning"
    RUNNING = "running"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Source:
    """The object version that a batch was made from."""

    bucket: str
    key: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One uploaded file on its way to pictures.

    rows: data rows, invalid ones included; requested: pictures that the valid rows ask for, variants counted; jobs: the
    different ones among them; duplicates_prevented: requested pictures that this batch did not have to pay for;
    cost_usd: what it paid for its jobs, as far as is known; repaid: calls of those that were made although an earlier
    one may have been taken (`Job.repays`).

    recipe_text and chunk_rows are frozen when the batch is opened, so that a part that is made again is the same part.
    Times are ISO-8601 in UTC. updated_at: the last progress; checked_at: when somebody last looked whether it goes on;
    recount_until: epoch milliseconds until which one recount has the batch for itself (0: none); recount_again: another
    one was asked for meanwhile; rung: whether somebody began to ring its jobs.
    late: its results were published at the deadline, before it was finished. reason: why it was rejected, or what
    stands in its way while it is open. cut_short: the rows that are in no part yet cannot be read any more.

    paused: why nothing of it is rung, empty if it is not. confirmed: somebody has resumed it, whatever its reason to
    wait was. cancelled: what was not called yet is dropped. ring_chains: by lane (`ring_chain`) which chain of ring
    messages goes through it, 0 being the first.
    """

    batch_id: str
    listing: str
    state: BatchState
    source: Source
    recipe: str
    recipe_text: str
    chunk_rows: int
    created_at: str
    deadline_at: str
    updated_at: str
    checked_at: str = ""
    finished_at: str = ""
    reason: str = ""
    scanned: bool = False
    rows_expected: int = 0
    cut_short: bool = False
    parts_done: int = 0
    rows: int = 0
    invalid_rows: int = 0
    requested: int = 0
    jobs: int = 0
    pending: int = 0
    running: int = 0
    held: int = 0
    succeeded: int = 0
    failed: int = 0
    repaid: int = 0
    duplicates_prevented: int = 0
    cost_usd: Decimal = Decimal(0)
    late: bool = False
    results_key: str = ""
    recount_until: int = 0
    recount_again: bool = False
    rung: bool = False
    paused: str = ""
    confirmed: bool = False
    cancelled: bool = False
    ring_chains: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether its numbers and results may still change."""
        return self.listing == OPEN

    @property
    def whole(self) -> bool:
        """Whether every row of the file lies in a part that was made."""
        return self.scanned and self.rows == self.rows_expected

    @property
    def all_there(self) -> bool:
        """Whether no more rows will come."""
        return self.whole or self.cut_short or self.cancelled

    @property
    def looks_finished(self) -> bool:
        """Whether, by its counters, nothing will happen to any of its jobs by itself. The counters lag behind."""
        return self.is_open and self.all_there and self.pending + self.running <= 0

    def ring_chain(self, model: str) -> int:
        """The chain of ring messages that goes through the batch for a model; others have ended."""
        return self.ring_chains.get(ring_chain(model), 0)


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One thing wrong with one row of the file: row counts data rows from 1, line physical lines from 1."""

    row: int
    line: int
    column: str
    message: str


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a batch whose jobs exist and whose manifest is stored.

    offset: byte of the file where the first row begins, which names the part; end, end_line: where the next part
    begins. problems: the first few.
    """

    offset: int
    end: int
    end_line: int
    first_row: int
    rows: int
    invalid_rows: int
    requested: int
    problems: tuple[RowProblem, ...] = ()


class BatchStore(Protocol):
    """The batches table."""

    def get(self, batch_id: str) -> Batch | None:
        """Read one batch, strongly consistent."""

    def write(self, batch_id: str, write: Write) -> Batch:
        """Carry out a write and return the batch after it.

        Raises:
            StaleWriteError: when its condition did not hold; it carries what is stored.
        """

    def open_batches(self) -> tuple[str, ...]:
        """Ids of the batches that have no end yet, the oldest first."""

    def get_part(self, batch_id: str, offset: int) -> Part | None:
        """Read one part, strongly consistent."""

    def parts(self, batch_id: str) -> Iterator[Part]:
        """Read a batch's parts in the order of the file, strongly consistent."""

    def add_part(self, batch_id: str, part: Part, write: Write) -> bool:
        """Add a part and carry out a write on its batch, both or neither; False if the part was there.

        Raises:
            StaleWriteError: when the write's condition did not hold.
        """


COUNTERS = (
    "rows",
    "invalid_rows",
    "requested",
    "jobs",
    "pending",
    "running",
    "held",
    "succeeded",
    "failed",
    "repaid",
    "duplicates_prevented",
)
_INTEGERS = (*COUNTERS, "chunk_rows", "rows_expected", "parts_done", "recount_until")
_TEXTS = (
    "batch_id",
    "listing",
    "recipe",
    "recipe_text",
    "created_at",
    "deadline_at",
    "updated_at",
    "checked_at",
    "finished_at",
    "reason",
    "results_key",
    "paused",
)
_SIGNS = ("scanned", "cut_short", "late", "recount_again", "rung", "confirmed", "cancelled")
_RING_CHAIN = "ring_chain_"


def ring_chain(model: str) -> str:
    """The attribute that says which chain of ring messages goes through a batch for a model."""
    return _RING_CHAIN + placeholder(model)


def batch_from_record(record: Mapping[str, Any]) -> Batch:
    """Read a batch from the attributes the table holds.

    A counter may be below zero where records of the stream were lost, until the recount: it reads as 0.
    """
    integers: dict[str, Any] = {name: max(0, int(record[name])) for name in _INTEGERS if name in record}
    signs: dict[str, Any] = {name: bool(record[name]) for name in _SIGNS if name in record}
    return Batch(
        state=BatchState(record["state"]),
        source=Source(**record["source"]),
        **signs,
        cost_usd=Decimal(record.get("cost_usd", 0)),
        ring_chains={name: int(chain) for name, chain in record.items() if name.startswith(_RING_CHAIN)},
        **{name: record[name] for name in _TEXTS if name in record},
        **integers,
    )


def part_from_record(record: Mapping[str, Any]) -> Part:
    """Read a part from the attributes the table holds."""
    problems = (RowProblem(int(row), int(line), column, message) for row, line, column, message in record["problems"])
    numbers = ("offset", "end", "end_line", "first_row", "rows", "invalid_rows", "requested")
    return Part(**{name: int(record[name]) for name in numbers}, problems=tuple(problems))


def part_record(part: Part) -> dict[str, Any]:
    """A part as the attributes the table holds."""
    return {
        "offset": part.offset,
        "end": part.end,
        "end_line": part.end_line,
        "first_row": part.first_row,
        "rows": part.rows,
        "invalid_rows": part.invalid_rows,
        "requested": part.requested,
        "problems": [[one.row, one.line, one.column, one.message] for one in part.problems],
    }


def epoch_ms(moment: str) -> int:
    """Epoch milliseconds of an ISO-8601 time; 0 of an empty text, which stands for never."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000) if moment else 0
