"""What the tracker works with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from functions.adapters import aws
from functions.adapters.batches import DynamoBatchStore
from functions.adapters.clock import SystemClock
from functions.adapters.sqs import SqsQueue
from functions.core.batches.tracking import Tracker
from functions.settings import read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """Settings of the tracker."""

    batches_table: str
    reports_queue_url: str


@cache
def tracker() -> Tracker:
    """What the jobs table's stream is for."""
    settings = read_settings(TrackerSettings, os.environ)
    return Tracker(
        batches=DynamoBatchStore(aws.dynamodb(), settings.batches_table),
        reports=SqsQueue(aws.sqs(), settings.reports_queue_url),
        clock=SystemClock(),
    )
