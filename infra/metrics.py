"""The metrics that the functions publish (`functions.observability`), as alarms and the dashboard name them."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from functions.observability import NAMESPACE
from infra.constructs.function import SERVICE

MINUTE = Duration.minutes(1)
AVERAGE = "Average"
MAXIMUM = "Maximum"
SUM = "Sum"


def of_service(
    name: str, *, statistic: str, period: Duration = MINUTE, label: str | None = None, **dimensions: str
) -> cloudwatch.Metric:
    """A metric of the whole stack, or of what the dimensions name.

    Args:
        label: what the dashboard calls it. None in an alarm: a label makes it a metric query.
    """
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        # A metric is found by all of its dimensions or not at all, and Powertools adds the service to each.
        dimensions_map={"service": SERVICE, **dimensions},
        statistic=statistic,
        period=period,
        label=label,
    )


def of_lane(
    name: str, model: str, *, statistic: str, period: Duration = MINUTE, label: str | None = None, **dimensions: str
) -> cloudwatch.Metric:
    """A metric of one lane; see `of_service`."""
    return of_service(name, statistic=statistic, period=period, label=label, model=model, **dimensions)
