"""Rows as people have them: bad ones are reported where they are, good ones are never harmed."""

import pytest

from functions.core.input.lines import RECORD_LIMIT
from functions.core.input.rows import CELL_LIMIT, cut_ranges
from functions.core.input.segments import RECORD_LINES, Place
from tests.unit.input.reading import cells_of, read, table_of

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


def only_problem(data: bytes, filename: str = "prompts.csv") -> tuple[int, str, str]:
    """Line, column and message of the one bad row, which stands between two good ones."""
    first, *bad, last = read(data, filename)
    assert (first.problem, last.problem) == (None, None)
    assert len(bad) == 1
    assert bad[0].problem is not None
    return bad[0].problem.line, bad[0].problem.column, bad[0].problem.message


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
