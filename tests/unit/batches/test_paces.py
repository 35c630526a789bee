"""What the splitter knows of lanes: read from the lanes table, some seconds old at most."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from functions.adapters.lanes import FRESH_SECONDS, LanePaces
from functions.core.catalog import parse_catalog
from functions.core.lanes.records import account_record, lane_field
from tests.fakes.batches import ManualClock
from tests.fakes.plant import CATALOG, MODEL

SCHNELL = parse_catalog(CATALOG).models[MODEL]
ACCOUNT = account_record("wavespeed")


class Records:
    """The lanes table."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.reads = 0

    def get_many(self, keys: Sequence[str], *, consistent: bool) -> dict[str, dict[str, Any]]:
        self.reads += 1
        return {key: self.records[key] for key in keys if key in self.records}


def test_a_lane_of_which_nothing_is_said_goes_as_the_catalog_says() -> None:
    table: Any = Records()
    pace = LanePaces(table, ManualClock()).of(SCHNELL)
    assert (pace.paused, pace.lane_per_minute(SCHNELL)) == ("", Decimal(500))


def test_what_is_said_of_a_lane_is_known_some_seconds_later() -> None:
    table: Any = Records()
    clock = ManualClock()
    paces = LanePaces(table, clock)
    paces.of(SCHNELL)
    table.records[ACCOUNT] = {lane_field("paused", SCHNELL.name): "why"}
    clock.pass_time(FRESH_SECONDS - 1)
    assert (paces.of(SCHNELL).paused, table.reads) == ("", 1)
    clock.pass_time(1)
    assert paces.of(SCHNELL).paused == "why"
