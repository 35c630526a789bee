"""Logs and metrics: one structured line for each provider request and each job outcome, never a prompt or a key."""

from __future__ import annotations

from functools import cache

from aws_lambda_powertools import Logger

NAMESPACE = "imagebatch"

_REFUSED = frozenset({"forged", "replayed", "expired", "foreign", "unreadable"})


@cache
def logger() -> Logger:
    """The logger of this function; service and level come from Powertools' environment variables."""
    return Logger(location=None)  # every line comes from here


def log_event(event: str, **fields: str | int | float | None) -> None:
    """Write one line, and count what is counted. Implements `functions.core.ports.EventLog`."""
    logger().info(event, extra={name: value for name, value in fields.items() if value is not None})
    match event, fields:
        case "job_ended", {"outcome": "held", "model": model}:
            _count("JobsHeld", "model", model)
        case "repaid", {"model": model}:
            _count("JobsRepaid", "model", model)
        case "payment_counted", {"model": model}:
            _count("PaidTwice", "model", model)
        case "callback", {"result": result} if result in _REFUSED:
            _count("CallbacksRefused", "reason", result)


def _count(metric: str, dimension: str, value: str | int | float | None) -> None:
    """Count one of what happens rarely, in CloudWatch's embedded metric format.

    Powertools adds the dimension `service`, which whoever reads the metric has to name too.
    """
    # Here, since a worker that has nothing to count starts sooner without it.
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric(metric, MetricUnit.Count, 1, namespace=NAMESPACE) as one:
        one.add_dimension(dimension, str(value))
