"""The intake is paused when pictures become dear."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.governing.alarms import ALARM, Guardrail
from functions.core.governing.ports import Feed
from functions.core.lanes import control
from functions.core.lanes.control import ACCEPTED_SECONDS
from functions.core.lanes.records import INTAKE
from tests.fakes.governed import (
    DREAM,
    FLUX,
    INTAKE_MAPPING,
    Governed,
)

ACCEPTED_MS = ACCEPTED_SECONDS * 1000


@pytest.fixture
def stack() -> Governed:
    return Governed()


def resume(stack: Governed) -> None:
    stack.table.write(INTAKE, control.resume_intake(stack.intake(), stack.clock.ms))


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
    resume(stack)
    stack.minute()
    stack.clock.ms += ACCEPTED_MS
    stack.alarm(Guardrail.COST, at="09:00")
    assert stack.mappings.feeds[INTAKE_MAPPING] == Feed(enabled=True, workers=4)
    assert len(stack.operator.told) == 1
    stack.alarm(Guardrail.COST, at="10:00")
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled
    assert len(stack.operator.told) == 2


def test_a_price_that_somebody_has_accepted_does_not_pause_the_intake_for_an_hour(stack: Governed) -> None:
    """Against an hour of cheap pictures the accepted price is another jump as soon as pictures are made again."""
    stack.dear()
    stack.alarm(Guardrail.COST, at="09:00")
    resume(stack)
    resumed_at = stack.clock.ms
    for after_ms in (60_000, ACCEPTED_MS - 1):
        stack.clock.ms = resumed_at + after_ms
        stack.alarm(Guardrail.COST)
        assert stack.mappings.feeds[INTAKE_MAPPING].enabled
    assert len(stack.operator.told) == 1
    assert [line["model"] for line in stack.log.of("intake_left")] == [FLUX.name, FLUX.name]
    stack.clock.ms = resumed_at + ACCEPTED_MS
    stack.alarm(Guardrail.COST)
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled


def test_an_accepted_price_is_that_of_one_lane(stack: Governed) -> None:
    stack.dear()
    stack.alarm(Guardrail.COST)
    resume(stack)
    stack.alarm(Guardrail.COST, DREAM.name)
    assert stack.intake().dear == DREAM.name
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled


def test_whoever_resumes_an_intake_that_he_has_paused_accepts_no_price(stack: Governed) -> None:
    stack.table.write(INTAKE, control.pause_intake("holidays", stack.clock.ms))
    resume(stack)
    stack.alarm(Guardrail.COST)
    assert stack.intake().dear == FLUX.name


def test_the_operator_is_told_by_how_much_where_there_are_no_pictures_any_more(stack: Governed) -> None:
    stack.alarm(Guardrail.COST, value=Decimal("1.5"))
    ((_, text),) = stack.operator.told
    assert "a picture costs 50 % more than in the hour before, as its alarm says." in text


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
