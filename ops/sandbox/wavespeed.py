"""WaveSpeed's protocol, version 3 (https://wavespeed.ai/docs): submit, poll, listing, balance, pricing, webhooks.

Where their pages contradict each other, both are served if possible (two paths to the result and the balance)
and neither otherwise (the listing's ``total``), so that no client comes to rely on it.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ops.sandbox.engine import Engine, RefusedError
from ops.sandbox.outputs import Outputs
from ops.sandbox.predictions import Prediction
from ops.sandbox.server import NoAnswer
from ops.sandbox.wavespeed_bodies import item, summary
from ops.sandbox.wavespeed_input import Listing, RequestError, read_listing, read_order, read_pricing, read_webhook
from ops.sandbox.webhooks import Webhooks

MODELS = frozenset({"wavespeed-ai/flux-schnell"})

_STARTING_BALANCE_USD = 1000.0

_REFUSALS = {
    "out_of_funds": (400, "Insufficient credits. Please top up your account."),
    "rate_limit": (429, "Rate limit exceeded: too many images in this minute."),
    "concurrency": (429, "Concurrency limit exceeded: too many tasks in progress."),
    "submit_429": (429, "Too many requests. Please try again later."),
    "submit_500_before": (500, "Internal server error"),
}


class WaveSpeed:
    """The protocol's endpoints over an engine."""

    def __init__(self, engine: Engine, outputs: Outputs, webhooks: Webhooks, stopping: asyncio.Event) -> None:
        self._engine = engine
        self._outputs = outputs
        self._webhooks = webhooks
        self._stopping = stopping

    def routes(self) -> list[Route]:
        """For the application; the submit comes last, since a model id may be any path."""
        return [
            Route("/api/v3/predictions/{prediction}/result", self._poll),
            Route("/api/v3/predictions/{prediction}", self._poll),
            Route("/api/v3/predictions", self._list, methods=["POST"]),
            Route("/api/v3/balance", self._balance),
            Route("/api/v3/account/balance", self._balance),
            Route("/api/v3/model/pricing", self._pricing, methods=["POST"]),
            Route("/api/v3/{model:path}", self._submit, methods=["POST"]),
        ]

    async def _submit(self, request: Request) -> Response:
        model = request.path_params["model"]
        if not self._authorized(request):
            self._engine.refuse("unauthorized")
            return _unauthorized()
        if model not in MODELS:
            self._engine.refuse("unknown_model")
            return _error(404, f"Model not found: {model}")
        try:
            body = await _json_object(request)
            webhook = read_webhook(request.query_params.get("webhook"), body, str(request.base_url))
            price = self._engine.behaviour.unit_price_usd
            order, waits = read_order(body, model, price, request.headers.get("idempotency-key"), webhook)
            prediction = self._engine.submit(order)
        except RequestError as error:
            self._engine.refuse("invalid")
            return _error(400, str(error))
        except RefusedError as error:
            return _error(*_REFUSALS[error.reason])
        self._webhooks.expect(prediction)
        match prediction.lost_answer:
            case "submit_500_after":
                return _error(500, "Internal server error")
            case "submit_timeout_after" | "submit_drop_after":
                return NoAnswer(hang=prediction.lost_answer == "submit_timeout_after")
        return await self._wait_for(prediction, request) if waits else await self._answer(prediction, request)

    async def _wait_for(self, prediction: Prediction, request: Request) -> Response:
        """The synchronous mode: the finished task, or the task as it is when patience runs out."""
        wait = prediction.ready_at - self._engine.clock()
        patience = self._engine.behaviour.sync_timeout_seconds
        try:
            # A timer may fire a little before the wall clock gets there.
            await asyncio.wait_for(self._stopping.wait(), min(wait, patience) + 0.002)
        except TimeoutError:
            if wait <= patience:
                return await self._answer(prediction, request, now=prediction.ready_at)
        data = await self._describe(prediction, request, self._engine.clock())
        error = f"Sync mode timed out. Query the result at: {data['urls']['get']}"
        return _success(data | {"status": "processing", "code": 5004, "error": error})

    async def _poll(self, request: Request) -> Response:
        if not self._authorized(request):
            return _unauthorized()
        prediction = self._engine.find(request.path_params["prediction"])
        if prediction is None:
            return _error(404, "Prediction not found")
        if self._engine.poll_fails(prediction):
            return _error(500, "Internal server error")
        return await self._answer(prediction, request)

    async def _answer(self, prediction: Prediction, request: Request, now: float | None = None) -> Response:
        now = self._engine.clock() if now is None else now
        return _success(await self._describe(prediction, request, now))

    async def _describe(self, prediction: Prediction, request: Request, now: float) -> dict[str, Any]:
        data = summary(prediction, str(request.base_url), now)
        if data["status"] == "completed" and prediction.order.base64:
            numbers = range(prediction.order.images)
            data["outputs"] = [base64.b64encode(await self._outputs.draw(prediction, n)).decode() for n in numbers]
        return data

    async def _list(self, request: Request) -> Response:
        if not self._authorized(request):
            return _unauthorized()
        try:
            listing = read_listing(await _json_object(request))
        except RequestError as error:
            return _error(400, str(error))
        now = self._engine.clock()
        found = [p for p in self._engine.latest() if _matches(listing, p, now)]
        first = (listing.page - 1) * listing.page_size
        page = found[first : first + listing.page_size]
        items = [item(p, str(request.base_url), now) for p in page]
        return _success({"page": listing.page, "items": items})

    async def _balance(self, request: Request) -> Response:
        if not self._authorized(request):
            return _unauthorized()
        left = 0.0 if self._engine.behaviour.out_of_funds else _STARTING_BALANCE_USD - self._engine.spent_usd()
        return _success({"balance": max(0.0, round(left, 6)), "currency": "USD"})

    async def _pricing(self, request: Request) -> Response:
        if not self._authorized(request):
            return _unauthorized()
        try:
            model = read_pricing(await _json_object(request), MODELS)
        except RequestError as error:
            return _error(400, str(error))
        price = float(self._engine.behaviour.unit_price_usd)
        return _success({"model_id": model, "unit_price": price, "currency": "USD"})

    def _authorized(self, request: Request) -> bool:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._engine.key_is_good(key.strip())


def _matches(listing: Listing, prediction: Prediction, now: float) -> bool:
    return (
        (listing.model is None or listing.model == prediction.order.model)
        and (listing.status is None or listing.status == prediction.status(now))
        and (listing.created_after is None or listing.created_after <= prediction.accepted_at)
        and (listing.created_before is None or prediction.accepted_at <= listing.created_before)
    )


async def _json_object(request: Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise RequestError("The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise RequestError("The request body must be a JSON object.")
    return body


def _success(data: dict[str, Any]) -> Response:
    return JSONResponse({"code": 200, "message": "success", "data": data})


def _error(status: int, message: str) -> Response:
    return JSONResponse({"code": status, "message": message}, status_code=status)


def _unauthorized() -> Response:
    return _error(401, "Invalid authentication. Please check your API key.")
