"""From the first bytes of a file to its table: is it text, what separates its cells, what are its columns."""

import csv
from dataclasses import dataclass

from functions.core.input.errors import UnreadableFileError
from functions.core.input.header import PICTURE_COLUMNS, Header
from functions.core.input.lines import RECORD_LIMIT
from functions.core.input.segments import Dialect, Form, Place, Segment, lenient_cells, open_quote, segments
from functions.core.input.text import field_key

HEAD_BYTES = RECORD_LIMIT
"""How much of a file's beginning `read_table` wants; the header must lie within it."""

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = (",", ";", "\t", "|")
_SAVE_AS_CSV = "Save the sheet as CSV UTF-8 and upload that."
_NOT_TEXT = (
    (b"PK\x03\x04", f"this is a zip file or an Excel workbook, not a CSV. {_SAVE_AS_CSV}"),
    (b"\xd0\xcf\x11\xe0", f"this is an old Excel or Office file, not a CSV. {_SAVE_AS_CSV}"),
    (b"%PDF", "this is a PDF, not a CSV. Upload the table it was made from, as CSV."),
    (b"\x1f\x8b", "this file is compressed with gzip. Unpack it and upload the CSV itself."),
    (b"\x89PNG", "this is a PNG picture, not a CSV. Upload a CSV of prompts."),
    (b"\xff\xd8\xff", "this is a JPEG picture, not a CSV. Upload a CSV of prompts."),
    (b"GIF8", "this is a GIF picture, not a CSV. Upload a CSV of prompts."),
    (b"RIFF", "this is a WebP picture or other media, not a CSV. Upload a CSV of prompts."),
    (b"\xff\xfe", "this file is in UTF-16 or UTF-32. Save it as UTF-8 (in Excel: CSV UTF-8)."),
    (b"\xfe\xff", "this file is in UTF-16. Save it as UTF-8 (in Excel: CSV UTF-8)."),
    (b"\x00\x00\xfe\xff", "this file is in UTF-32. Save it as UTF-8 (in Excel: CSV UTF-8)."),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A file's header and dialect, and where its first row begins."""

    header: Header
    dialect: Dialect
    start: Place


def read_table(head: bytes, filename: str) -> Table:
    """The table of a file that begins with `head`: its first HEAD_BYTES, or all of it when it is shorter.

    A function of these bytes and the name alone. Raises UnreadableFileError with a sentence that says what to
    do.
    """
    _refuse_what_is_not_text(head)
    skipped = len(_BOM) if head.startswith(_BOM) else 0
    text = head[skipped:HEAD_BYTES]
    if not text.strip():
        raise UnreadableFileError("the file is empty; it needs a header line and one row for each picture.")
    delimiter = _delimiter(text, filename)
    segment = _header_segment(text, delimiter)
    line = segment.start.line
    header = Header(_header_cells(segment, delimiter), line)
    start = Place(skipped + segment.after.offset, 1, segment.after.line)
    return Table(header, Dialect(delimiter, len(header.names)), start)


def _refuse_what_is_not_text(head: bytes) -> None:
    for magic, reason in _NOT_TEXT:
        if head.startswith(magic):
            raise UnreadableFileError(reason)
    first_line = head.splitlines()[0] if head else b""
    if b"\0" in first_line:
        raise UnreadableFileError(
            "this is not a text file, or one in UTF-16. Save it as UTF-8 (in Excel: CSV UTF-8).",
            column=first_line.index(b"\0") + 1,
        )


def _header_segment(text: bytes, delimiter: str) -> Segment:
    # 0 columns: the number is not known yet.
    return next(segments((text,), Dialect(delimiter, 0), Place(0, 1, 1)))


def _delimiter(text: bytes, filename: str) -> str:
    """The separator under which the header has most columns that we know, then most columns."""
    tabbed = filename.lower().endswith((".tsv", ".tab"))
    candidates = sorted(_DELIMITERS, key=lambda delimiter: tabbed and delimiter != "\t")
    if tabbed and b"\t" in _header_segment(text, "\t").data:
        return "\t"

    def plausibility(delimiter: str) -> tuple[int, int]:
        line = _header_segment(text, delimiter).data.decode("utf-8", "replace")
        cells = lenient_cells(line, delimiter)
        return sum(field_key(cell) in PICTURE_COLUMNS for cell in cells), len(cells)

    return max(candidates, key=plausibility)


def _header_cells(segment: Segment, delimiter: str) -> tuple[str, ...]:
    line = segment.start.line
    if segment.form is Form.OVERSIZED or segment.after.offset >= HEAD_BYTES - len(_BOM):
        raise UnreadableFileError(f"the header line is longer than {HEAD_BYTES // 1024} KiB; is this a CSV?", line)
    if segment.form is Form.BROKEN:
        _, column = open_quote(segment.data.decode("utf-8", "replace"), delimiter)
        reason = "a quote in the header is not properly closed; close it or take it out."
        raise UnreadableFileError(reason, line, column)
    try:
        text = segment.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            f"byte 0x{segment.data[error.start]:02x} is not UTF-8; save it as UTF-8 (in Excel: CSV UTF-8).",
            line,
            error.start + 1,
        ) from error
    if segment.form is Form.PLAIN:
        return tuple(text.rstrip("\r\n").split(delimiter))
    return tuple(next(csv.reader((text,), delimiter=delimiter, strict=True)))
