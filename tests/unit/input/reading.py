"""Files as their bytes, read in one go."""

from collections.abc import Iterator

from hypothesis import strategies as st

from functions.core.input.rows import Record, read_records
from functions.core.input.table import HEAD_BYTES, Table, read_table

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
"""Bytes that mean something to whoever looks for rows and cells."""


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
