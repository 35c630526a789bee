"""Virtual time for asyncio code: waiting takes no time, and every run is the same.

The loop never blocks. When nothing is ready its clock jumps to the next timer; work for threads runs at once, inline.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_790_000_000_000
"""Time of day at which every run starts, in epoch milliseconds."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # the declared one is generic in its arguments
        """Run it at once: a real thread would take real time. What is ready comes first before its result is seen."""
        future: asyncio.Future[T] = self.create_future()
        try:
            self.call_soon(_tell, future.set_result, func(*args), future)
        except Exception as error:  # noqa: BLE001  # as a thread would, whatever it is
            self.call_soon(_tell, future.set_exception, error, future)
        return future

    def _jump(self, seconds: float) -> None:
        self._now += seconds


class VirtualClock:
    """Time of the running virtual loop. Implements `functions.core.ports.Clock`."""

    def now_ms(self) -> int:
        return START_MS + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)


def _tell(set_it: Callable[[Any], None], outcome: object, future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        set_it(outcome)


class DeadlockError(Exception):
    """Raised when everything waits for something that will never happen."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Nothing comes from outside, so the real one need not be asked.
        if timeout is None:
            raise DeadlockError
        if timeout > 0:
            self._jump(timeout)
        return []
