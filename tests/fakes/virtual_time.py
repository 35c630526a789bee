"""Virtual time for asyncio code: waiting takes no time, and every run is the same.

The loop never blocks. When nothing is ready its clock jumps to the next timer; work for threads runs at once, inline.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

START_MS = 1_790_000_000_000
"""Time of day at which every run starts, in epoch milliseconds."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self._jump))
        self.set_default_executor(_InlineExecutor())

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    async def shutdown_default_executor(self, *_: object) -> None:
        """Do nothing: asyncio would wait for a real thread, which a loop that never blocks takes for a deadlock."""

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


class DeadlockError(Exception):
    """Raised when everything waits for something that will never happen."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise DeadlockError
        if not ready and timeout:
            self._jump(timeout)
        return ready


class _InlineExecutor(ThreadPoolExecutor):
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  # as a thread would, whatever it is
            future.set_exception(error)
        return future
