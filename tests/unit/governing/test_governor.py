"""Lanes whose calls fail are slowed down, and climb back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.governing.alarms import Guardrail
from functions.core.governing.governor import FEWEST_ATTEMPTS
from functions.core.lanes import control
from functions.core.lanes.records import lane_field, lane_record
from tests.fakes.governed import (
    ACCOUNT,
    DREAM,
    FLUX,
    INTERVAL_MS,
    Governed,
    failures,
    mapping,
)


@pytest.fixture
def stack() -> Governed:
    return Governed()


def test_a_lane_whose_calls_fail_gets_half_of_its_workers_and_the_operator_is_told(stack: Governed) -> None:
    stack.fails()
    stack.alarm()
    assert (stack.workers(), stack.control().workers_throttle) == (4, 4)
    ((subject, text),) = stack.operator.told
    assert subject == "imagebatch: flux-schnell slowed down, 20.0 % of its calls fail"
    assert "20.0 % of 100 calls failed in the last 10 minutes" in text
    assert "at most 4 workers at a time, down from 8" in text
    assert (stack.workers(DREAM.name), stack.control(DREAM.name).throttled) == (8, False)


def test_the_same_notification_twice_halves_once_and_tells_once(stack: Governed) -> None:
    stack.fails()
    for _ in range(2):
        stack.alarm(at="09:00")
    stack.clock.ms += 3 * INTERVAL_MS
    stack.did(attempts=100, faults=20)
    stack.alarm(at="09:00")
    assert (stack.workers(), stack.halvings(), len(stack.operator.told)) == (4, 1, 1)


def test_another_alarm_within_the_interval_does_not_halve_again(stack: Governed) -> None:
    stack.fails()
    stack.alarm()
    stack.clock.ms += INTERVAL_MS - 1
    stack.did(attempts=100, faults=20)
    stack.alarm()
    assert (stack.workers(), stack.halvings()) == (4, 1)


def test_of_two_who_act_at_a_time_one_halves(stack: Governed) -> None:
    stack.fails()
    stack.table.after_reading = [stack.alarm]
    stack.alarm()
    assert (stack.workers(), stack.halvings(), len(stack.operator.told)) == (4, 1, 1)


def test_few_calls_prove_nothing(stack: Governed) -> None:
    stack.did(attempts=FEWEST_ATTEMPTS - 1, faults=FEWEST_ATTEMPTS - 1)
    stack.alarm()
    assert (stack.workers(), stack.operator.told) == (8, [])
    stack.did(attempts=1, faults=1)
    stack.alarm()
    assert stack.workers() == 4


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
@pytest.mark.parametrize("guardrail", Guardrail)
def test_an_alarm_that_clears_changes_nothing(stack: Governed, guardrail: Guardrail, state: str) -> None:
    stack.fails()
    stack.alarm(guardrail, state=state)
    assert (stack.table.written, stack.mappings.changes, stack.operator.told) == ([], [], [])
    assert [line["state"] for line in stack.log.of("alarm")] == [state]


def test_an_alarm_of_somebody_else_is_logged_and_left(stack: Governed) -> None:
    stack.alarm(model="another-lane")
    assert stack.table.written == []
    assert [line["alarm"] for line in stack.log.of("alarm")] == ["imagebatch-error-rate-another-lane"]


def test_at_two_workers_the_rate_is_halved_down_to_one_a_minute(stack: Governed) -> None:
    stack.table.write(lane_record(FLUX.name), control.workers_limit(2))
    throttles = []
    for _ in range(12):
        stack.fails()
        stack.alarm()
        throttles.append(stack.throttled())
        stack.clock.ms += INTERVAL_MS
    assert throttles[:3] == [250, 125, Decimal("62.5")]
    assert throttles[7:] == [Decimal("1.953"), 1, 1, 1, 1]
    assert (stack.halvings(), stack.workers()) == (9, 2)
    assert "at most 1 images a minute, down from 1.953" in stack.operator.told[-1][1]


def test_workers_learn_of_a_slower_rate_and_the_other_lane_keeps_its_own(stack: Governed) -> None:
    stack.table.write(lane_record(FLUX.name), control.workers_limit(2))
    stack.fails()
    stack.alarm()
    record = stack.table.records[ACCOUNT]
    assert (record["settings"], record[lane_field("throttled", FLUX.name)]) == (1, 250)
    assert lane_field("throttled", DREAM.name) not in record


def test_what_could_not_be_carried_out_is_made_good_by_the_next_tick(stack: Governed) -> None:
    stack.table.write(lane_record(FLUX.name), control.workers_limit(2))
    stack.fails()
    stack.table.failing, stack.operator.out_of_reach = {"throttle_rate"}, True
    stack.mappings.failing = {mapping(FLUX.name)}
    with pytest.raises(ExceptionGroup) as group:
        stack.alarm()
    assert (failures(group.value), stack.throttled(), stack.workers(), stack.operator.told) == (3, None, 8, [])
    stack.table.failing, stack.operator.out_of_reach, stack.mappings.failing = set(), False, set()
    stack.minute()
    assert (stack.workers(), len(stack.operator.told), stack.halvings()) == (2, 1, 1)
    assert stack.throttled() == 250
    stack.minute()
    assert len(stack.operator.told) == 1


def test_a_notification_that_comes_again_after_a_failure_halves_no_further(stack: Governed) -> None:
    stack.fails()
    stack.operator.out_of_reach = True
    with pytest.raises(ExceptionGroup):
        stack.alarm(at="09:00")
    stack.operator.out_of_reach = False
    stack.alarm(at="09:00")
    assert (stack.workers(), stack.halvings(), len(stack.operator.told)) == (4, 1, 1)


# While it stands, and after


def test_while_the_alarm_stands_the_lane_is_halved_again_once_in_an_interval(stack: Governed) -> None:
    stack.fails()
    stack.alarm()
    workers = []
    for _ in range(25):
        stack.did(attempts=100, faults=20)
        stack.minute()
        workers.append(stack.workers())
    assert workers == [4] * 9 + [2] * 16
    assert stack.halvings() == 3
    assert stack.throttled() == 250


def test_a_tick_halves_where_the_notification_never_came(stack: Governed) -> None:
    stack.fails()
    stack.tick()
    assert (stack.workers(), len(stack.operator.told)) == (4, 1)
    stack.alarm()
    assert (stack.workers(), stack.halvings()) == (4, 1)


def test_a_lane_climbs_back_once_its_alarm_has_cleared(stack: Governed) -> None:
    stack.throttle(workers=2, rate=Decimal(50))
    stack.tick()
    seen = [(stack.workers(), stack.throttled())]
    while stack.control().throttled:
        stack.minute()
        seen.append((stack.workers(), stack.throttled()))
    # At 100 a minute there is no work for more than three.
    assert seen == [(3, 100), (5, 200), (8, 400), (8, None)]
    assert lane_field("throttled", FLUX.name) not in stack.table.records[ACCOUNT]


def test_a_tick_that_is_delivered_twice_lets_a_lane_climb_once(stack: Governed) -> None:
    stack.throttle(workers=2)
    stack.tick()
    stack.tick()
    assert stack.workers() == 4


def test_a_lane_does_not_climb_while_nobody_knows_of_its_alarm(stack: Governed) -> None:
    stack.throttle(workers=2)
    stack.alarms.in_alarm = None
    with pytest.raises(ExceptionGroup) as group:
        stack.tick()
    assert (failures(group.value), stack.workers()) == (1, 2)


def test_a_lane_that_is_halved_during_a_tick_does_not_climb_in_it(stack: Governed) -> None:
    stack.throttle(workers=6)
    stack.clock.ms += INTERVAL_MS
    stack.did(attempts=100, faults=20)
    # The first reading is the intake's.
    stack.table.after_reading = [lambda: None, stack.alarm]
    stack.tick()
    assert (stack.workers(), stack.control().workers_throttle, stack.halvings()) == (3, 3, 2)


def test_a_lane_that_is_halved_during_a_tick_keeps_the_workers_it_was_given(stack: Governed) -> None:
    stack.did(attempts=100, faults=20)
    stack.table.after_reading = [lambda: None, stack.alarm]
    stack.tick()
    assert (stack.control().workers_throttle, stack.workers()) == (4, 4)


def test_where_the_lane_cannot_go_slower_nothing_is_written(stack: Governed) -> None:
    stack.throttle(workers=2, rate=Decimal(1))
    stack.clock.ms += INTERVAL_MS
    stack.fails()
    stack.tick()
    assert (stack.halvings(), [line["model"] for line in stack.log.of("at_the_slowest")]) == (1, [FLUX.name])


def test_with_a_short_period_all_windows_shrink() -> None:
    stack = Governed(alarm_seconds=10)
    stack.fails()
    workers = []
    for _ in range(3):
        stack.did(attempts=100, faults=20)
        stack.alarm()
        workers.append(stack.workers())
        stack.clock.ms += 20_000
    assert workers == [4, 2, 2]
    assert "in the last 20 seconds" in stack.operator.told[0][1]
