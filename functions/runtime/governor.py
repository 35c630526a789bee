"""What the governor works with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from functions.adapters import aws
from functions.adapters.alarms import CloudWatchAlarms
from functions.adapters.dynamodb import Table
from functions.adapters.mappings import EventSourceMappings
from functions.adapters.notices import OperatorTopic
from functions.core.catalog import load_catalog
from functions.core.governing.governor import Governor
from functions.observability import gauges, log_event
from functions.runtime.providers import CLOCK, image_api, loop
from functions.settings import read_settings

__all__ = ["governor", "loop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorSettings:
    """Settings of the governor. `lane_mappings`, ids of event source mappings, go by model, what is the providers' by
    account.

    `intake_mapping` is the id of the splitter's mapping, `operator_topic` an ARN, `alarm_seconds` the period of the
    alarms on error rates, and `stack` what the names of the alarms begin with.
    """

    lanes_table: str
    lane_mappings: Mapping[str, str]
    intake_mapping: str
    operator_topic: str
    alarm_seconds: int
    stack: str
    provider_urls: Mapping[str, str]
    provider_secrets: Mapping[str, str]


@cache
def governor() -> Governor:
    """What alarms and ticks are for."""
    settings = read_settings(GovernorSettings, os.environ)
    return Governor(
        stack=settings.stack,
        models=load_catalog().enabled_models,
        lane_mappings=settings.lane_mappings,
        intake_mapping=settings.intake_mapping,
        alarm_seconds=settings.alarm_seconds,
        table=Table(aws.dynamodb(), settings.lanes_table, "name"),
        mappings=EventSourceMappings(aws.lambda_()),
        alarms=CloudWatchAlarms(aws.cloudwatch()),
        operator=OperatorTopic(aws.sns(), settings.operator_topic),
        api=lambda model: image_api(model, settings.provider_urls, settings.provider_secrets),
        gauges=gauges,
        clock=CLOCK,
        log=log_event,
    )
