"""What the governor looks after each minute, whatever fails meanwhile."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from functions.core.governing.ports import Feed
from functions.core.lanes import control
from functions.core.lanes.records import INTAKE, held_until, lane_record
from tests.fakes.governed import (
    ACCOUNT,
    DREAM,
    FLUX,
    INTAKE_MAPPING,
    Governed,
    deployed_feeds,
    failures,
    mapping,
)


@pytest.fixture
def stack() -> Governed:
    return Governed()


def test_a_deploy_resets_nothing_for_longer_than_a_minute(stack: Governed) -> None:
    stack.throttle(workers=3)
    stack.stand()
    stack.table.write(INTAKE, control.pause_intake("holidays", stack.clock.ms))
    stack.tick()
    before = dict(stack.mappings.feeds)
    assert before[mapping(FLUX.name)] == Feed(enabled=True, workers=3)
    assert before[INTAKE_MAPPING] == Feed(enabled=False, workers=4)
    stack.mappings.feeds = deployed_feeds()
    stack.minute()
    assert stack.mappings.feeds == before


def test_a_mapping_that_is_right_is_left_alone(stack: Governed) -> None:
    stack.tick()
    assert stack.mappings.changes == []


def test_a_lane_that_somebody_switched_off_is_switched_on(stack: Governed) -> None:
    """A lane is paused in its account's record."""
    stack.mappings.feeds[mapping(FLUX.name)] = Feed(enabled=False, workers=8)
    stack.table.write(ACCOUNT, control.pause(FLUX.name, "holidays"))
    stack.tick()
    assert stack.mappings.feeds[mapping(FLUX.name)] == Feed(enabled=True, workers=8)


def test_workers_follow_the_rate_and_the_latency(stack: Governed) -> None:
    stack.table.write(ACCOUNT, control.limit(FLUX.name, 120))
    stack.did(minutes_ago=4, pictures=10, latency_ms=130_000)
    stack.did(minutes_ago=5, pictures=10, latency_ms=10_000_000)
    stack.tick()
    # 2 calls/s, 13 + 2 s each.
    assert stack.workers() == 4


@pytest.mark.parametrize("name", [mapping(FLUX.name), INTAKE_MAPPING])
def test_a_mapping_that_is_being_changed_is_left_to_the_next_tick(stack: Governed, name: str) -> None:
    stack.throttle(workers=2)
    stack.stand()
    stack.table.write(INTAKE, control.pause_intake("holidays", stack.clock.ms))
    stack.mappings.busy = {name}
    stack.tick()
    assert stack.mappings.feeds[name] == deployed_feeds()[name]
    stack.mappings.busy = set()
    stack.mappings.feeds[name] = replace(stack.mappings.feeds[name], changing=True)
    stack.minute()
    assert name not in stack.mappings.changes
    stack.mappings.feeds[name] = replace(stack.mappings.feeds[name], changing=False)
    stack.minute()
    assert name in stack.mappings.changes


def test_calls_that_nobody_holds_any_more_are_given_back(stack: Governed) -> None:
    stack.clock.ms += 60_000
    second = stack.clock.ms // 1000
    stack.table.records[ACCOUNT] = {"in_flight": 7, held_until(second - 60): 5, held_until(second + 20): 2}
    stack.tick()
    assert stack.table.records[ACCOUNT] == {"in_flight": 2, held_until(second + 20): 2}
    assert stack.gauges[FLUX.name]["InFlight"] == 2


def test_where_a_lane_stands_is_published(stack: Governed) -> None:
    stack.table.write(ACCOUNT, control.limit(FLUX.name, 120))
    stack.table.write(ACCOUNT, control.pause(DREAM.name, "holidays"))
    stack.did(pictures=20, cost_usd=Decimal("0.12"), expected_usd=Decimal("0.06"), latency_ms=160_000)
    stack.did(minutes_ago=10, pictures=20, cost_usd=Decimal("0.06"), expected_usd=Decimal("0.06"))
    stack.tick()
    assert stack.gauges == {
        FLUX.name: {"Workers": 3, "RateAllowed": 120, "InFlight": 0, "CostRatio": 2},
        DREAM.name: {"Workers": 8, "RateAllowed": 0, "InFlight": 0, "CostRatio": None},
    }


def test_a_lane_that_fails_does_not_stop_the_other(stack: Governed) -> None:
    for model in (FLUX, DREAM):
        stack.did(model.name, attempts=100, faults=20)
        stack.stand(model.name)
    stack.table.records[lane_record(FLUX.name)] = {"halved_at": "no number"}
    with pytest.raises(ExceptionGroup) as group:
        stack.tick()
    assert failures(group.value, ValueError) == 1
    assert stack.workers(DREAM.name) == 4
    assert [(line["what"], line["model"]) for line in stack.log.of("governing_failed")] == [("read", FLUX.name)]


def test_the_lanes_are_governed_though_the_intake_cannot_be(stack: Governed) -> None:
    stack.table.write(INTAKE, control.stop_intake(FLUX.name, "dear", notice="dear", change="09:00", now_ms=1))
    stack.throttle(workers=2)
    stack.mappings.failing = {INTAKE_MAPPING}
    with pytest.raises(ExceptionGroup) as group:
        stack.tick()
    assert (failures(group.value), stack.workers()) == (1, 4)
    assert [subject for subject, _ in stack.operator.told] == ["dear", "slow"]
