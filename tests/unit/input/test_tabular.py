"""Reading CSV and TSV as people have them: bad rows are reported where they are, good rows are never harmed."""

import csv
import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from functions.core.input.errors import UnreadableFileError
from functions.core.input.lines import RECORD_LIMIT, physical_lines
from functions.core.input.rows import CELL_LIMIT, Record, cut_ranges, read_records
from functions.core.input.segments import RECORD_LINES, Place
from functions.core.input.table import HEAD_BYTES, Table, read_table


def in_blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def table_of(data: bytes, filename: str = "prompts.csv") -> Table:
    return read_table(data[:HEAD_BYTES], filename)


def read(data: bytes, filename: str = "prompts.csv") -> list[Record]:
    table = table_of(data, filename)
    return list(read_records([data[table.start.offset :]], table, table.start))


def cells_of(data: bytes, filename: str = "prompts.csv") -> list[tuple[str, ...]]:
    records = read(data, filename)
    assert [record.problem for record in records] == [None] * len(records)
    return [record.cells for record in records]


def only_problem(data: bytes, filename: str = "prompts.csv") -> tuple[int, str, str]:
    """Line, column and message of the one bad row, which stands between two good ones."""
    first, *bad, last = read(data, filename)
    assert (first.problem, last.problem) == (None, None)
    assert len(bad) == 1
    assert bad[0].problem is not None
    return bad[0].problem.line, bad[0].problem.column, bad[0].problem.message


# What makes a table.


@pytest.mark.parametrize(
    ("head", "filename", "delimiter"),
    [
        (b"prompt,width\n", "a.csv", ","),
        (b"prompt;width\n", "a.csv", ";"),
        (b"prompt\twidth\n", "a.csv", "\t"),
        (b"prompt|width\n", "a.txt", "|"),
        (b"Prompt\n", "a.csv", ","),
        (b"Prompt\n", "a.tsv", "\t"),
        (b"a, b, c\tPrompt\n", "a.TAB", "\t"),
        (b'"size; colour; shape",prompt\n', "a.csv", ","),
        (b'"prompt";"width, in pixels, at most"\n', "a.csv", ";"),
        (b"size (w, h, d, x);prompt\n", "a.csv", ";"),
    ],
)
def test_the_delimiter_is_found_from_the_header(head: bytes, filename: str, delimiter: str) -> None:
    assert table_of(head + b"x", filename).dialect.delimiter == delimiter


def test_a_byte_order_mark_is_not_part_of_the_first_name() -> None:
    data = b"\xef\xbb\xbfprompt,width\na cat,512\n"
    assert table_of(data).header.names == ("prompt", "width")
    assert table_of(data).start == Place(16, 1, 2)
    assert cells_of(data) == [("a cat", "512")]


def test_blank_lines_before_the_header_are_skipped() -> None:
    data = b"\r\n \nprompt\na cat\n"
    assert table_of(data).header.line == 3
    assert read(data)[0].start == Place(11, 1, 4)


def test_header_names_are_found_in_any_case_and_spelling() -> None:
    header = table_of(b" Negative Prompt ,PROMPT,Body (HTML),params.Strength,SKU\n").header
    assert (header.find_field("negative_prompt"), header.find_field("prompt")) == (0, 1)
    assert header.positions("body  (html)") == [2]
    assert header.parameters() == {"strength": 3}
    assert header.find_field("sku") == 4
    assert header.find_field("seed") is None


def test_a_header_over_several_lines_is_one_header() -> None:
    data = b'"prompt","width\nin pixels"\na cat,512\n'
    assert table_of(data).header.names == ("prompt", "width\nin pixels")
    assert read(data)[0].start == Place(27, 1, 3)


@pytest.mark.parametrize("name", ["prompt", "Prompt", "PROMPT "])
def test_a_known_column_that_is_there_twice_is_refused_with_both_places(name: str) -> None:
    with pytest.raises(UnreadableFileError, match="as number 1 and as number 3"):
        table_of(f"prompt,width,{name}\n".encode())


def test_an_unknown_column_may_be_there_twice() -> None:
    assert table_of(b"prompt,note,note\n").header.positions("note") == [1, 2]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b" \r\n\r\n", "empty"),
        (b"PK\x03\x04\x14\x00", "Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"GIF89a", "GIF"),
        (b"RIFF\x00\x00\x00\x00WEBP", "WebP"),
        ("prompt\na cat".encode("utf-16"), "UTF-16"),
        ("prompt\na cat".encode("utf-16-le"), "UTF-16"),
        ("prompt\na cat".encode("utf-32-be"), "not a text file"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "not a text file"),
        (b"prompt,caf\xe9\n", "not UTF-8"),
        (b'prompt,"width\na cat,512\n', "quote in the header"),
        (b"prompt" + b"x" * HEAD_BYTES, "longer than"),
        (b"prompt,width" * HEAD_BYTES, "longer than"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(head: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFileError, match=reason) as refusal:
        table_of(head)
    assert refusal.value.line >= 1
    assert refusal.value.column >= 1


def test_the_place_of_a_broken_header_is_told() -> None:
    with pytest.raises(UnreadableFileError) as refusal:
        table_of(b"\nprompt,caf\xe9\n")
    assert (refusal.value.line, refusal.value.column) == (2, 11)


# Good rows.


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_kind_of_line_end_is_read_and_counted(end: bytes) -> None:
    data = end.join([b"prompt,width", b"a cat,1", b"", b'"a', b'dog",2', b"a bird,3"])
    records = read(data)
    assert [(record.start.row, record.start.line) for record in records] == [(1, 2), (2, 4), (3, 6)]
    assert [record.cells[1] for record in records] == ["1", "2", "3"]
    assert records[1].cells[0] == f"a{end.decode()}dog"
    assert records[-1].after.offset == len(data)


def test_quotes_commas_and_line_breaks_inside_cells_are_read() -> None:
    assert cells_of(b'prompt,note\n"a ""red"", old kite","two\nlines"\n') == [('a "red", old kite', "two\nlines")]


def test_an_inch_mark_in_an_unquoted_cell_is_a_character() -> None:
    assert cells_of(b'prompt,note\na 5" screen,x\n') == [('a 5" screen', "x")]


def test_a_row_of_empty_cells_is_a_row_and_a_line_of_blanks_is_not() -> None:
    assert cells_of(b"prompt;note\n;\n \t \nx;y\n") == [("", ""), ("x", "y")]
    assert cells_of(b"prompt\tnote\n\t\nx\ty\n") == [("", ""), ("x", "y")]


def test_line_separators_of_unicode_end_no_line() -> None:
    assert cells_of("prompt,note\na\u2028b,c\x0bd\n".encode()) == [("a\u2028b", "c\x0bd")]


def test_a_file_with_a_header_only_has_no_rows() -> None:
    data = b"prompt,width\n\n\n"
    assert read(data) == []
    assert list(cut_ranges([data[13:]], table_of(data), Place(13, 1, 2), 10)) == []


# Tab-separated text.


def test_a_tab_separated_cell_may_begin_with_quotes_that_are_no_quoting() -> None:
    line = b'"G I G G L E" painted as graffiti\tIllustrations\n'
    assert cells_of(b"Prompt\tCategory\n" + line, "a.tsv")[0][0] == '"G I G G L E" painted as graffiti'


def test_a_stray_quote_in_tab_separated_text_swallows_no_rows() -> None:
    data = b'Prompt\tNote\n"open\tx\na cat\ty\nclosed"\tz\n'
    assert cells_of(data, "a.tsv") == [('"open', "x"), ("a cat", "y"), ('closed"', "z")]


def test_quoting_by_excel_in_tab_separated_text_is_understood() -> None:
    data = b'Prompt\tNote\n"a ""red"" kite"\tx\na cat\t"two\nlines"\n"three\n\tlines"\ty\n'
    assert cells_of(data, "a.tsv") == [('a "red" kite', "x"), ("a cat", "two\nlines"), ("three\n\tlines", "y")]


# Bad rows.


def test_an_unclosed_quote_spoils_its_own_line_only() -> None:
    data = b'prompt,note\na,1\nb,"never closed\nc,3\n'
    assert only_problem(data)[:2] == (3, "note")
    assert "the quote at character 3 opens" in only_problem(data)[2]
    assert read(data)[1].cells == ("b", "never closed")


def test_text_after_a_closing_quote_is_reported_where_the_cell_begins() -> None:
    line, column, message = only_problem(b'prompt,note\na,1\n"a "red" kite",2\nc,3\n')
    assert (line, column) == (3, "prompt")
    assert "character 1 " in message


def test_a_quote_that_is_closed_beyond_the_limit_of_bytes_is_unclosed() -> None:
    far = 1 + RECORD_LIMIT // 500
    records = read(b'prompt,note\nb,"open\n' + (b"x," + b"y" * 500 + b"\n") * far + b'closed"\n')
    assert [record.start.line for record in records if record.problem] == [2, far + 3]
    assert len(records) == far + 2


def test_a_row_may_have_a_thousand_lines_and_no_more() -> None:
    assert read(b'prompt,note\nb,"' + b"x,y\n" * (RECORD_LINES - 1) + b'"\n')[0].problem is None
    records = read(b'prompt,note\nb,"x\n' + b"x,y\n" * (RECORD_LINES - 1) + b'"\n')
    assert [record.start.line for record in records if record.problem] == [2, RECORD_LINES + 2]
    assert len(records) == RECORD_LINES + 1


def test_the_limit_of_bytes_is_on_the_row_and_not_on_each_of_its_cells() -> None:
    cell = b'"' + (b"x" * 199 + b"\n") * (RECORD_LIMIT // 500) + b'"'
    assert read(b"prompt\n" + cell + b"\n")[0].after.line > 200
    first = read(b"prompt,a,b\n" + b",".join((cell, cell, cell)) + b"\n")[0]
    assert first.after.line == 3
    assert first.problem is not None
    assert "the quote at character 1 opens" in first.problem.message


@pytest.mark.parametrize(("row", "cells"), [(b"b", "1 cell"), (b"b,2,3", "3 cells"), (b"b,2,3,4,5", "5 cells")])
def test_a_ragged_row_is_reported_with_both_counts(row: bytes, cells: str) -> None:
    line, _, message = only_problem(b"prompt,note\na,1\n" + row + b"\nc,3\n")
    assert line == 3
    assert f"has {cells}, the header has 2 cells" in message


def test_ragged_rows_keep_what_the_header_has_room_for() -> None:
    assert [record.cells for record in read(b"prompt,note\nb\nc,2,3\n")] == [("b", ""), ("c", "2")]


def test_another_encoding_is_reported_with_line_column_and_byte() -> None:
    line, column, message = only_problem(b'prompt,note\na,1\n"b\nb","caf\xe9"\nc,3\n')
    assert (line, column) == (4, "note")
    assert "byte 0xe9 at character 8" in message
    assert "UTF-8" in message
    assert read(b"prompt,note\nb,caf\xe9\n")[0].cells == ("b", "caf\ufffd")


def test_characters_are_counted_as_a_person_sees_them() -> None:
    assert "byte 0xff at character 6" in only_problem("prompt\na\nähé: ".encode() + b"\xff\nb\n")[2]


def test_a_nul_is_reported() -> None:
    line, column, message = only_problem(b"prompt,note\na,1\nb,x\0y\nc,3\n")
    assert (line, column) == (3, "note")
    assert "character 4 is a NUL" in message


def test_a_cell_longer_than_a_spreadsheet_holds_is_reported() -> None:
    line, column, message = only_problem(b"prompt,note\na,1\nb," + b"x" * (CELL_LIMIT + 1) + b"\nc,3\n")
    assert (line, column) == (3, "note")
    assert "32,768 characters" in message
    assert len(read(b"prompt,note\nb," + b"x" * CELL_LIMIT + b"\n")[0].cells[1]) == CELL_LIMIT


@pytest.mark.parametrize("quote", [b"", b'"'])
@pytest.mark.parametrize("letter", [b"x", "é".encode()])
def test_a_cell_of_a_megabyte_is_one_bad_row(quote: bytes, letter: bytes) -> None:
    data = b"prompt,note\na,1\nb," + quote + letter * 1_000_000 + quote + b"\r\nc,3\n"
    line, _, message = only_problem(data)
    assert line == 3
    assert "longer than 128 KiB" in message
    assert len(read(data)[1].cells[1]) < 2_000
    assert read(data)[2].start == Place(len(data) - 4, 3, 4)


def test_a_line_without_end_costs_no_memory() -> None:
    header = b"prompt,note\n"
    table = table_of(header)
    tracemalloc.start()
    try:
        blocks = (b"x" * 65_536 for _ in range(500))
        (record,) = read_records(blocks, table, table.start)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert record.after.offset == len(header) + 500 * 65_536
    assert peak < 6 * RECORD_LIMIT


# What holds for any bytes.

FRAGMENTS = [
    b'"',
    b'""',
    b",",
    b"\t",
    b";",
    b"\n",
    b"\r\n",
    b"\r",
    b"a",
    b" ",
    b"\0",
    b"\xff",
    "é".encode(),
    b'x,"y"\n',
]
nasty = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=60).map(b"".join)
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


@given(nasty, st.integers(1, 5))
def test_physical_lines_add_up_to_the_bytes(data: bytes, size: int) -> None:
    lines = list(physical_lines(in_blocks(data, size)))
    assert b"".join(line for line, _ in lines) == data
    assert [line for line, _ in lines] == data.splitlines(keepends=True)


@given(st.lists(st.sampled_from([1, RECORD_LIMIT - 1, RECORD_LIMIT, RECORD_LIMIT + 1, 3 * RECORD_LIMIT]), max_size=4))
def test_the_true_length_of_a_cut_line_is_known(lengths: list[int]) -> None:
    data = b"".join(b"x" * (length - 1) + b"\r" for length in lengths)
    lines = list(physical_lines(in_blocks(data, 65_536)))
    assert [length for _, length in lines] == lengths
    assert [len(line) for line, _ in lines] == [min(length, RECORD_LIMIT) for length in lengths]
