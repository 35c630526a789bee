"""How many workers a lane has, how it is throttled and how it climbs back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from functions.core.catalog import Mode, Model
from functions.core.lanes.control import Control
from functions.core.lanes.records import Pace

CALLS_PER_WORKER = 10
"""Messages that a worker is given at a time, and works on side by side."""

FEWEST_WORKERS = 2
"""An event source mapping's MaximumConcurrency is at least 2
(https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html)."""

LOWEST_PER_MINUTE = Decimal(1)

UNKNOWN_SECONDS = 10.0
"""What a call is taken to last while nothing is known of the lane's last minutes."""

AROUND_SECONDS = 2.0
"""A message keeps its worker busy for so much longer than its call lasts."""

_CLIMBS = 4  # from nothing to the catalog's workers


@dataclass(frozen=True, slots=True)
class Throttle:
    """The most workers and images a minute of a lane; None: no bound."""

    workers: int | None
    rate: Decimal | None


def most_workers(model: Model, control: Control) -> int:
    """The most workers that the lane may have at a time, by the catalog, the operator and the governor."""
    bounds = (model.workers, control.workers_limit, control.workers_throttle)
    return max(FEWEST_WORKERS, min(bound for bound in bounds if bound is not None))


def workers_needed(model: Model, pace: Pace, control: Control, latency_ms: float | None) -> int:
    """Workers for the lane's rate, and one more, as far as it may have them.

    Little's law: calls under way = calls a second × seconds of a call. `latency_ms`: how long calls took lately on
    average, None if nobody knows.
    """
    seconds = UNKNOWN_SECONDS
    if latency_ms is not None:
        seconds = latency_ms / 1000
        if model.mode is Mode.CALLBACK:  # then the worker leaves
            seconds = min(seconds, model.inline_seconds)
        seconds += AROUND_SECONDS
    calls = float(pace.lane_per_minute(model)) / 60 * seconds
    return max(FEWEST_WORKERS, min(most_workers(model, control), math.ceil(calls / CALLS_PER_WORKER) + 1))


def halved(model: Model, pace: Pace, control: Control, workers: int) -> Throttle | None:
    """The throttle of a lane that has so many workers: half of them; at the fewest, half of its rate.

    None if it cannot go slower.
    """
    if workers > FEWEST_WORKERS:
        return Throttle(max(FEWEST_WORKERS, workers // 2), control.rate_throttle)
    rate = pace.lane_per_minute(model)
    if rate > LOWEST_PER_MINUTE:
        return Throttle(control.workers_throttle, max(LOWEST_PER_MINUTE, round(rate / 2, 3)))
    return None


def climbed(model: Model, pace: Pace, control: Control) -> Throttle:
    """The throttle of a lane that may go faster again, one step on.

    A quarter of the catalog's workers more, and twice the rate, each until it bounds nothing.
    """
    workers, rate = control.workers_throttle, control.rate_throttle
    if workers is not None:
        workers += max(1, model.workers // _CLIMBS)
    if rate is not None:
        rate *= 2
    unbound = replace(pace, throttled=None).most_per_minute(model)
    return Throttle(
        workers=None if workers is None or workers >= model.workers else workers,
        rate=None if rate is None or rate >= unbound else rate,
    )
