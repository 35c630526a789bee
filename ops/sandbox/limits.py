"""The account's limits: images in the current minute and tasks in flight.

Real accounts are counted in fixed minutes of the clock ("resets each minute"), so a burst may straddle two.
"""

import heapq


class Limiter:
    """Counts what was accepted. Times are epoch seconds and do not go back by more than clock noise."""

    def __init__(self) -> None:
        self._minute = -1
        self._images = 0
        self._ends: list[float] = []

    def images_this_minute(self, now: float) -> int:
        """Images accepted since the minute of the clock began."""
        return self._images if int(now // 60) == self._minute else 0

    def in_flight(self, now: float) -> int:
        """Tasks accepted and not ended."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def add(self, *, at: float, ends: float, images: int) -> int:
        """Count one accepted task; returns how many are in flight with it."""
        self._images = self.images_this_minute(at) + images
        self._minute = int(at // 60)
        heapq.heappush(self._ends, ends)
        return self.in_flight(at)
