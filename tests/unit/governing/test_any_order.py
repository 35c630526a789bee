"""Whatever comes in whatever order: halved seldom, never out of bounds, and all restored in the end."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from functions.core.governing.alarms import Guardrail
from functions.core.governing.ports import Feed
from functions.core.governing.workers import FEWEST_WORKERS
from functions.core.lanes import control
from functions.core.lanes.records import INTAKE, lane_field
from functions.core.writes import StaleWriteError
from tests.fakes.governed import ACCOUNT, FLUX, INTAKE_MAPPING, INTERVAL_MS, Governed, deployed_feeds, mapping

SLEEPS_MS = (1_000, 20_000, 60_000, 180_000, INTERVAL_MS)
FAILING_WRITES = ("halve", "climb", "throttle_rate", "told", "stop_intake", "quote", "quoted")


def alarm_again(stack: Governed) -> None:
    stack.alarm(at="the change before")


def both_at_a_time(stack: Governed) -> None:
    """An alarm is handled while a tick has read the records."""
    stack.table.after_reading = [lambda: None, stack.alarm]
    stack.tick()


def deploy(stack: Governed) -> None:
    stack.mappings.feeds = deployed_feeds()


def break_down(stack: Governed) -> None:
    """AWS fails, one thing after the other, while ticks and alarms come."""
    for write in FAILING_WRITES:
        stack.table.failing = {write}
        with suppress(ExceptionGroup):
            stack.tick()
        with suppress(Exception):
            stack.alarm()
    stack.table.failing = set()


def out_of_reach(stack: Governed) -> None:
    stack.operator.out_of_reach = True
    with suppress(ExceptionGroup):
        stack.alarm()
    stack.operator.out_of_reach = False
    stack.minute()


def conflict(stack: Governed) -> None:
    stack.mappings.busy = {mapping(FLUX.name), INTAKE_MAPPING}
    stack.minute()
    stack.mappings.busy = set()


def dear(stack: Governed) -> None:
    stack.alarm(Guardrail.COST)


def resume(stack: Governed) -> None:
    with suppress(StaleWriteError):
        stack.table.write(INTAKE, control.resume_intake(stack.intake(), stack.clock.ms))


ACTIONS = (
    Governed.minute,
    Governed.tick,
    Governed.alarm,
    Governed.stand,
    Governed.clear,
    alarm_again,
    both_at_a_time,
    deploy,
    break_down,
    out_of_reach,
    conflict,
    dear,
    resume,
)


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(SLEEPS_MS)), max_size=40))
def test_any_order_is_halved_seldom_stays_in_bounds_and_is_restored(steps: list[tuple[object, int]]) -> None:
    stack, halved_at = Governed(), 0
    for action, sleep_ms in steps:
        assert callable(action)
        stack.did(attempts=100, faults=20)
        before = stack.halvings()
        action(stack)
        if stack.halvings() > before:
            assert stack.halvings() == before + 1
            assert stack.control().halved_at - halved_at >= INTERVAL_MS
            halved_at = stack.control().halved_at
        in_bounds(stack)
        stack.clock.ms += sleep_ms

    stack.clear()
    resume(stack)
    for _ in range(20):
        stack.minute()
        in_bounds(stack)

    assert not stack.control().throttled
    assert lane_field("throttled", FLUX.name) not in stack.table.records[ACCOUNT]
    assert stack.mappings.feeds == deployed_feeds()
    assert len(stack.operator.told) >= stack.halvings() + stack.table.written.count("stop_intake")
    assert stack.control().notice == stack.intake().notice == ""


def in_bounds(stack: Governed) -> None:
    workers, rate = stack.workers(), stack.throttled()
    assert workers is not None
    assert FEWEST_WORKERS <= workers <= FLUX.workers
    assert rate is None or Decimal(1) <= rate < 500


@given(st.lists(st.sampled_from((deploy, dear, conflict, Governed.minute)), max_size=12))
def test_an_intake_that_is_paused_stays_so_until_somebody_resumes_it(actions: list[object]) -> None:
    stack = Governed()
    stack.dear()
    stack.alarm(Guardrail.COST)
    for action in actions:
        assert callable(action)
        action(stack)
        stack.minute()
        assert stack.mappings.feeds[INTAKE_MAPPING] == Feed(enabled=False, workers=4)
