"""Rows are where they are, whatever the bytes and however they are cut."""

import csv
import io

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from functions.core.input.rows import Record, cut_ranges, read_records
from functions.core.input.table import Table
from tests.unit.input.reading import cells_of, in_blocks, nasty, table_of

tables = st.sampled_from(
    [
        table_of(b"prompt,note\n"),
        table_of(b"prompt\tnote\n"),
        table_of(b"prompt;a;b\n"),
        table_of(b"prompt\n", "one.tsv"),
        table_of(b"prompt\n"),
    ]
)


def from_start(data: bytes, table: Table) -> list[Record]:
    return list(read_records([data], table, table.start))


@settings(max_examples=400)
@given(nasty, tables, st.data())
@example(b'a,"b\r\nc,d\r\n"e",f', table_of(b"prompt,note\n"), None)
def test_any_cut_at_rows_reads_the_same_rows(data: bytes, table: Table, draws: st.DataObject | None) -> None:
    whole = from_start(data, table)
    base = table.start.offset
    cuts = [record.after for record in whole[:-1]]
    if draws is not None:
        cuts = sorted(draws.draw(st.sets(st.sampled_from(cuts)))) if cuts else []
    pieces: list[Record] = []
    for start, end in zip([table.start, *cuts], [*cuts, None], strict=True):
        piece = data[start.offset - base : None if end is None else end.offset - base]
        pieces += read_records([piece], table, start)
    assert pieces == whole


@given(nasty, tables, st.integers(1, 7))
def test_how_the_bytes_arrive_makes_no_difference(data: bytes, table: Table, size: int) -> None:
    assert list(read_records(in_blocks(data, size), table, table.start)) == from_start(data, table)


@given(nasty, tables)
def test_every_row_has_its_place_and_the_headers_number_of_cells(data: bytes, table: Table) -> None:
    place = table.start
    for record in from_start(data, table):
        assert record.start.row == place.row
        assert record.start.offset >= place.offset
        assert record.after.offset > record.start.offset
        assert len(record.cells) == table.dialect.columns
        skipped = data[place.offset - table.start.offset : record.start.offset - table.start.offset]
        assert record.start.line - place.line == len(skipped.splitlines())
        place = record.after


@given(nasty, tables, st.integers(1, 5), st.integers(1, 40))
def test_chunks_cover_every_row_once_and_go_on_from_any_end(
    data: bytes, table: Table, rows: int, max_bytes: int
) -> None:
    chunks = list(cut_ranges([data], table, table.start, rows, max_bytes))
    records = from_start(data, table)
    assert sum(chunk.end.row - chunk.start.row for chunk in chunks) == len(records)
    assert [chunk.start for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]
    for number, chunk in enumerate(chunks):
        rest = data[chunk.end.offset - table.start.offset :]
        assert list(cut_ranges([rest], table, chunk.end, rows, max_bytes)) == chunks[number + 1 :]
        assert chunk.end.row - chunk.start.row <= rows


safe_cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(safe_cells, safe_cells), max_size=20), st.sampled_from([",", ";", "|", "\t"]))
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str]], delimiter: str) -> None:
    # In tab-separated text a quote before a tab and a line end is more likely a quote of the text.
    ambiguous = ("\t" in cell and ("\r" in cell or "\n" in cell) for row in rows for cell in row)
    assume(delimiter != "\t" or not any(ambiguous))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("prompt", "note"), *rows])
    assert cells_of(text.getvalue().encode()) == rows
