"""The counting proxy passes on every byte, and sees where a request and its answer end."""

import asyncio
from typing import cast

import pytest

from bench.proxy import exchange
from bench.wire import Call

pytestmark = pytest.mark.anyio


class Sent(bytearray):
    """As much of a StreamWriter as the proxy uses."""

    def write(self, data: bytes) -> None:
        self.extend(data)

    async def drain(self) -> None:
        pass


def reader(data: bytes) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream


async def carry(request: bytes, answer: bytes) -> tuple[Call, int, bytes, bytes]:
    """Carry the first exchange of what each side has to say: its name, its status, and what either side gets."""
    client, aws = Sent(), Sent()
    writers = [cast("asyncio.StreamWriter", side) for side in (client, aws)]
    call, status = await exchange(reader(request), writers[0], reader(answer), writers[1])
    return call, status, bytes(client), bytes(aws)


NEXT = b"the next message"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET /b/k HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
        (
            b"PUT /b/k HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nchecksum: c\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (b"HEAD /b/k HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        (
            b"PUT /b/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ],
)
async def test_an_exchange_is_carried_whole_and_no_further(request_: bytes, answer: bytes) -> None:
    call, status, to_client, to_aws = await carry(request_ + NEXT, answer + NEXT)

    assert (to_client, to_aws) == (answer, request_)
    assert (call.service, call.resource) == ("S3", "b")
    assert status in (200, 204)


async def test_a_body_that_was_refused_in_advance_is_not_waited_for() -> None:
    head = b"PUT /b/k HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    answer = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"

    _, status, to_client, to_aws = await carry(head, answer)

    assert (status, to_client, to_aws) == (412, answer, head)


async def test_a_side_that_hangs_up_ends_the_exchange() -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        await carry(b"PUT /b/k HTTP/1.1\r\nContent-Length: 9\r\n\r\nhi", b"")
