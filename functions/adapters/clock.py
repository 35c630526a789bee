"""The real clock. Implements `functions.core.ports.Clock`."""

from __future__ import annotations

import asyncio
import time

_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux has it


class SystemClock:
    """Time of this machine."""

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """See `Clock.monotonic`. Where there is a clock that goes on while the machine is suspended, it is that one."""
        return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)
