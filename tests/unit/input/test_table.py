"""What makes a table: its delimiter, its header, and what is none."""

import pytest

from functions.core.input.errors import UnreadableFileError
from functions.core.input.segments import Place
from functions.core.input.table import HEAD_BYTES
from tests.unit.input.reading import cells_of, read, table_of


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
    with pytest.raises(UnreadableFileError, match=reason):
        table_of(head)


def test_the_place_of_a_broken_header_is_told() -> None:
    with pytest.raises(UnreadableFileError) as refusal:
        table_of(b"\nprompt,caf\xe9\n")
    assert (refusal.value.line, refusal.value.column) == (2, 11)
