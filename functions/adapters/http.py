"""HTTP to providers: one client, and downloads from addresses that others gave us."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs.picture import MAX_BYTES
from functions.core.ports import PollError

USER_AGENT = "imagebatch"

# IPv4-compatible (RFC 4291, 2.5.5.1) and translated by NAT64 (RFC 6052, RFC 8215).
_TRANSLATED = tuple(ipaddress.IPv6Network(network) for network in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48"))


class TooLateError(Exception):
    """Raised in place of sending a request whose moment has passed."""


def client(timeout_seconds: float) -> httpx.AsyncClient:
    """The HTTP client of a worker. It follows no redirects, sends nothing twice and ignores proxy variables."""
    # httpx logs the URL of each request, and that of a submit has our signed key in it.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(retries=0, limits=httpx.Limits(max_connections=64)),
        timeout=httpx.Timeout(timeout_seconds, connect=4.0, pool=4.0),
        follow_redirects=False,
        # Nothing compressed: a few bytes could become more than the function's memory.
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        trust_env=False,
    )


def leaves_before(not_after: float, monotonic: Callable[[], float]) -> dict[str, Any]:
    """Request extensions that stop a request which would start to leave after a moment.

    The check runs when the connection stands and the first byte is about to be written, and again before the body, so
    neither a slow connect nor a process that was frozen meanwhile can send late: headers without their body are no call
    (https://www.python-httpx.org/advanced/extensions/#trace).
    """

    async def trace(event: str, _: object) -> None:
        if event.endswith(("send_request_headers.started", "send_request_body.started")) and monotonic() > not_after:
            raise TooLateError

    return {"trace": trace}


def never_sent(error: httpx.RequestError) -> bool:
    """Whether a failed request cannot have reached the other side."""
    before = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.LocalProtocolError)
    return isinstance(error, (*before, httpx.UnsupportedProtocol))


async def download(http: httpx.AsyncClient, url: str, *, trusted_origin: str = "") -> bytes:
    """The bytes behind a URL that a provider gave us.

    Only https, only public addresses, no redirects, bounded in size. The name is resolved here and the connection goes
    to the address that was checked. `trusted_origin` (scheme://host:port) is exempt: it is where an operator has
    pointed the provider, such as a gateway on a private network.

    Raises:
        PollError: when the URL may not be fetched or could not be.
    """
    try:
        request = await _request(http, url, trusted_origin)
    except (ValueError, httpx.InvalidURL) as error:
        raise PollError(_refused("no address at all")) from error
    return await _read(http, request)


async def _request(http: httpx.AsyncClient, url: str, trusted_origin: str) -> httpx.Request:
    parts = urlsplit(url)
    if trusted_origin and f"{parts.scheme}://{parts.netloc}" == trusted_origin:
        return http.build_request("GET", url)
    if parts.scheme != "https" or not parts.hostname:
        raise PollError(_refused("not https"))
    address = await _public_address(parts.hostname, parts.port or 443)
    return http.build_request(
        "GET",
        httpx.URL(url).copy_with(host=address),
        headers={"Host": parts.netloc.rpartition("@")[2]},
        extensions={"sni_hostname": parts.hostname},
    )


async def _read(http: httpx.AsyncClient, request: httpx.Request) -> bytes:
    try:
        response = await http.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise PollError(_unfetched(f"HTTP {response.status_code}", response.status_code))
            if response.headers.get("content-encoding", "identity") != "identity":
                raise PollError(Fault(ErrorClass.CORRUPT, "the picture came compressed, unasked", resumable=True))
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_BYTES:
                    why = f"the picture is larger than {MAX_BYTES} bytes"
                    raise PollError(Fault(ErrorClass.CORRUPT, why, resumable=True))
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
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    if not addresses or not all(is_public(address) for address in addresses):
        raise PollError(_refused("not a public one"))
    return str(addresses[0])


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the internet's, and not an inner one in the clothes of an outer one.

    IPv6 has several ways to wrap an IPv4 address, which a gateway on the way would unwrap.
    """
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if wrapped is not None or any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast


def _refused(why: str) -> Fault:
    return Fault(ErrorClass.CORRUPT, f"the picture's address is {why}", resumable=True)


def _unfetched(why: str, code: int | None = None) -> Fault:
    return Fault(ErrorClass.NETWORK, f"the picture could not be fetched ({why})", code, resumable=True)
