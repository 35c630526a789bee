"""CloudWatch alarms. Action: DescribeAlarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_NAMES_PER_REQUEST = 100  # DescribeAlarms' limit


@dataclass(frozen=True, slots=True)
class CloudWatchAlarms:
    """Metric alarms. Implements `functions.core.governing.ports.Alarms`."""

    client: Any

    def standing(self, names: Sequence[str]) -> frozenset[str]:
        """See `Alarms.standing`. One that is not there is not in alarm."""
        slices = (names[at : at + _NAMES_PER_REQUEST] for at in range(0, len(names), _NAMES_PER_REQUEST))
        return frozenset(
            alarm["AlarmName"]
            for some in slices
            for alarm in self.client.describe_alarms(
                AlarmNames=list(some), StateValue="ALARM", MaxRecords=_NAMES_PER_REQUEST
            )["MetricAlarms"]
        )
