"""Physical lines of a byte stream in bounded memory. All splitting is done by C code, block by block."""

from collections.abc import Iterable, Iterator

RECORD_LIMIT = 128 * 1024
"""Bytes of the longest row that is read, its line ends included.

The csv module refuses cells over 131,072 characters (a setting of the whole process): a row within this limit
never gets there.
"""

_BLOCK = 64 * 1024


def physical_lines(source: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    r"""Yield each line, its end (\n, \r\n or \r) included, and its length in bytes.

    Of a line longer than RECORD_LIMIT only the first RECORD_LIMIT bytes are kept; its length is the true one.
    Blocks may be cut anywhere, also inside \r\n.
    """
    carry = b""  # the line whose end has not been seen yet
    dropped = 0  # bytes of it that were not kept
    for block in _blocks(source):
        lines = (carry + block).splitlines(keepends=True)
        # A last \r may be the first half of \r\n, so that line waits too.
        carry = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            length = len(line) + dropped
            dropped = 0
            yield (line if length <= RECORD_LIMIT else line[:RECORD_LIMIT]), length
        if len(carry) > RECORD_LIMIT:
            kept = carry[:RECORD_LIMIT] + (b"\r" if carry.endswith(b"\r") else b"")
            dropped += len(carry) - len(kept)
            carry = kept
    if carry:
        yield carry[:RECORD_LIMIT], len(carry) + dropped


def _blocks(source: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in source:
        if len(chunk) <= _BLOCK:
            if chunk:
                yield chunk
        else:
            for start in range(0, len(chunk), _BLOCK):
                yield chunk[start : start + _BLOCK]
