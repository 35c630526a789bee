"""Telling clients that their predictions ended: when, how often and with which faults, whatever the protocol.

It reaches loopback hosts alone: this is a provider for tests, and nothing of it may leave the machine.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol

import httpx

from ops.sandbox.behaviour import Behaviour
from ops.sandbox.callbacks import Kind, Outcome, succeeded
from ops.sandbox.engine import Engine
from ops.sandbox.predictions import Prediction, Webhook

ATTEMPTS = 3
_ANSWER_SECONDS = 10.0
# Each that is open may be a process of its own on the machine that runs the receiver too.
_CONNECTIONS = 8
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The clock is the engine's, which a test moves; an outage ends by itself, and what holds callbacks is the engine's too.
# So they are looked at this often.
_TICK_SECONDS = 0.05


class Compose(Protocol):
    """A provider's message: raw body and headers, of the true event or of a forged one."""

    def __call__(
        self, prediction: Prediction, webhook: Webhook, behaviour: Behaviour, now: float, *, forged: bool
    ) -> tuple[bytes, dict[str, str]]:
        """Put it together as of ``now``, in epoch seconds."""


@dataclass(frozen=True)
class _Delivery:
    """An event under way: what its next request is, and how many failed before."""

    prediction: Prediction
    webhook: Webhook
    kind: Kind = "event"
    failures: int = 0


class Webhooks:
    """Delivers the engine's callbacks while it runs; one that is cut short is delivered by the next process."""

    def __init__(self, engine: Engine, compose: Compose) -> None:
        self._engine = engine
        self._compose = compose
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, _Delivery]] = []
        self._changed = asyncio.Event()
        self._free = asyncio.Semaphore(_CONNECTIONS)
        self._under_way: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver what the journal remembers and what is added; on leaving, drop what is under way at once."""
        for prediction in self._engine.pending_callbacks():
            self.expect(prediction)
        # A connection each: one that the receiver closes while idle would look like a failed attempt.
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=0)
        async with httpx.AsyncClient(trust_env=False, timeout=_ANSWER_SECONDS, limits=limits) as client:
            dispatcher = asyncio.create_task(self._dispatch(client))
            try:
                yield
            finally:
                ending = [dispatcher, *self._under_way]
                for task in ending:
                    task.cancel()
                await asyncio.gather(*ending, return_exceptions=True)

    def expect(self, prediction: Prediction) -> None:
        """Deliver that prediction's callback when it is due, if it has one."""
        webhook = prediction.order.webhook
        if webhook is not None and prediction.callback_at is not None:
            self._schedule(_Delivery(prediction, webhook), prediction.callback_at)

    def _schedule(self, delivery: _Delivery, at: float) -> None:
        heapq.heappush(self._waiting, (at, next(self._order), delivery))
        self._changed.set()

    async def _dispatch(self, client: httpx.AsyncClient) -> None:
        while True:
            await self._free.acquire()
            delivery = await self._next_due()
            task = asyncio.create_task(self._advance(delivery, client))
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._free.release()

    async def _next_due(self) -> _Delivery:
        """Wait for the next one whose time has come; while callbacks are held, for the end of that."""
        while True:
            wait = self._waiting[0][0] - self._engine.clock() if self._waiting else None
            if wait is not None and wait <= 0:
                if not self._engine.holds_callbacks():
                    return heapq.heappop(self._waiting)[2]
                wait = _TICK_SECONDS
            self._changed.clear()
            with suppress(TimeoutError):
                # A timer may fire a little before the clock gets there.
                await asyncio.wait_for(self._changed.wait(), wait and min(wait + 0.001, _TICK_SECONDS))

    async def _advance(self, delivery: _Delivery, client: httpx.AsyncClient) -> None:
        """Send the event once and see what follows: its end, its duplicate or another attempt."""
        prediction = delivery.prediction
        outcome = _never_sent(delivery)
        if outcome:
            self._engine.end_callback(prediction, outcome)
            return
        if prediction.callback_fault == "callback_forged" and not delivery.failures:
            await self._send(replace(delivery, kind="forged"), client)
        if await self._send(delivery, client):
            if prediction.callback_fault == "callback_duplicate" and delivery.kind == "event":
                self._schedule(replace(delivery, kind="duplicate", failures=0), self._engine.clock())
            else:
                self._engine.end_callback(prediction, "delivered")
            return
        delivery = replace(delivery, failures=delivery.failures + 1)
        if self._engine.behaviour.hold_callbacks:
            # Whoever has them held is about to take the receiver away: that is no reason to give up.
            self._schedule(replace(delivery, failures=0), self._engine.clock())
        elif delivery.failures < ATTEMPTS:
            pause = self._engine.behaviour.callback_retry_seconds[delivery.failures - 1]
            self._schedule(delivery, self._engine.clock() + pause)
        else:
            self._engine.end_callback(prediction, "given_up" if delivery.kind == "event" else "delivered")

    async def _send(self, delivery: _Delivery, client: httpx.AsyncClient) -> bool:
        """One request; whether it was a success."""
        prediction, engine = delivery.prediction, self._engine
        body, headers = self._compose(
            prediction, delivery.webhook, engine.behaviour, engine.clock(), forged=delivery.kind == "forged"
        )
        status = await _post(client, delivery.webhook.url, body, headers)
        engine.callback_attempted(prediction, delivery.kind, status)
        return succeeded(status)


def _never_sent(delivery: _Delivery) -> Outcome | None:
    if delivery.prediction.callback_fault == "callback_lost":
        return "lost"
    # Read by what connects: two readers of an address may see two hosts in it.
    return None if httpx.URL(delivery.webhook.url).host in _LOOPBACK else "refused_host"


async def _post(client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> str:
    """The answer's status, or what there was instead of one; redirects are not followed."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):  # httpx's own is for each step, not for the whole
            answer = await client.post(url, content=body, headers=headers)
    except (TimeoutError, httpx.TimeoutException):
        return "timeout"
    except httpx.HTTPError:
        return "unreachable"
    return str(answer.status_code)
