"""The governor: slows lanes down whose calls fail, stops the intake when pictures become dear, and keeps it all so.

An alarm's change makes it act at once; a tick each minute goes on where alarms are silent, lets lanes climb back, and
puts right what a deploy has reset. What it decides is on the lanes table before it is carried out, so whoever comes
next, an alarm or a tick, carries out what is left. All of it may run twice, and at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from functions.core.catalog import Model
from functions.core.governing import notices
from functions.core.governing.alarms import ALARM, AlarmChange, Guardrail, alarm_name, guarded
from functions.core.governing.attempts import Attempts
from functions.core.governing.ports import Alarms, Feed, Gauges, LaneTable, Mappings, Operator
from functions.core.governing.prices import Prices
from functions.core.governing.recent import Recent, Windows
from functions.core.governing.workers import climbed, halved, workers_needed
from functions.core.lanes import control as changes
from functions.core.lanes.control import Control, control_of, intake_of
from functions.core.lanes.pacing import sweep
from functions.core.lanes.records import INTAKE, Pace, account_record, lane_record, pace_of
from functions.core.ports import Clock, EventLog, ImageApi
from functions.core.writes import StaleWriteError, Write

FEWEST_ATTEMPTS = 20
"""A lane is not slowed down for what fewer calls show."""

WHY_DEAR = "the pictures of {model} cost more than before"
"""Why the intake is paused, when the governor has paused it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A lane as it was read: its mapping (None: not to be had), its record, its account's and what it did lately."""

    model: Model
    feed: Feed | None
    control: Control
    account: Pace
    recent: Recent

    @property
    def pace(self) -> Pace:
        """The lane's pace, throttled as its own record says."""
        return replace(self.account, throttled=self.control.rate_throttle)

    @property
    def workers(self) -> int:
        """The most workers that it is to have at a time."""
        return workers_needed(self.model, self.pace, self.control, self.recent.last.mean_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Governor:
    """Governs the lanes of a stack.

    `lane_mappings`: event source mapping by model; `alarm_seconds`: the period of the alarms on error rates. A lane is
    throttled at most once in two of them, and providers are asked for their prices once in one.
    """

    stack: str
    models: Sequence[Model]
    lane_mappings: Mapping[str, str]
    intake_mapping: str
    alarm_seconds: int
    table: LaneTable
    mappings: Mappings
    alarms: Alarms
    operator: Operator
    api: Callable[[Model], ImageApi]
    gauges: Gauges
    clock: Clock
    log: EventLog

    @property
    def _windows(self) -> Windows:
        return Windows(self.alarm_seconds)

    def alarm(self, change: AlarmChange) -> None:
        """An alarm has changed: act on it if it is one of the governor's that went into alarm.

        Raises:
            ExceptionGroup: see `Attempts.finish`.
        """
        meant = guarded(change.name, self.stack, (model.name for model in self.models))
        guardrail, name = meant or ("", "")
        self.log("alarm", alarm=change.name, state=change.state, guardrail=guardrail, model=name)
        if meant is None or change.state != ALARM:
            return
        attempts = Attempts(self.log)
        for lane in self._read([model for model in self.models if model.name == name], attempts):
            if guardrail is Guardrail.ERROR_RATE:
                self._carry_out(self._slow_down(lane, change.at), attempts)
            else:
                self._stop_intake(lane, change)
                self._carry_out_intake(attempts)
        attempts.finish()

    async def tick(self) -> None:
        """Look after everything. To be done each minute.

        Raises:
            ExceptionGroup: see `Attempts.finish`.
        """
        attempts = Attempts(self.log)
        self._carry_out_intake(attempts)
        lanes = self._read(self.models, attempts)
        # After the records: what an alarm has made of them meanwhile stops a lane from climbing.
        in_alarm: frozenset[str] | None = None
        with attempts.at("alarms"):
            in_alarm = self.alarms.standing([self._error_rate(lane.model) for lane in lanes])
        for lane in lanes:
            governed = lane
            if in_alarm is not None:
                with attempts.at("throttle", lane.model.name):
                    stands = self._error_rate(lane.model) in in_alarm
                    governed = self._slow_down(lane) if stands else self._climb(lane)
            self._carry_out(governed, attempts)
            with attempts.at("gauges", lane.model.name):
                self._publish(governed)
        if self._windows.quotes_due(self.clock.now_ms()):
            await asyncio.gather(*(self._ask_price(lane, attempts) for lane in lanes))
        attempts.finish()

    def _error_rate(self, model: Model) -> str:
        return alarm_name(self.stack, Guardrail.ERROR_RATE, model.name)

    # Reading

    def _read(self, models: Sequence[Model], attempts: Attempts) -> list[Lane]:
        """The lanes of these models, calls that nobody holds any more swept from their accounts."""
        # Before the records: whoever slows a lane down writes it there before he changes the mapping.
        feeds = {model.name: self._look(attempts, model.name) for model in models}
        now_ms, windows = self.clock.now_ms(), self._windows
        accounts = dict.fromkeys(account_record(model.account.name) for model in models)
        lanes = [lane_record(model.name) for model in models]
        records = dict(self.table.get_many([*accounts, *lanes], consistent=True))
        minutes = self.table.get_many(
            [name for model in models for name in windows.records(model.name, now_ms)], consistent=False
        )
        for account in accounts:
            records.setdefault(account, {})
            with attempts.at("sweep"):
                records[account] = self._swept(account, records[account], now_ms)
        read = []
        for model in models:
            with attempts.at("read", model.name):
                control = control_of(records.get(lane_record(model.name), {}))
                pace = pace_of(records[account_record(model.account.name)], model)
                recent = windows.recent(model.name, now_ms, minutes)
                feed = feeds[model.name]
                read.append(Lane(model=model, feed=feed, control=control, account=pace, recent=recent))
        return read

    def _look(self, attempts: Attempts, model: str = "") -> Feed | None:
        """A lane's mapping, or the intake's; None if it cannot be had."""
        feed = None
        with attempts.at("mapping", model):
            feed = self.mappings.look(self.lane_mappings[model] if model else self.intake_mapping)
        return feed  # noqa: RET504  # None where looking failed

    def _swept(self, name: str, record: Mapping[str, Any], now_ms: int) -> Mapping[str, Any]:
        write = sweep(record, now_ms * 1000)
        return record if write is None else self._write(name, write)[0]

    # Deciding

    def _slow_down(self, lane: Lane, change: str = "") -> Lane:
        """Throttle a lane whose calls fail; the lane as it is then. `change`: of its alarm, if one is why."""
        model, done = lane.model, lane.recent.failing
        if done.attempts < FEWEST_ATTEMPTS:
            self.log("too_few_attempts", model=model.name, attempts=done.attempts)
            return lane
        to = halved(model, lane.pace, lane.control, lane.workers)
        if to is None:
            self.log("at_the_slowest", model=model.name)
            return lane
        interval_s = 2 * self.alarm_seconds
        notice = notices.slowed_down(
            self.stack,
            model.name,
            done=done,
            window_s=interval_s,
            workers=lane.workers,
            rate=lane.pace.lane_per_minute(model),
            to=to,
        )
        write = changes.halve(
            workers=to.workers,
            rate=to.rate,
            notice=notice,
            change=change,
            interval_ms=interval_s * 1000,
            now_ms=self.clock.now_ms(),
        )
        return self._changed(lane, write, error_rate=round(done.error_rate or 0, 4))

    def _climb(self, lane: Lane) -> Lane:
        """Let a throttled lane go faster again; the lane as it is then."""
        if not lane.control.throttled:
            return lane
        to = climbed(lane.model, lane.pace, lane.control)
        write = changes.climb(lane.control, workers=to.workers, rate=to.rate, now_ms=self.clock.now_ms())
        return self._changed(lane, write)

    def _changed(self, lane: Lane, write: Write, **figures: float) -> Lane:
        record, done = self._write(lane_record(lane.model.name), write)
        after = replace(lane, control=control_of(record))
        if done:
            rate = after.control.rate_throttle
            self.log(
                "lane_throttle",
                model=lane.model.name,
                change=write.name,
                workers=after.control.workers_throttle,
                rate=None if rate is None else float(rate),
                **figures,
            )
        return after

    def _stop_intake(self, lane: Lane, change: AlarmChange) -> None:
        """Take no more files in, since a lane became dear; unless somebody has accepted that."""
        name, recent = lane.model.name, lane.recent
        notice = notices.intake_paused(
            self.stack,
            name,
            recent=recent.last,
            before=recent.before,
            recent_s=self._windows.last_minutes * 60,
            ratio=change.value,
        )
        write = changes.stop_intake(
            name, WHY_DEAR.format(model=name), notice=notice, change=change.at, now_ms=self.clock.now_ms()
        )
        self.log("intake_paused" if self._write(INTAKE, write)[1] else "intake_left", model=name)

    # Carrying out what is decided

    def _carry_out(self, lane: Lane, attempts: Attempts) -> None:
        """See that workers, rate and operator know what the lane's record says."""
        name = lane.model.name
        with attempts.at("rate", name):
            if lane.control.rate_throttle != lane.account.throttled:
                write = changes.throttle_rate(name, lane.control.rate_throttle, seen=lane.account.throttled)
                self._write(account_record(lane.model.account.name), write)
        with attempts.at("workers", name):
            self._feed(self.lane_mappings[name], lane.feed, enabled=True, workers=lane.workers)
        with attempts.at("notice", name):
            self._tell(lane_record(name), lane.control.notice)

    def _carry_out_intake(self, attempts: Attempts) -> None:
        """See that files are taken in or not, and that the operator knows, as the intake's record says."""
        # Before the record: whoever pauses the intake writes it there before he changes the mapping.
        feed = self._look(attempts)
        intake = intake_of(self.table.get_many([INTAKE], consistent=True).get(INTAKE, {}))
        with attempts.at("intake"):
            self._feed(self.intake_mapping, feed, enabled=not intake.paused)
        with attempts.at("notice"):
            self._tell(INTAKE, intake.notice)

    def _feed(self, mapping: str, feed: Feed | None, *, enabled: bool, workers: int | None = None) -> None:
        """Change a mapping to what it is to be; one that is being changed is left to the next tick."""
        if feed is None or (feed.enabled is enabled and workers in (None, feed.workers) and not feed.changing):
            return
        done = not feed.changing and self.mappings.change(mapping, enabled=enabled, workers=workers)
        self.log("mapping", mapping=mapping, enabled=enabled, workers=workers, done=done)

    def _tell(self, name: str, notice: str) -> None:
        """Tell the operator what a record says that he is to be told; maybe twice, but not never."""
        if notice:
            self.operator.tell(*notices.parts(notice))
            self._write(name, changes.told(notice))

    def _publish(self, lane: Lane) -> None:
        pace, ratio = lane.pace, lane.recent.cost_ratio
        self.gauges(
            lane.model.name,
            Workers=lane.workers,
            RateAllowed=0 if pace.paused else pace.lane_per_minute(lane.model),
            InFlight=pace.in_flight,
            CostRatio=ratio,
        )

    async def _ask_price(self, lane: Lane, attempts: Attempts) -> None:
        prices = Prices(self.api, self.table, self.clock, self.log)
        with attempts.at("price", lane.model.name):
            await prices.ask(lane.model, known=lane.account.price_usd, quoted_at=lane.control.quoted_at)

    def _write(self, name: str, write: Write) -> tuple[Mapping[str, Any], bool]:
        """Carry out a write; the record after it, and whether it held."""
        try:
            return self.table.write(name, write), True
        except StaleWriteError as stale:
            return stale.record, False
