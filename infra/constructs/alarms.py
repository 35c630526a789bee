"""The alarms, each on one metric: cheaper than metric math, and the embedded AWS has no other.

Where data is missing, nothing is wrong: a lane without work, a queue without messages and a function that nobody calls
publish none.
"""

from __future__ import annotations

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.core.lanes.governing_alarms import Guardrail
from infra.constructs.queue import WorkQueue
from infra.metrics import AVERAGE, MAXIMUM, MINUTE, SUM, of_lane

ERROR_RATE = 0.05
"""Share of a lane's calls that may fail by the provider's fault."""

COST_RATIO = 1.3
"""What a picture may cost, of what pictures cost in the hour before."""

_FIVE_MINUTES = Duration.minutes(5)
_OLDEST = Duration.minutes(30)
_STREAM_BEHIND = Duration.minutes(5)


class Alarms(Construct):
    """Alarms named `<stack>-<what>-<of what>`; the governor and operators know them by these names."""

    def __init__(self, scope: Construct, construct_id: str, *, governed: sns.Topic, operator: sns.Topic) -> None:
        """Make none yet. `governed`: where those speak that the governor acts on; `operator`: where all others do."""
        super().__init__(scope, construct_id)
        self._governed = actions.SnsAction(governed)
        self._operator = actions.SnsAction(operator)

    def watch_lane(self, model: str, *, seconds: int) -> None:
        """What the governor acts on: a lane's error rate in two periods of so many seconds, and its cost."""
        error_rate = self._alarm(
            f"{Guardrail.ERROR_RATE}-{model}",
            of_lane("ProviderFault", model, statistic=AVERAGE, period=Duration.seconds(seconds)),
            above=ERROR_RATE,
            periods=2,
            description=f"More than 5 % of the calls of the lane {model} fail by the provider's fault. "
            "Its workers are halved while this lasts, at their floor its rate; both climb back by themselves.",
        )
        cost = self._alarm(
            f"{Guardrail.COST}-{model}",
            of_lane("CostRatio", model, statistic=MAXIMUM, period=MINUTE),
            above=COST_RATIO,
            description=f"A picture of the lane {model} costs 30 % more than in the hour before. No more files are "
            "taken in; those that are go on. `imagebatch resume --intake` takes files in again.",
        )
        for alarm in (error_rate, cost):
            alarm.add_alarm_action(self._governed)
            alarm.add_ok_action(self._governed)

    def watch_queue(self, name: str, queue: WorkQueue) -> None:
        """Messages of a queue that wait for too long, and its dead letters."""
        self._tell_operator(
            f"oldest-{name}",
            queue.queue.metric_approximate_age_of_oldest_message(statistic=MAXIMUM, period=_FIVE_MINUTES),
            above=_OLDEST.to_seconds(),
            description=f"A message of the queue '{name}' waits for more than 30 minutes: whoever works on it is "
            "paused, throttled or failing.",
        )
        self.watch_dead_letters(name, queue.dead_letters)

    def watch_dead_letters(self, name: str, queue: sqs.Queue) -> None:
        """Anything in a dead-letter queue."""
        self._tell_operator(
            f"dead-letters-{name}",
            queue.metric_approximate_number_of_messages_visible(statistic=MAXIMUM, period=MINUTE),
            above=0,
            description=f"Dead letters of '{name}': what could not be worked on lies in its dead-letter queue for 14 "
            "days.",
        )

    def watch_function(self, name: str, function: lambda_.Function) -> None:
        """Invocations of a function that ended in an error or were refused."""
        self._tell_operator(
            f"errors-{name}",
            function.metric_errors(statistic=SUM, period=_FIVE_MINUTES),
            above=0,
            description=f"The function '{name}' ended in an error or ran out of time; its log says why.",
        )
        self._tell_operator(
            f"throttles-{name}",
            function.metric_throttles(statistic=SUM, period=_FIVE_MINUTES),
            above=0,
            description=f"Lambda refused to run the function '{name}': its reserved concurrency, or the account's, is "
            "used up.",
        )

    def watch_stream(self, name: str, function: lambda_.Function) -> None:
        """A function that falls behind the stream that it follows."""
        behind = cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name="IteratorAge",
            dimensions_map={"FunctionName": function.function_name},
            statistic=MAXIMUM,
            period=_FIVE_MINUTES,
        )
        self._tell_operator(
            f"behind-{name}",
            behind,
            above=_STREAM_BEHIND.to_milliseconds(),
            description=f"The function '{name}' is more than 5 minutes behind the jobs table: progress and the lanes' "
            "figures are old.",
        )

    def _tell_operator(self, name: str, metric: cloudwatch.Metric, *, above: float, description: str) -> None:
        self._alarm(name, metric, above=above, description=description).add_alarm_action(self._operator)

    def _alarm(
        self, name: str, metric: cloudwatch.Metric, *, above: float, description: str, periods: int = 1
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{Stack.of(self).stack_name}-{name}",
            alarm_description=description,
            metric=metric,
            threshold=above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            datapoints_to_alarm=periods,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
