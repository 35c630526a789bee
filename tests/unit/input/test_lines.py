"""Physical lines come out whole, in bounded memory."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from functions.core.input.lines import RECORD_LIMIT, physical_lines
from functions.core.input.rows import read_records
from tests.unit.input.reading import in_blocks, nasty, table_of


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
