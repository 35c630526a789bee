"""What a lane did lately, over the windows that its guardrails look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from functions.core.lanes.measures import FEWEST_PICTURES, Done, total
from functions.core.lanes.records import minute_record

_HOUR = 60
_FEWEST_MINUTES = 2  # the last one has just begun


@dataclass(frozen=True, slots=True)
class Recent:
    """What a lane did: `last`, in the last minutes; `before`, in the hour before them; `failing`, while its error rate
    was measured."""

    last: Done
    before: Done
    failing: Done

    @property
    def cost_ratio(self) -> Decimal | None:
        """Cost ÷ catalog price of the last minutes, against that of the hour before. None of too few pictures."""
        if min(self.last.pictures, self.before.pictures) < FEWEST_PICTURES:
            return None
        now, then = self.last.cost_ratio, self.before.cost_ratio
        return now / then if now is not None and then else None


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows, by the period of the alarms on error rates."""

    alarm_seconds: int

    @property
    def last_minutes(self) -> int:
        """The minutes that are the last ones: a period, with the one that has begun."""
        return max(_FEWEST_MINUTES, -(-self.alarm_seconds // 60))

    @property
    def _failing_minutes(self) -> int:
        """Two periods, and the minute before: an alarm speaks a while after them."""
        return -(-2 * self.alarm_seconds // 60) + 1

    def records(self, model: str, now_ms: int) -> list[str]:
        """The records to be read, the newest first."""
        minutes = max(self.last_minutes + _HOUR, self._failing_minutes)
        return [minute_record(model, now_ms // 60_000 - ago) for ago in range(minutes)]

    def recent(self, model: str, now_ms: int, found: Mapping[str, Mapping[str, Any]]) -> Recent:
        """What the lane did, by those of the records that were found."""
        names, last = self.records(model, now_ms), self.last_minutes

        def done(start: int, end: int) -> Done:
            return total(found[name] for name in names[start:end] if name in found)

        return Recent(last=done(0, last), before=done(last, last + _HOUR), failing=done(0, self._failing_minutes))

    def quotes_due(self, now_ms: int) -> bool:
        """Whether prices are to be asked for in this minute: once in a period."""
        second = now_ms // 60_000 * 60
        return second // self.alarm_seconds != (second - 60) // self.alarm_seconds
