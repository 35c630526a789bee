"""Logs and metrics: one structured line for each provider request and each job outcome, never a prompt or a key.

Metrics are lines in CloudWatch's embedded metric format. Powertools adds the dimension `service`, the stack's name, to
each; whoever reads a metric has to name it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger

if TYPE_CHECKING:
    from functions.core.lanes.measures import Measures

NAMESPACE = "imagebatch"

REFUSALS = ("expired", "foreign", "forged", "replayed", "unreadable")
"""Why callbacks are refused."""

_UNITS = {"CostUsd": "None", "CostRatio": "None", "Latency": "Milliseconds"}
"""Of the metrics that are no counts."""


@cache
def logger() -> Logger:
    """The logger of this function; service and level come from Powertools' environment variables."""
    return Logger(location=None)  # every line comes from here


def log_event(event: str, **fields: str | int | float | None) -> None:
    """Write one line, and count what is counted. Implements `functions.core.ports.EventLog`."""
    logger().info(event, extra={name: value for name, value in fields.items() if value is not None})
    match event, fields:
        case "repaid", {"model": model}:
            _emit({"model": str(model)}, {"JobsRepaid": [1]})
        case "payment_counted", {"model": model}:
            _emit({"model": str(model)}, {"PaidTwice": [1]})
        case "callback", {"result": result} if result in REFUSALS:
            _emit({"reason": str(result)}, {"CallbacksRefused": [1]})
        case "part_made", {"duplicates": int(duplicates)} if duplicates > 0:
            _emit({}, {"DuplicatesPrevented": [duplicates]})


def publish(measures: Mapping[str, Measures]) -> None:
    """Publish what lanes did, by model.

    The average of `ProviderFault` is the share of the attempts that ended by a fault of the provider's, the sum of
    `CostUsd` what was paid; in both, each attempt and each payment is a value of its own.
    """
    for model, one in measures.items():
        _emit(
            {"model": model},
            {
                "ProviderFault": [1] * one.faults + [0] * (one.attempts - one.faults),
                "RateLimited": [one.refused] if one.refused else [],
                "Tries": one.tries,
                "CostUsd": one.costs_usd,
            },
        )
        for outcome, jobs in one.ended.items():
            _emit({"model": model, "outcome": outcome}, {"Jobs": [jobs]})
        for size, latencies_ms in one.latencies_ms.items():
            _emit({"model": model, "size": size}, {"Latency": latencies_ms})


def gauges(model: str, **values: float | Decimal | None) -> None:
    """Publish where a lane stands: `CostRatio`, `Workers`, `RateAllowed` (images a minute), `InFlight` (calls).

    What is None is left out.
    """
    _emit({"model": model}, {name: [value] for name, value in values.items() if value is not None})


def _emit(dimensions: Mapping[str, str], metrics: Mapping[str, Iterable[float | Decimal]]) -> None:
    """Write the values of metrics in one line; Powertools makes several where one has more values than the 100 that
    the format allows."""
    # Here, since a worker that has nothing to count starts sooner without it.
    from aws_lambda_powertools.metrics import EphemeralMetrics

    # Unlike Metrics, it shares neither values nor dimensions with another of its kind.
    line = EphemeralMetrics(namespace=NAMESPACE)
    for name, value in dimensions.items():
        line.add_dimension(name, value)
    for metric, values in metrics.items():
        for number in values:
            line.add_metric(metric, _UNITS.get(metric, "Count"), float(number))
    if line.metric_set:
        line.flush_metrics()
