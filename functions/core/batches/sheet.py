"""An uploaded file seen as a table whose rows can be planned: what the scan checks and every chunk uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from functions.core.batches.records import Batch
from functions.core.catalog import Catalog
from functions.core.input.errors import RecipeError
from functions.core.input.planning import PlannedRow, RowPlanner
from functions.core.input.recipe import Recipe, parse_recipe
from functions.core.input.rows import read_records
from functions.core.input.segments import Place
from functions.core.input.table import HEAD_BYTES, Table, read_table
from functions.core.ports import ObjectStore

RECIPE_LIMIT = 64 * 1024
"""Characters of the longest recipe: it is frozen in the batch record, which has to stay small."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file's table, the planner of its rows, and whether it began with a byte order mark."""

    table: Table
    planner: RowPlanner
    bom: bool

    def plan(self, inbox: ObjectStore, batch: Batch, start: Place, end: int) -> Iterator[tuple[PlannedRow, Place]]:
        """The rows that lie in the bytes [start.offset, end) of the file, and where the row after each begins."""
        source = inbox.read_range(batch.source.key, batch.source.version, start.offset, end)
        for record in read_records(source, self.table, start):
            yield self.planner.plan(record), record.after


def open_sheet(inbox: ObjectStore, batch: Batch, catalog: Catalog) -> Sheet:
    """Read the head of a batch's file.

    Raises:
        InputError: when the file or its recipe cannot be used.
        MissingObjectError: when the file is not there any more.
    """
    recipe = batch_recipe(batch.recipe, batch.recipe_text)
    head = b"".join(inbox.read_range(batch.source.key, batch.source.version, 0, HEAD_BYTES))
    table = read_table(head, batch.source.key)
    return Sheet(table, RowPlanner(table.header, recipe, catalog), head.startswith(_BOM))


def batch_recipe(name: str, text: str) -> Recipe:
    """The recipe that was frozen in a batch; the empty one if its name is empty.

    Raises:
        RecipeError: when it is malformed.
    """
    if not name:
        return Recipe()
    if len(text) > RECIPE_LIMIT:
        raise RecipeError(name, [f"it is longer than {RECIPE_LIMIT // 1024} KiB; shorten it."])
    if "\N{REPLACEMENT CHARACTER}" in text:
        raise RecipeError(name, ["it is not UTF-8 throughout; save it as UTF-8."])
    return parse_recipe(name, text)
