"""The intake is paused when pictures become dear."""

from __future__ import annotations

import pytest

from functions.core.lanes import control
from functions.core.lanes.governing_alarms import ALARM, Guardrail
from functions.core.lanes.governing_ports import Feed
from functions.core.lanes.records import INTAKE
from tests.fakes.governed import (
    DREAM,
    INTAKE_MAPPING,
    Governed,
)


@pytest.fixture
def stack() -> Governed:
    return Governed()


def test_dear_pictures_pause_the_intake_and_the_operator_is_told(stack: Governed) -> None:
    stack.dear()
    stack.alarm(Guardrail.COST)
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled
    assert stack.intake().paused == "the pictures of flux-schnell cost more than before"
    ((_, text),) = stack.operator.told
    assert "a picture costs $0.0045 over the last 5 minutes; $0.0030 in the hour before" in text
    assert (stack.workers(), stack.workers(DREAM.name)) == (8, 8)


def test_once_resumed_the_intake_is_paused_by_another_jump_only(stack: Governed) -> None:
    stack.dear()
    stack.alarm(Guardrail.COST, at="09:00")
    stack.table.write(INTAKE, control.resume_intake())
    stack.minute()
    stack.alarm(Guardrail.COST, at="09:00")
    assert stack.mappings.feeds[INTAKE_MAPPING] == Feed(enabled=True, workers=4)
    assert len(stack.operator.told) == 1
    stack.alarm(Guardrail.COST, at="10:00")
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled
    assert len(stack.operator.told) == 2


def test_an_intake_that_the_operator_has_paused_keeps_his_reason(stack: Governed) -> None:
    stack.table.write(INTAKE, control.pause_intake("holidays", stack.clock.ms))
    stack.alarm(Guardrail.COST, state=ALARM)
    assert (stack.intake().paused, stack.operator.told) == ("holidays", [])


def test_an_intake_that_is_paused_during_a_tick_is_not_switched_on_by_it(stack: Governed) -> None:
    """What the tick saw of the mapping was before the alarm; of the record, after it."""
    stack.dear()
    stack.mappings.after_looking = [lambda: stack.alarm(Guardrail.COST)]
    stack.tick()
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled
    stack.minute()
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled
