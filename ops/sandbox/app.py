"""The application: every protocol, the pictures and the administration over one engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ops.sandbox.admin import PREFIX, Admin
from ops.sandbox.engine import Engine
from ops.sandbox.outputs import Outputs
from ops.sandbox.wavespeed import WaveSpeed
from ops.sandbox.wavespeed_webhook import compose
from ops.sandbox.webhooks import Webhooks


class _Outage:
    """During an outage everything answers 503, except the administration that started it."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith(PREFIX) and self._engine.outage():
            answer = JSONResponse({"code": 503, "message": "Service Unavailable"}, status_code=503)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def build(engine: Engine) -> Starlette:
    """An application to serve; ``state.stopping`` is set by the server when it ends.

    Webhooks are delivered during its lifespan.
    """
    outputs = Outputs(engine)
    webhooks = Webhooks(engine, compose)
    stopping = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with webhooks.running():
            yield

    app = Starlette(
        routes=[
            *Admin(engine).routes(),
            *outputs.routes(),
            *WaveSpeed(engine, outputs, webhooks, stopping).routes(),
        ],
        lifespan=lifespan,
        middleware=[Middleware(_Outage, engine=engine)],
    )
    app.state.stopping = stopping
    return app
