"""Lanes for people: how fast each goes and may go, what it does, what it costs, and what holds it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from functions.adapters.clock import SystemClock
from functions.adapters.mappings import EventSourceMappings
from functions.adapters.sqs import SqsQueue
from functions.core.catalog import Catalog, Model
from functions.core.governing.ports import Feed
from functions.core.governing.workers import most_workers
from functions.core.lanes.control import Control, Intake, control_of, intake_of
from functions.core.lanes.measures import Done, total
from functions.core.lanes.records import INTAKE, Pace, account_record, lane_record, minute_record, pace_of
from ops.errors import NotFoundError

if TYPE_CHECKING:
    from ops.stack import Stack

_HOUR = 60  # minutes
_LATELY = 5  # minutes
_AT_A_TIME = 8


class LaneState(StrEnum):
    """What a lane is up to.

    `off`: its event source mapping is disabled. `slowed`: the governor lets it have less than it may, since many of its
    calls failed. `idle`: nothing waits and nothing is under way.
    """

    RUNNING = "running"
    IDLE = "idle"
    SLOWED = "slowed"
    PAUSED = "paused"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Line:
    """A queue: what feeds from it, how many messages wait in it, and how many were given up."""

    feed: Feed
    waiting: int
    dead_letters: int

    @property
    def stopped(self) -> bool:
        """Whether nothing reads from the queue."""
        return not (self.feed.enabled or self.feed.changing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A lane as it is now. `minute`: what it did in the last full one; `lately` and `hour`: in the last five and sixty,
    the minute that runs among them.
    """

    model: Model
    pace: Pace
    control: Control
    line: Line
    minute: Done
    lately: Done
    hour: Done

    @property
    def state(self) -> LaneState:
        """What it is up to; what a person decided comes first."""
        if self.line.stopped:
            return LaneState.OFF
        if self.pace.paused:
            return LaneState.PAUSED
        if self.control.throttled or self.pace.throttled is not None:
            return LaneState.SLOWED
        busy = self.line.waiting or self.pace.in_flight or self.minute.attempts
        return LaneState.RUNNING if busy else LaneState.IDLE

    @property
    def most_workers(self) -> int:
        """The most workers that catalog and operator let it have."""
        return most_workers(self.model, replace(self.control, workers_throttle=None))

    @property
    def rate(self) -> Decimal:
        """Images a minute that it may start now."""
        return self.pace.lane_per_minute(self.model)


@dataclass(frozen=True, slots=True)
class Overview:
    """All lanes and the intake. `unknown`: models that the stack has lanes of and the catalog does not have."""

    lanes: Sequence[Lane]
    intake: Intake
    intake_line: Line
    unknown: Sequence[str] = ()

    @property
    def takes_files(self) -> bool:
        """Whether a file that is uploaded now is read."""
        return not (self.intake_line.stopped or self.intake.paused)


def overview(stack: Stack, catalog: Catalog) -> Overview:
    """Read all that is known of the stack's lanes, in the catalog's order."""
    models = [model for model in catalog.models.values() if model.name in stack.lane_mappings]
    minute = SystemClock().now_ms() // 60_000
    names = {INTAKE}.union(*(_names(model, minute) for model in models))
    with ThreadPoolExecutor(max_workers=_AT_A_TIME) as threads:
        intake = threads.submit(_line, stack, stack.intake_mapping, stack.intake_queue, stack.intake_dead_letter_queue)
        lines = {model.name: threads.submit(_lane_line, stack, model.name) for model in models}
        records = stack.lanes().get_many(sorted(names), consistent=True)
        return Overview(
            [_lane(model, lines[model.name].result(), records, minute) for model in models],
            intake_of(records.get(INTAKE, {})),
            intake.result(),
            sorted(set(stack.lane_mappings) - set(catalog.models)),
        )


def find_lane(stack: Stack, catalog: Catalog, model: str) -> Lane:
    """The lane of a model.

    Raises:
        NotFoundError: when there is none; names those there are.
    """
    if model not in stack.lane_mappings or model not in catalog.models:
        known = ", ".join(sorted(set(stack.lane_mappings) & set(catalog.models)))
        raise NotFoundError(f"The stack '{stack.name}' has no lane '{model}'; there is: {known}.")
    return next(lane for lane in overview(stack, catalog).lanes if lane.model.name == model)


def record(overview: Overview) -> dict[str, Any]:
    """The lanes as `imagebatch lanes --json` prints them: rates in images a minute, money in dollars, times in ms."""
    intake, line = overview.intake, overview.intake_line
    return {
        "lanes": [dict(_facts(lane)) for lane in overview.lanes],
        "intake": {
            "takes_files": overview.takes_files,
            "paused": intake.paused or None,
            "paused_at_ms": intake.paused_at or None,
            "waiting": line.waiting,
            "dead_letters": line.dead_letters,
        },
        "not_in_catalog": list(overview.unknown),
    }


def _names(model: Model, minute: int) -> set[str]:
    minutes = range(minute - _HOUR + 1, minute + 1)
    own = {minute_record(model.name, one) for one in minutes}
    return own | {account_record(model.account.name), lane_record(model.name)}


def _lane(model: Model, line: Line, records: Mapping[str, Mapping[str, Any]], minute: int) -> Lane:
    def of_minutes(first: int, last: int) -> Done:
        names = (minute_record(model.name, one) for one in range(first, last + 1))
        return total(records[name] for name in names if name in records)

    return Lane(
        model=model,
        pace=pace_of(records.get(account_record(model.account.name), {}), model),
        control=control_of(records.get(lane_record(model.name), {})),
        line=line,
        minute=of_minutes(minute - 1, minute - 1),
        lately=of_minutes(minute - _LATELY + 1, minute),
        hour=of_minutes(minute - _HOUR + 1, minute),
    )


def _lane_line(stack: Stack, model: str) -> Line:
    return _line(stack, stack.lane_mappings[model], stack.lane_queues[model], stack.dead_letter_queues[model])


def _line(stack: Stack, mapping: str, queue: str, dead_letters: str) -> Line:
    return Line(
        EventSourceMappings(stack.lambda_()).look(mapping),
        SqsQueue(stack.sqs(), queue).depth(),
        SqsQueue(stack.sqs(), dead_letters).depth(),
    )


def _facts(lane: Lane) -> Iterator[tuple[str, Any]]:
    model, pace, lately, hour = lane.model, lane.pace, lane.lately, lane.hour
    yield "model", model.name
    yield "account", model.account.name
    yield "state", lane.state
    yield "paused", pace.paused or None
    yield (
        "rate",
        {
            "last_minute": lane.minute.pictures,
            "allowed": lane.rate,
            "set": pace.limit,
            "throttled": pace.throttled,
            "account": pace.account_per_minute(model),
            "account_set": pace.account_rate,
        },
    )
    yield "in_flight", {"account_now": pace.in_flight, "most": pace.most_in_flight(model), "set": pace.ceiling}
    yield (
        "workers",
        {
            "now": lane.line.feed.workers,
            "most": lane.most_workers,
            "set": lane.control.workers_limit,
            "throttled": lane.control.workers_throttle,
        },
    )
    yield (
        "last_5_minutes",
        {
            "attempts": lately.attempts,
            "refused": lately.refused,
            "error_rate": lately.error_rate,
            "p95_ms": lately.p95_ms,
        },
    )
    yield (
        "last_hour",
        {
            "pictures": hour.pictures,
            "cost_usd": hour.cost_usd,
            "cost_per_picture_usd": hour.cost_per_picture,
        },
    )
    yield "waiting", lane.line.waiting
    yield "dead_letters", lane.line.dead_letters
