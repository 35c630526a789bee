"""Requests to a provider about one job: each within its time, and with its log line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from functions.core.errors import ErrorClass, Fault
from functions.core.ports import Clock, EventLog, PollError

ASK_SECONDS = 20.0
FETCH_SECONDS = 30.0
"""How long a poll or a listing, and a download, may take as a whole."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Asking:
    """One job's requests. `log` names the job in its lines."""

    clock: Clock
    log: EventLog

    async def read(self, operation: str, call: Awaitable[_T], seconds: float) -> _T:
        """Await a request that costs nothing.

        Raises:
            PollError: also when it takes longer than it may.
        """
        try:
            return await self.ask(operation, call, seconds)
        except TimeoutError:
            raise PollError(Fault(ErrorClass.NETWORK, "the provider did not answer in time", resumable=True)) from None

    async def ask(self, operation: str, call: Awaitable[_T], seconds: float) -> _T:
        """Await a request for so long, and log it.

        Raises:
            TimeoutError: when it takes longer.
        """
        started = self.clock.monotonic()
        answer: object = None
        fault: Fault | None = None
        try:
            async with asyncio.timeout(seconds):
                answer = got = await call
            fault = getattr(answer, "fault", None)
        except PollError as error:
            fault = error.fault
            raise
        finally:
            self.log(
                "provider_request",
                operation=operation,
                status=fault.response_code if fault else getattr(answer, "response_code", None),
                reference=getattr(answer, "reference", None) or None,
                error_class=fault.error_class if fault else None,
                latency_ms=round((self.clock.monotonic() - started) * 1000),
            )
        return got
