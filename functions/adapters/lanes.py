"""The lanes table, as the splitter reads it. Action: BatchGetItem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.adapters.dynamodb import Table
from functions.core.catalog import Model
from functions.core.lanes.measures import Done, total
from functions.core.lanes.records import Pace, account_record, minute_record, pace_of
from functions.core.ports import Clock

FRESH_SECONDS = 5.0
"""How old what was read may be: a splitter takes several turns in so much time."""

_MINUTES = 60


@dataclass(frozen=True, slots=True)
class LanePaces:
    """How fast lanes may go. Implements `functions.core.batches.ringing.Paces`."""

    table: Table
    clock: Clock
    _read: dict[str, tuple[float, Mapping[str, Any]]] = field(default_factory=dict)

    def of(self, model: Model) -> Pace:
        """See `Paces.of`."""
        name, now = account_record(model.account.name), self.clock.monotonic()
        read_at, record = self._read.get(name, (float("-inf"), {}))
        if now - read_at >= FRESH_SECONDS:
            record = self.table.get_many([name], consistent=False).get(name, {})
            self._read[name] = (now, record)
        return pace_of(record, model)

    def costs(self, model: Model) -> tuple[Pace, Done]:
        """See `Paces.costs`."""
        account, minute = account_record(model.account.name), self.clock.now_ms() // 60_000
        hour = [minute_record(model.name, minute - ago) for ago in range(_MINUTES)]
        found = dict(self.table.get_many([account, *hour], consistent=False))
        return pace_of(found.pop(account, {}), model), total(found.values())
