"""HTTP to providers: one client, and downloads from addresses that others gave us."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs.picture import MAX_BYTES
from functions.core.ports import PollError

USER_AGENT = "imagebatch"


class TooLateError(Exception):
    """Raised in place of sending a request whose moment has passed."""


def client(timeout_seconds: float) -> httpx.AsyncClient:
    """The HTTP client of a worker. It follows no redirects, sends nothing twice and ignores proxy variables."""
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(retries=0, limits=httpx.Limits(max_connections=64)),
        timeout=httpx.Timeout(timeout_seconds, connect=4.0, pool=4.0),
        follow_redirects=False,
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
    )


def leaves_before(not_after: float, monotonic: Callable[[], float]) -> dict[str, Any]:
    """Request extensions that stop a request which would start to leave after a moment.

    The check runs when the connection stands and the first byte is about to be written, so neither a slow connect nor a
    process that was frozen meanwhile can send late (https://www.python-httpx.org/advanced/extensions/#trace).
    """

    async def trace(event: str, _: object) -> None:
        if event.endswith("send_request_headers.started") and monotonic() > not_after:
            raise TooLateError

    return {"trace": trace}


def never_sent(error: httpx.TransportError) -> bool:
    """Whether a failed request cannot have reached the other side."""
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))


async def download(http: httpx.AsyncClient, url: str, *, trusted_origin: str = "") -> bytes:
    """The bytes behind a URL that a provider gave us.

    Only https, only public addresses, no redirects, bounded in size. The name is resolved here and the connection goes
    to the address that was checked. `trusted_origin` (scheme://host:port) is exempt: it is where an operator has
    pointed the provider, such as a gateway on a private network.

    Raises:
        PollError: when the URL may not be fetched or could not be.
    """
    parts = urlsplit(url)
    if trusted_origin and f"{parts.scheme}://{parts.netloc}" == trusted_origin:
        request = http.build_request("GET", url)
    elif parts.scheme == "https" and parts.hostname:
        address = await _public_address(parts.hostname, parts.port or 443)
        request = http.build_request(
            "GET",
            httpx.URL(url).copy_with(host=address),
            headers={"Host": parts.netloc.rpartition("@")[2]},
            extensions={"sni_hostname": parts.hostname},
        )
    else:
        raise PollError(Fault(ErrorClass.CORRUPT, "the picture's address is not https", resumable=True))
    return await _read(http, request)


async def _read(http: httpx.AsyncClient, request: httpx.Request) -> bytes:
    try:
        response = await http.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise PollError(_unfetched(f"HTTP {response.status_code}", response.status_code))
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise PollError(
                        Fault(
                            ErrorClass.CORRUPT,
                            f"the picture is larger than {MAX_BYTES} bytes",
                            resumable=True,
                        )
                    )
            return bytes(body)
        finally:
            await response.aclose()
    except httpx.HTTPError as error:
        raise PollError(_unfetched(type(error).__name__)) from error


async def _public_address(host: str, port: int) -> str:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PollError(_unfetched("its host name is unknown")) from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(ipaddress.ip_address(address).is_global for address in addresses):
        raise PollError(Fault(ErrorClass.CORRUPT, "the picture's address is not a public one", resumable=True))
    return addresses[0]


def _unfetched(why: str, code: int | None = None) -> Fault:
    return Fault(ErrorClass.NETWORK, f"the picture could not be fetched ({why})", code, resumable=True)
