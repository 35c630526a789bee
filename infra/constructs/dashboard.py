"""The dashboard: eight panels that say at a glance how all lanes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.core.jobs.records import State
from functions.core.lanes.measures import Size
from functions.observability import REFUSALS
from infra.constructs.alarms import ERROR_RATE
from infra.constructs.function import service_of
from infra.constructs.lane import Lane
from infra.constructs.queue import WorkQueue
from infra.metrics import AVERAGE, MAXIMUM, MINUTE, SUM, Published

_HALF_WIDTH = 12
_HEIGHT = 7
_FIVE_MINUTES = Duration.minutes(5)
_HOUR = Duration.hours(1)


class Dashboard(Construct):
    """One CloudWatch dashboard for the stack, of plain metrics.

    Attributes:
        name: the dashboard's name.
        url: where the console shows it.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        lanes: Mapping[str, Lane],
        queues: Mapping[str, WorkQueue],
        dead_letters: Mapping[str, sqs.Queue],
    ) -> None:
        """Make it.

        Args:
            lanes: by model.
            queues: those that are no lane's, by the name that is shown.
            dead_letters: the dead-letter queues that belong to none of these, by the name that is shown.
        """
        super().__init__(scope, construct_id)
        # Names are the account's and not the region's.
        self.name = f"{Stack.of(self).stack_name}-{Aws.REGION}"
        self.url = (
            f"https://{Aws.REGION}.console.aws.amazon.com/cloudwatch/home?region={Aws.REGION}"
            f"#dashboards/dashboard/{self.name}"
        )
        own, models = Published(service_of(self)), list(lanes)
        queues = {**{model: lane.queue for model, lane in lanes.items()}, **queues}
        dead_letters = {**{name: queue.dead_letters for name, queue in queues.items()}, **dead_letters}
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self.name,
            default_interval=Duration.hours(3),
            widgets=[
                [_queue_length(queues, dead_letters), _pictures(own, models)],
                [_error_rate(own, models), _latency(own, models)],
                [_retry_depth(own, models), _concurrency_and_rate(own, lanes)],
                [_cost(own, models), _duplicates(own, models)],
            ],
        )


def _queue_length(queues: Mapping[str, WorkQueue], dead_letters: Mapping[str, sqs.Queue]) -> cloudwatch.GraphWidget:
    return _panel(
        "Queue length",
        left=[
            queue.queue.metric_approximate_number_of_messages_visible(statistic=MAXIMUM, period=MINUTE, label=name)
            for name, queue in queues.items()
        ],
        left_label="messages that wait",
        right=[
            queue.metric_approximate_number_of_messages_visible(
                statistic=MAXIMUM, period=MINUTE, label=f"{name}: dead letters"
            )
            for name, queue in dead_letters.items()
        ],
        right_label="dead letters",
    )


def _pictures(own: Published, models: Sequence[str]) -> cloudwatch.GraphWidget:
    def jobs(model: str, outcome: State) -> cloudwatch.Metric:
        return own.of_lane("Jobs", model, outcome=outcome.value, statistic=SUM, label=f"{model}: {outcome.value}")

    return _panel(
        "Pictures per minute",
        left=[jobs(model, State.SUCCESS) for model in models],
        left_label="pictures made / min",
        right=[jobs(model, outcome) for model in models for outcome in (State.FAILED, State.HELD)],
        right_label="failed or held / min",
    )


def _error_rate(own: Published, models: Sequence[str]) -> cloudwatch.GraphWidget:
    rate_limited = [own.of_lane("RateLimited", model, statistic=SUM, label=f"{model}: 429s") for model in models]
    callbacks = [
        own.of_service("CallbacksRefused", statistic=SUM, label=f"callbacks refused: {reason}", reason=reason)
        for reason in REFUSALS
    ]
    return _panel(
        "Error rate (provider faults)",
        left=[
            own.of_lane("ProviderFault", model, statistic=AVERAGE, label=f"{model}: share of calls") for model in models
        ],
        left_label="share of calls (0.05 = 5 %)",
        left_annotation=cloudwatch.HorizontalAnnotation(
            value=ERROR_RATE, label="5 %: while above, workers are halved", color=cloudwatch.Color.RED
        ),
        right=[*rate_limited, *callbacks],
        right_label="429s, callbacks refused / min",
    )


def _latency(own: Published, models: Sequence[str]) -> cloudwatch.GraphWidget:
    return _panel(
        "Latency of a picture, p95, by size",
        left=[
            own.of_lane("Latency", model, size=size.value, statistic="p95", label=f"{model}: {size.value}")
            for model in models
            for size in Size
        ],
        left_label="milliseconds",
    )


def _retry_depth(own: Published, models: Sequence[str]) -> cloudwatch.GraphWidget:
    return _panel(
        "Retry depth (calls per finished job)",
        left=[own.of_lane("Tries", model, statistic=AVERAGE, label=f"{model}: average") for model in models],
        left_label="average (1 = none was repeated)",
        right=[own.of_lane("Tries", model, statistic=MAXIMUM, label=f"{model}: most") for model in models],
        right_label="most",
    )


def _concurrency_and_rate(own: Published, lanes: Mapping[str, Lane]) -> cloudwatch.GraphWidget:
    running = [
        lane.worker.function.metric(
            "ConcurrentExecutions", statistic=MAXIMUM, period=MINUTE, label=f"{model}: workers running"
        )
        for model, lane in lanes.items()
    ]
    allowed = [
        own.of_lane(name, model, statistic=MAXIMUM, label=f"{model}: {what}")
        for model in lanes
        for name, what in (("Workers", "workers allowed"), ("InFlight", "calls in flight"))
    ]
    return _panel(
        "Concurrency and rate",
        left=[*running, *allowed],
        left_label="workers, calls",
        right=[own.of_lane("RateAllowed", model, statistic=AVERAGE, label=f"{model}: rate allowed") for model in lanes],
        right_label="images allowed / min",
    )


def _cost(own: Published, models: Sequence[str]) -> cloudwatch.GraphWidget:
    return _panel(
        "Cost: per image and in total",
        left=[
            own.of_lane("CostUsd", model, statistic=AVERAGE, period=_FIVE_MINUTES, label=f"{model}: $ per image")
            for model in models
        ],
        left_label="$ per image",
        right=[
            own.of_lane("CostUsd", model, statistic=SUM, period=_HOUR, label=f"{model}: $ per hour") for model in models
        ],
        right_label="$ per hour, all images",
    )


def _duplicates(own: Published, models: Sequence[str]) -> cloudwatch.GraphWidget:
    prevented = own.of_service("DuplicatesPrevented", statistic=SUM, period=_FIVE_MINUTES, label="prevented")
    return _panel(
        "Duplicates prevented",
        left=[prevented],
        left_label="pictures not bought again / 5 min",
        right=[
            own.of_lane(name, model, statistic=SUM, period=_FIVE_MINUTES, label=f"{model}: {what}")
            for model in models
            for name, what in (("PaidTwice", "paid twice"), ("JobsRepaid", "bought again, an answer being lost"))
        ],
        right_label="paid twice, bought again / 5 min",
    )


def _panel(
    title: str,
    *,
    left: Sequence[cloudwatch.IMetric],
    left_label: str,
    left_annotation: cloudwatch.HorizontalAnnotation | None = None,
    right: Sequence[cloudwatch.IMetric] = (),
    right_label: str = "",
) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        width=_HALF_WIDTH,
        height=_HEIGHT,
        left=list(left),
        left_y_axis=cloudwatch.YAxisProps(label=left_label, min=0, show_units=False),
        left_annotations=[left_annotation] if left_annotation else None,
        right=list(right),
        right_y_axis=cloudwatch.YAxisProps(label=right_label, min=0, show_units=False) if right else None,
    )
