"""What whoever runs the sandbox talks to, under /_sandbox/; the provider's clients never do."""

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.sandbox.behaviour import BehaviourError, parse
from ops.sandbox.engine import Engine

PREFIX = "/_sandbox/"


class Admin:
    """Health, behaviour and ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route(PREFIX + "health", self._health),
            Route(PREFIX + "behaviour", self._behaviour, methods=["GET", "PUT"]),
            Route(PREFIX + "ledger", self._ledger, methods=["GET", "DELETE"]),
        ]

    async def _health(self, request: Request) -> Response:  # noqa: ARG002 - the signature of an endpoint
        return JSONResponse({"ok": True})

    async def _behaviour(self, request: Request) -> Response:
        if request.method == "PUT":
            try:
                self._engine.behaviour = parse(json.loads(await request.body()))
            except BehaviourError as error:
                return JSONResponse({"error": str(error)}, status_code=400)
            except ValueError as error:
                return JSONResponse({"error": f"The behaviour is not JSON: {error}."}, status_code=400)
        return JSONResponse(self._engine.behaviour.to_json())

    async def _ledger(self, request: Request) -> Response:
        """``?charges=false`` leaves the list out, for who only watches the counts of a long run."""
        if request.method == "DELETE":
            self._engine.clear_ledger()
        answer: dict[str, object] = {"summary": self._engine.summary()}
        if request.query_params.get("charges") != "false":
            answer["charges"] = self._engine.charges()
        return JSONResponse(answer)
