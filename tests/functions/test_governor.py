"""The governor does what its sample events ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from functions import governor
from functions.core.catalog import load_catalog
from functions.core.governing.alarms import Guardrail, alarm_name
from functions.runtime import governor as runtime
from tests.fakes.governed import DREAM, FLUX, INTAKE_MAPPING, STACK, Governed, mapping
from tests.fakes.lane import Lines

EVENTS = Path(__file__).resolve().parents[2] / "events"
ENVIRONMENT = {
    "LANES_TABLE": "lanes",
    "LANE_MAPPINGS": json.dumps({FLUX.name: mapping(FLUX.name)}),
    "INTAKE_MAPPING": INTAKE_MAPPING,
    "OPERATOR_TOPIC": "arn:aws:sns:eu-central-1:123456789012:imagebatch-operator",
    "ALARM_SECONDS": "300",
    "STACK": STACK,
    "PROVIDER_URLS": "{}",
    "PROVIDER_SECRETS": "{}",
}


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


ERROR_RATE, COST, TICK = sample("governor-error-rate"), sample("governor-cost"), sample("governor-tick")


def handle(event: dict[str, Any]) -> None:
    governor.handler(event, cast("Any", None))


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Governed]:
    stack, loop = Governed(), asyncio.new_event_loop()
    monkeypatch.setattr(runtime, "governor", lambda: stack.governor)
    monkeypatch.setattr(runtime, "loop", lambda: loop)
    yield stack
    loop.close()


def test_an_alarm_on_the_error_rate_slows_its_lane_down_once(stack: Governed) -> None:
    stack.did(attempts=100, faults=20)
    for _ in range(2):
        handle(ERROR_RATE)
    assert (stack.workers(), stack.workers(DREAM.name), len(stack.operator.told)) == (4, 8, 1)


def test_an_alarm_on_the_cost_pauses_the_intake(stack: Governed) -> None:
    stack.dear()
    handle(COST)
    assert not stack.mappings.feeds[INTAKE_MAPPING].enabled
    assert len(stack.operator.told) == 1


def test_a_tick_looks_after_all_lanes(stack: Governed) -> None:
    handle(TICK)
    assert set(stack.gauges) == {FLUX.name, DREAM.name}
    assert stack.apis[FLUX.name].asked == 1


@pytest.mark.parametrize("message", ["no alarm", "{}", '"text"'])
def test_what_is_no_alarm_is_passed_over(stack: Governed, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Lines()
    monkeypatch.setattr(governor, "log_event", log)
    (record,) = ERROR_RATE["Records"]
    handle({"Records": [{**record, "Sns": {**record["Sns"], "Message": message}}]})
    assert stack.table.written == []
    assert len(log.of("no_alarm")) == 1


@pytest.mark.parametrize("event", [ERROR_RATE, TICK])
def test_what_failed_is_raised_so_that_lambda_tries_again(
    stack: Governed, event: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    stack.mappings.failing = {mapping(FLUX.name)}
    with pytest.raises(ExceptionGroup):
        handle(event)
    assert "governor_failed" in caplog.messages


def test_the_samples_are_those_of_the_alarms_that_are_deployed() -> None:
    for event, guardrail in ((ERROR_RATE, Guardrail.ERROR_RATE), (COST, Guardrail.COST)):
        (record,) = event["Records"]
        assert json.loads(record["Sns"]["Message"])["AlarmName"] == alarm_name(STACK, guardrail, FLUX.name)


def test_the_governor_is_put_together_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    governed = runtime.governor()
    runtime.governor.cache_clear()
    assert governed.models == load_catalog().enabled_models
    assert (governed.lane_mappings, governed.alarm_seconds) == ({FLUX.name: mapping(FLUX.name)}, 300)
