"""What the governor governs, in memory: two lanes of one account, their mappings and alarms, and the operator."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from functions.core.catalog import Mode, load_catalog
from functions.core.errors import ErrorClass, Fault
from functions.core.governing.alarms import ALARM, AlarmChange, Guardrail, alarm_name
from functions.core.governing.governor import Governor
from functions.core.governing.ports import Feed
from functions.core.lanes import control
from functions.core.lanes.control import Control, Intake, control_of, intake_of
from functions.core.lanes.records import INTAKE, Pace, account_record, lane_record, minute_record, pace_of
from functions.core.ports import PollError
from functions.core.writes import Write
from tests.fakes.lane import Lines, Records, ScriptedApi
from tests.fakes.virtual_time import START_MS

STACK = "imagebatch"
ALARM_SECONDS = 300
INTERVAL_MS = 2 * ALARM_SECONDS * 1000
MINUTE_MS = 60_000
INTAKE_MAPPING = "mapping-of-the-intake"
_SCHNELL = load_catalog().models["flux-schnell"]
# 500 a minute at ten seconds a call: eight workers' worth of calls and more.
FLUX = replace(_SCHNELL, mode=Mode.POLL, workers=8, account=replace(_SCHNELL.account, images_per_minute=500))
DREAM = replace(FLUX, name="dream-2")
ACCOUNT = account_record(FLUX.account.name)


class AwsError(Exception):
    """What AWS raises when it fails."""


def failures(group: ExceptionGroup[Any], kind: type[Exception] = AwsError) -> int:
    """How many things failed, all of them in one way."""
    assert {type(error) for error in group.exceptions} == {kind}
    return len(group.exceptions)


class MemoryLanes(Records):
    """The lanes table; `written` names the writes that held. Like a real one, it gives away copies.

    after_reading: what somebody else does as soon as records were read, the next times. failing: names of writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.after_reading: list[Callable[[], object]] = []
        self.failing: set[str] = set()

    def write(self, key: str, write: Write) -> dict[str, Any]:
        if write.name in self.failing:
            raise AwsError
        record = super().write(key, write)
        self.written.append(write.name)
        return copy.deepcopy(record)

    def get_many(self, keys: Sequence[str], *, consistent: bool) -> dict[str, dict[str, Any]]:
        found = {key: copy.deepcopy(self.records[key]) for key in keys if key in self.records}
        if self.after_reading:
            self.after_reading.pop(0)()
        return found


@dataclass
class MemoryMappings:
    """Event source mappings. `busy`: those that are being changed; `failing`: those that AWS fails on."""

    feeds: dict[str, Feed] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    changes: list[str] = field(default_factory=list)
    after_looking: list[Callable[[], object]] = field(default_factory=list)

    def look(self, mapping: str) -> Feed:
        if mapping in self.failing:
            raise AwsError
        feed = self.feeds[mapping]
        if self.after_looking:
            self.after_looking.pop(0)()
        return feed

    def change(self, mapping: str, *, enabled: bool, workers: int | None = None) -> bool:
        if mapping in self.busy:
            return False
        self.changes.append(mapping)
        self.feeds[mapping] = Feed(enabled, self.feeds[mapping].workers if workers is None else workers)
        return True


@dataclass
class MemoryAlarms:
    """Alarms. `in_alarm`: names; None: AWS does not say."""

    in_alarm: set[str] | None = field(default_factory=set)

    def standing(self, names: Sequence[str]) -> frozenset[str]:
        if self.in_alarm is None:
            raise AwsError
        return frozenset(names) & self.in_alarm


@dataclass
class MemoryOperator:
    """The operator: what he was told."""

    told: list[tuple[str, str]] = field(default_factory=list)
    out_of_reach: bool = False

    def tell(self, subject: str, text: str) -> None:
        if self.out_of_reach:
            raise AwsError
        self.told.append((subject, text))


@dataclass
class PricedApi(ScriptedApi):
    """A provider that says what a picture costs; None: it cannot be asked."""

    price_usd: Decimal | None = Decimal("0.003")
    thinks_for_ever: bool = False
    asked: int = 0

    async def quote(self) -> Decimal:
        self.asked += 1
        if self.thinks_for_ever:
            await asyncio.Event().wait()
        if self.price_usd is None:
            raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500))
        return self.price_usd


@dataclass
class SetClock:
    """A clock that is set by hand."""

    ms: int = START_MS // INTERVAL_MS * INTERVAL_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the governor waits for nothing")


def mapping(model: str) -> str:
    return f"mapping-of-{model}"


def deployed_feeds() -> dict[str, Feed]:
    """The mappings as a deploy makes them."""
    lanes = {mapping(model.name): Feed(enabled=True, workers=model.workers) for model in (FLUX, DREAM)}
    return {**lanes, INTAKE_MAPPING: Feed(enabled=True, workers=4)}


@dataclass
class Governed:
    """A stack with its governor."""

    table: MemoryLanes = field(default_factory=MemoryLanes)
    mappings: MemoryMappings = field(default_factory=lambda: MemoryMappings(deployed_feeds()))
    alarms: MemoryAlarms = field(default_factory=MemoryAlarms)
    operator: MemoryOperator = field(default_factory=MemoryOperator)
    apis: dict[str, PricedApi] = field(default_factory=lambda: {FLUX.name: PricedApi(), DREAM.name: PricedApi()})
    gauges: dict[str, dict[str, Any]] = field(default_factory=dict)
    clock: SetClock = field(default_factory=SetClock)
    log: Lines = field(default_factory=Lines)
    alarm_seconds: int = ALARM_SECONDS

    @property
    def governor(self) -> Governor:
        return Governor(
            stack=STACK,
            models=(FLUX, DREAM),
            lane_mappings={model.name: mapping(model.name) for model in (FLUX, DREAM)},
            intake_mapping=INTAKE_MAPPING,
            alarm_seconds=self.alarm_seconds,
            table=self.table,
            mappings=self.mappings,
            alarms=self.alarms,
            operator=self.operator,
            api=lambda model: self.apis[model.name],
            gauges=self._publish,
            clock=self.clock,
            log=self.log,
        )

    def _publish(self, model: str, **values: Any) -> None:
        self.gauges[model] = values

    def did(self, model: str = FLUX.name, *, minutes_ago: int = 0, **counters: Any) -> None:
        """Add to what a lane did in a minute."""
        record = self.table.records.setdefault(minute_record(model, self.clock.ms // MINUTE_MS - minutes_ago), {})
        for name, number in counters.items():
            record[name] = record.get(name, 0) + number

    def fails(self, model: str = FLUX.name) -> None:
        """Let a fifth of a lane's calls fail, and its alarm stand."""
        self.did(model, attempts=100, faults=20)
        self.stand(model)

    def throttle(self, **to: Any) -> None:
        """The first lane was slowed down just now."""
        write = control.halve(notice="slow", interval_ms=INTERVAL_MS, now_ms=self.clock.ms, **to)
        self.table.write(lane_record(FLUX.name), write)

    def dear(self) -> None:
        """The first lane's pictures cost half as much again as in the hour before."""
        self.did(pictures=20, cost_usd=Decimal("0.09"), expected_usd=Decimal("0.06"))
        self.did(minutes_ago=10, pictures=20, cost_usd=Decimal("0.06"), expected_usd=Decimal("0.06"))

    def stand(self, model: str = FLUX.name) -> None:
        assert self.alarms.in_alarm is not None
        self.alarms.in_alarm.add(alarm_name(STACK, Guardrail.ERROR_RATE, model))

    def clear(self) -> None:
        self.alarms.in_alarm = set()

    def alarm(
        self,
        guardrail: Guardrail = Guardrail.ERROR_RATE,
        model: str = FLUX.name,
        *,
        state: str = ALARM,
        at: str | None = None,
        value: Decimal | None = None,
    ) -> None:
        """Deliver an alarm's change. `at` names the change; by default it is another one each moment."""
        name = alarm_name(STACK, guardrail, model)
        self.governor.alarm(AlarmChange(name, state, at or str(self.clock.ms), value))

    def tick(self) -> None:
        asyncio.run(self.governor.tick())

    def minute(self) -> None:
        """A minute passes; then comes the tick."""
        self.clock.ms += MINUTE_MS
        self.tick()

    def control(self, model: str = FLUX.name) -> Control:
        return control_of(self.table.records.get(lane_record(model), {}))

    def pace(self) -> Pace:
        return pace_of(self.table.records.get(ACCOUNT, {}), FLUX)

    def intake(self) -> Intake:
        return intake_of(self.table.records.get(INTAKE, {}))

    def throttled(self) -> Decimal | None:
        """The most images a minute of the first lane, as the workers see it."""
        return self.pace().throttled

    def workers(self, model: str = FLUX.name) -> int | None:
        return self.mappings.feeds[mapping(model)].workers

    def halvings(self) -> int:
        return self.table.written.count("halve")


def notification(name: str, state: str = ALARM, at: str = "2026-11-21T09:00:00.000+0000") -> Mapping[str, Any]:
    """What CloudWatch publishes of an alarm's change, in part."""
    return {"AlarmName": name, "NewStateValue": state, "StateChangeTime": at}


def as_text(message: Mapping[str, Any]) -> str:
    return json.dumps(message)
