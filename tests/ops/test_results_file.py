import csv
import io

import pytest

from functions.core.batches.manifest import ManifestPart, Row
from functions.core.batches.results import COLUMNS, ResultsTable
from ops.results_file import ResultsError, append_cell, read_results, shown_cell


def published(columns: tuple[str, ...], *rows: tuple[str, ...], bom: bool = False) -> list[str]:
    part = ManifestPart(
        columns, bom, tuple(Row(at, at + 1, cells, "", (), "", ("no good",)) for at, cells in enumerate(rows, start=1))
    )
    table = ResultsTable("products-1")
    table.header(part)
    for row in part.rows:
        table.row(row, {}, {})
    return table.take().decode().splitlines(keepends=True)


def test_the_files_own_cells_come_apart_from_what_became_of_the_row() -> None:
    heading, lines = read_results(published(("sku", "prompt"), ("A", "a mug"), ("B", "a pot")))

    assert heading.columns == ("sku", "prompt")
    found = list(lines)
    assert [line.cells for line in found] == [("A", "a mug"), ("B", "a pot")]
    assert [line.outcome["status"] for line in found] == ["invalid", "invalid"]
    assert [line.integer("line") for line in found] == [2, 3]
    assert found[0].integer("width") is None
    assert found[0].amount("cost_usd") is None


def test_a_column_of_the_file_with_one_of_our_names_is_the_files() -> None:
    heading, lines = read_results(published(("Status", "prompt"), ("on sale", "a mug")))

    assert heading.columns == ("Status", "prompt")
    assert next(lines).outcome["status"] == "invalid"


def test_a_byte_order_mark_is_no_part_of_the_first_columns_name() -> None:
    heading, _ = read_results(published(("sku",), ("A",), bom=True))

    assert heading.columns == ("sku",)


def test_the_text_of_the_lines_is_the_file_to_the_byte() -> None:
    text = published(("sku", "prompt"), ("A", 'a "red" mug,\nfor two'), ("B", "=1+1"))

    heading, lines = read_results(text)

    assert "".join((heading.text, *(line.text for line in lines))) == "".join(text)


def test_a_duplicate_names_a_row_or_the_batch_that_paid() -> None:
    _, lines = read_results(published(("sku",), ("A",)))
    line = next(lines)

    assert (line.same_as, line.paid_by) == (None, "")
    within = type(line)(line.text, line.cells, {**line.outcome, "duplicate_of": "12"})
    assert (within.same_as, within.paid_by) == (12, "")
    across = type(line)(line.text, line.cells, {**line.outcome, "duplicate_of": "products-1"})
    assert (across.same_as, across.paid_by) == (None, "products-1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sku,prompt\nA,a mug\n",
        "\n",
        "".join(published(("sku",), ("A",)))[:-20] + "\n",
        "".join(published(("sku",))) + '"A\n',
        "".join(published(("sku",))) + "x" * 140_000 + "," * len(COLUMNS),
        "".join(published(("sku",))).replace("status", "condition"),
    ],
    ids=["empty", "not ours", "an empty line", "cut off", "cut off in a quote", "a huge cell", "other columns"],
)
def test_what_is_no_results_file_is_a_sentence(text: str) -> None:
    with pytest.raises(ResultsError, match="damaged"):
        list(read_results(text.splitlines(keepends=True))[1])


def test_a_cell_is_shown_as_it_was_sent() -> None:
    assert [shown_cell(cell) for cell in ("'=1+1", "'tis", "-5", "")] == ["=1+1", "'tis", "-5", ""]


def test_an_appended_cell_is_quoted_where_it_must_be() -> None:
    for cell in ("images/a.jpg", 'images/a,"b".jpg', ""):
        text = append_cell('"x\ny"\r\n', cell)

        assert text.endswith("\r\n")
        assert next(csv.reader(io.StringIO(text, newline=""))) == ["x\ny", cell]
