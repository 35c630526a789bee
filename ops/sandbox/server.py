"""The HTTP server: uvicorn, taught to end a connection without an answer."""

import asyncio
import socket
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Longer than any client keeps an idle connection: closing first would look to it like a lost answer.
_KEEP_ALIVE_SECONDS = 120
_GRACE_SECONDS = 3


class _Protocol(HttpToolsProtocol):
    """Lets a request end its own connection: ``scope["state"]["abort"]``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self.app_state = {**self.app_state, "abort": cast(asyncio.Transport, transport).abort}


class NoAnswer(Response):
    """The connection closes without a byte: at once, or when the client gives up (or the server stops)."""

    def __init__(self, *, hang: bool) -> None:
        super().__init__()
        self._hang = hang

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - it is ASGI's
        """Answer nothing."""
        if self._hang:
            stopping: asyncio.Event = scope["app"].state.stopping
            ends = [asyncio.ensure_future(receive()), asyncio.ensure_future(stopping.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        scope["state"]["abort"]()
        while (await receive())["type"] != "http.disconnect":
            pass


class Server(uvicorn.Server):
    """Serves the sandbox on a bound socket until SIGTERM or SIGINT."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="on",
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._stopping: asyncio.Event = app.state.stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Release the requests that wait, then end as uvicorn does."""
        self._stopping.set()
        await super().shutdown(sockets)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        OSError: the address is taken or not of this machine.
    """
    listener = socket.create_server((host, port), backlog=2048)
    # Accepted sockets inherit it; without, head and body of an answer are 40 ms apart (Nagle and delayed ACK).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
