"""The alarms, each on one metric: cheaper than metric math, and the embedded AWS has no other.

Where data is missing, nothing is wrong: a lane without work, a queue without messages and a function that nobody calls
publish none.
"""

from __future__ import annotations

import math

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from functions.core.batches.ringing import FEWEST_QUEUED, FIRST_JOBS
from functions.core.governing.alarms import Guardrail
from functions.core.governing.workers import LOWEST_PER_MINUTE
from functions.core.jobs.records import State
from infra.constructs.function import service_of
from infra.constructs.queue import WorkQueue
from infra.metrics import AVERAGE, MAXIMUM, MINUTE, SUM, Published

ERROR_RATE = 0.05
"""Share of a lane's calls that may fail by the provider's fault."""

COST_RATIO = 1.3
"""What a picture may cost, of what pictures cost in the hour before."""

OLDEST = Duration.minutes(30)
OLDEST_OF_LANE = Duration.minutes(math.ceil((FEWEST_QUEUED + FIRST_JOBS) / LOWEST_PER_MINUTE))
"""How long a message of a lane may wait: for all that a slow lane's queue holds, with the first jobs of one more batch,
at the rate below which the governor slows no lane.

A queue keeps no order, but SQS looks for the oldest message among those that were received less than three times, as
a worker that has no slot for a message soon has: where anybody works, the age stays below, and else it grows.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
"""

_FIVE_MINUTES = Duration.minutes(5)
_STREAM_BEHIND = Duration.minutes(5)


class Alarms(Construct):
    """Alarms named `<stack>-<what>-<of what>`; the governor and operators know them by these names."""

    def __init__(self, scope: Construct, construct_id: str, *, governed: sns.Topic, operator: sns.Topic) -> None:
        """Make none yet. `governed`: where those speak that the governor acts on; `operator`: where all others do."""
        super().__init__(scope, construct_id)
        self._governed = actions.SnsAction(governed)
        self._operator = actions.SnsAction(operator)
        self._published = Published(service_of(self))

    def watch_lane(self, model: str, *, seconds: int) -> None:
        """What the governor acts on: a lane's error rate in two periods of so many seconds, and its cost."""
        error_rate = self._alarm(
            f"{Guardrail.ERROR_RATE}-{model}",
            self._published.of_lane("ProviderFault", model, statistic=AVERAGE, period=Duration.seconds(seconds)),
            above=ERROR_RATE,
            periods=2,
            description=f"More than 5 % of the calls of the lane {model} fail by the provider's fault. "
            "Its workers are halved while this lasts, at their floor its rate; both climb back by themselves.",
        )
        cost = self._alarm(
            f"{Guardrail.COST}-{model}",
            self._published.of_lane("CostRatio", model, statistic=MAXIMUM, period=MINUTE),
            above=COST_RATIO,
            description=f"A picture of the lane {model} costs 30 % more than in the hour before. No files are taken "
            "in, and once the lanes' queues are worked off, some two minutes of work, batches that were wait as well. "
            "`imagebatch resume --intake` lets all go on; files wait for up to ten days.",
        )
        for alarm in (error_rate, cost):
            alarm.add_alarm_action(self._governed)
            alarm.add_ok_action(self._governed)

    def watch_money(self, model: str) -> None:
        """Pictures of a lane whose payment is in doubt, and those that were paid twice."""
        self._tell_operator(
            f"held-{model}",
            self._published.of_lane("Jobs", model, outcome=State.HELD.value, statistic=SUM, period=_FIVE_MINUTES),
            above=0,
            description=f"Jobs of the lane {model} are held: each may have been paid for, and nobody can say. "
            "`imagebatch held` shows them, and how to decide.",
        )
        self._tell_operator(
            f"paid-twice-{model}",
            self._published.of_lane("PaidTwice", model, statistic=SUM, period=_FIVE_MINUTES),
            above=0,
            description=f"A picture of the lane {model} was paid for a second time. The line payment_counted, in the "
            "log of its worker or of the completion function, names the job.",
        )

    def watch_queue(self, name: str, queue: WorkQueue, *, oldest: Duration = OLDEST) -> None:
        """Messages of a queue that wait for longer than `oldest`, and its dead letters."""
        self._tell_operator(
            f"oldest-{name}",
            queue.queue.metric_approximate_age_of_oldest_message(statistic=MAXIMUM, period=_FIVE_MINUTES),
            above=oldest.to_seconds(),
            description=f"A message of the queue '{name}' waits for more than {oldest.to_minutes():.0f} minutes: "
            "whoever works on it is paused, throttled or failing.",
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
