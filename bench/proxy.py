"""A reverse proxy that counts: between the functions and the embedded AWS, byte for byte, with a name for each request.

One port for each caller, so that it is known who asked. It speaks as much HTTP/1.1 as it takes to see where a request
ends (RFC 9112, section 6): one at a time on a connection, bodies with a length or in chunks, 100-continue.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from bench.wire import Call, name_call
from ops.local.service import HOST

_HEAD_LIMIT = 256 * 1024
_PIECE = 64 * 1024


@dataclass(slots=True)
class Tally:
    """Requests by caller and name, and how many of them were answered with an error (4xx, 5xx)."""

    requests: Counter[tuple[str, Call]] = field(default_factory=Counter)
    refused: Counter[tuple[str, Call]] = field(default_factory=Counter)


@contextmanager
def counting_proxy(upstream_port: int, callers: Sequence[str], tally: Tally) -> Iterator[Mapping[str, str]]:
    """Run the proxy in a thread; gives each caller's URL. What passes is added to `tally`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="counting-proxy", daemon=True)
    thread.start()
    try:
        serving = asyncio.run_coroutine_threadsafe(_serve(upstream_port, callers, tally), loop)
        yield serving.result(timeout=10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()


async def _serve(upstream_port: int, callers: Sequence[str], tally: Tally) -> dict[str, str]:
    urls = {}
    for caller in callers:

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, caller: str = caller) -> None:
            await _relay(reader, writer, caller, upstream_port, tally)

        server = await asyncio.start_server(connected, HOST, 0, limit=_HEAD_LIMIT)
        urls[caller] = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    return urls


async def _relay(
    client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter, caller: str, upstream_port: int, tally: Tally
) -> None:
    """Carry one connection's requests and answers until either side hangs up."""
    aws_in, aws_out = await asyncio.open_connection(HOST, upstream_port, limit=_HEAD_LIMIT)
    try:
        # Cancelled: the proxy ends, and the streams would complain of a task that did not end well.
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                call, status = await exchange(client_in, client_out, aws_in, aws_out)
                tally.requests[caller, call] += 1
                if status >= 400:
                    tally.refused[caller, call] += 1
    finally:
        client_out.close()
        aws_out.close()


async def exchange(
    client_in: asyncio.StreamReader,
    client_out: asyncio.StreamWriter,
    aws_in: asyncio.StreamReader,
    aws_out: asyncio.StreamWriter,
) -> tuple[Call, int]:
    """Carry one request and its answer; the request's name and the answer's status.

    Raises:
        IncompleteReadError: when a side hung up.
    """
    head = await _head(client_in)
    aws_out.write(head.raw)
    answer: _Head | None = None
    if head.headers.get("expect", "").lower() == "100-continue":
        answer = await _head(aws_in)
        client_out.write(answer.raw)
    body = bytearray()
    if answer is None or answer.status == 100:
        async for piece in _body(client_in, head):
            aws_out.write(piece)
            body += piece
        await aws_out.drain()
        answer = await _head(aws_in)
        client_out.write(answer.raw)
    method, target, _ = head.start.split(" ", 2)
    if method != "HEAD" and answer.status not in (204, 304):
        async for piece in _body(aws_in, answer):
            client_out.write(piece)
    await client_out.drain()
    return name_call(method, target, head.headers, bytes(body)), answer.status


@dataclass(frozen=True, slots=True)
class _Head:
    """The first line and the headers of a message; the headers' names in small letters."""

    raw: bytes
    start: str
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.start.split(" ", 2)[1])


async def _head(reader: asyncio.StreamReader) -> _Head:
    raw = await reader.readuntil(b"\r\n\r\n")
    start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return _Head(raw, start, {name.lower(): value.strip() for name, _, value in fields})


async def _body(reader: asyncio.StreamReader, head: _Head) -> AsyncIterator[bytes]:
    """The bytes of a message's body as they are on the wire, chunk sizes included."""
    if "chunked" not in head.headers.get("transfer-encoding", "").lower():
        left = int(head.headers.get("content-length", "0"))
        while left:
            piece = await reader.readexactly(min(left, _PIECE))
            left -= len(piece)
            yield piece
        return
    size = -1
    while size != 0:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        yield line + (await reader.readexactly(size + 2) if size else b"")
    line = b""
    while line != b"\r\n":  # trailers, and the empty line that ends them
        line = await reader.readuntil(b"\r\n")
        yield line
