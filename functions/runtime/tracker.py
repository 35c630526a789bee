"""What the tracker works with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from functions.adapters import aws
from functions.adapters.batches import DynamoBatchStore
from functions.adapters.clock import SystemClock
from functions.adapters.dynamodb import Table
from functions.adapters.sqs import SqsQueue
from functions.core.batches.tracking import LaneTracker, Tracker
from functions.core.catalog import load_catalog
from functions.observability import publish
from functions.settings import read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """Settings of the tracker."""

    batches_table: str
    lanes_table: str
    reports_queue_url: str


@cache
def _settings() -> TrackerSettings:
    return read_settings(TrackerSettings, os.environ)


@cache
def tracker() -> Tracker:
    """What follows the jobs of batches."""
    settings = _settings()
    return Tracker(
        batches=DynamoBatchStore(aws.dynamodb(), settings.batches_table),
        reports=SqsQueue(aws.sqs(), settings.reports_queue_url),
        clock=SystemClock(),
    )


@cache
def lane_tracker() -> LaneTracker:
    """What follows the jobs of lanes."""
    return LaneTracker(
        lanes=Table(aws.dynamodb(), _settings().lanes_table, "name"),
        catalog=load_catalog(),
        clock=SystemClock(),
        publish=publish,
    )
