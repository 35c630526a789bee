"""Metrics out of log lines in CloudWatch's embedded metric format.

Its specification is `CloudWatch_Embedded_Metric_Format_Specification.html` in the CloudWatch user guide.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

MARK = "CloudWatchMetrics"
"""What every such line has in it."""

VALUES = 150
"""The most values that PutMetricData takes in one datum."""


class Series(NamedTuple):
    """What values are put together by: one metric in one second."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    unit: str
    second: int


def collect(lines: Iterable[tuple[str, int]]) -> dict[Series, Counter[float]]:
    """The values of log lines and how often each was seen; a line that is not in the format has none.

    Args:
        lines: text, and epoch milliseconds for a line that does not say its time.
    """
    found: dict[Series, Counter[float]] = {}
    for text, logged_ms in lines:
        for series, values in _read(text, logged_ms):
            found.setdefault(series, Counter()).update(values)
    return found


def metric_data(collected: dict[Series, Counter[float]]) -> dict[str, list[dict[str, Any]]]:
    """By namespace, the `MetricData` of PutMetricData."""
    data: dict[str, list[dict[str, Any]]] = {}
    for series, counted in collected.items():
        pairs = list(counted.items())
        for begin in range(0, len(pairs), VALUES):
            values, counts = zip(*pairs[begin : begin + VALUES], strict=True)
            data.setdefault(series.namespace, []).append(
                {
                    "MetricName": series.metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
                    "Unit": series.unit,
                    "Timestamp": series.second,
                    "Values": list(values),
                    "Counts": list(counts),
                }
            )
    return data


def _read(text: str, logged_ms: int) -> Iterator[tuple[Series, list[float]]]:
    try:
        root = json.loads(text)
        about = root["_aws"]
        directives, at_ms = about["CloudWatchMetrics"], about.get("Timestamp", logged_ms)
        # All of a line or nothing of it.
        yield from [one for directive in directives for one in _directed(root, directive, int(at_ms) // 1000)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return


def _directed(root: dict[str, Any], directive: dict[str, Any], second: int) -> Iterator[tuple[Series, list[float]]]:
    """What one directive makes of the line: each of its metrics under each of its sets of dimensions."""
    for names in directive["Dimensions"]:
        dimensions = tuple(sorted((name, str(root[name])) for name in names))
        for metric in directive["Metrics"]:
            values = root.get(metric["Name"])
            if values is not None:
                series = Series(directive["Namespace"], metric["Name"], dimensions, metric.get("Unit", "None"), second)
                yield series, [_number(value) for value in (values if isinstance(values, list) else [values])]


def _number(value: object) -> float:
    """A finite number.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
