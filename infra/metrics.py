"""The metrics that the functions publish (`functions.observability`), as alarms and the dashboard name them."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from functions.observability import NAMESPACE

MINUTE = Duration.minutes(1)
AVERAGE = "Average"
MAXIMUM = "Maximum"
SUM = "Sum"


@dataclass(frozen=True, slots=True)
class Published:
    """What the functions of one stack publish; `service` is what they call themselves."""

    service: str

    def of_service(
        self, name: str, *, statistic: str, period: Duration = MINUTE, label: str | None = None, **dimensions: str
    ) -> cloudwatch.Metric:
        """A metric of the whole stack, or of what the dimensions name.

        Args:
            label: what the dashboard calls it. None in an alarm: a label makes it a metric query.
        """
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            # A metric is found by all of its dimensions or not at all, and Powertools adds the service to each.
            dimensions_map={"service": self.service, **dimensions},
            statistic=statistic,
            period=period,
            label=label,
        )

    def of_lane(
        self,
        name: str,
        model: str,
        *,
        statistic: str,
        period: Duration = MINUTE,
        label: str | None = None,
        **dimensions: str,
    ) -> cloudwatch.Metric:
        """A metric of one lane; see `of_service`."""
        return self.of_service(name, statistic=statistic, period=period, label=label, model=model, **dimensions)
