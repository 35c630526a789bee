"""Guardrails: alarms that speak to the governor, which throttles, and alarms that speak to a person."""

from __future__ import annotations

from aws_cdk import Aws, Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.constructs.function import Package, ServiceFunction
from infra.constructs.queue import dead_letter_queue
from infra.nag import acknowledge

_CLOUDWATCH = "cloudwatch.amazonaws.com"

# A tick, and notifications of a few lanes at once. Apart from the account's pool, since the governor is needed most
# when workers have taken all of that.
_CONCURRENCY = 5

# After it a notification goes to the dead letters, and a tick that came late would be one of many at once.
_LONGEST_WAIT = Duration.minutes(5)
_RETRIES = 2

# Of a topic: whom its mails come from.
_LONGEST_NAME = 100


class Guardrails(Construct):
    """The governor, what wakes it, and the topics of alarms.

    Attributes:
        alarms: topic of the alarms that the governor acts on.
        operator: topic of what needs a person; by e-mail if an address was given.
        governor: the function that throttles lanes, lets them climb back and pauses the intake.
        failures: notifications and ticks that did not reach the governor or that it could not work on.
        key: encrypts what is on its way through the topics.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, package: Package, reserve: bool, operator_email: str | None
    ) -> None:
        """Make them; `reserve` sets the governor's share of the account's concurrency apart."""
        super().__init__(scope, construct_id)
        self.key = self._key()
        self.alarms = self._topic("Alarms")
        self.operator = self._topic("Operator")
        if operator_email is not None:
            self.operator.add_subscription(subscriptions.EmailSubscription(operator_email))
        self.failures = dead_letter_queue(self, "GovernorFailures")
        acknowledge(self.failures, "SQS3", "It is itself where notifications go that the governor did not take.")
        self.governor = ServiceFunction(
            self,
            "Governor",
            package=package,
            handler="functions.governor.handler",
            memory_mb=512,
            timeout=Duration.seconds(60),
            reserved_concurrency=_CONCURRENCY if reserve else None,
        )
        self._bound_retries()
        # For what SNS cannot hand over. What the governor fails at is `_bound_retries`'.
        self.alarms.add_subscription(
            subscriptions.LambdaSubscription(self.governor.function, dead_letter_queue=self.failures)
        )
        self._tick()

    def _key(self) -> kms.Key:
        # The key that AWS keeps for SNS admits no CloudWatch, and an alarm that may not use the topic's key is silent:
        # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services
        key = kms.Key(
            self,
            "Key",
            description=f"Alarms of {Stack.of(self).stack_name} on their way through SNS",
            enable_key_rotation=True,
            # It encrypts what is delivered within minutes.
            removal_policy=RemovalPolicy.DESTROY,
            pending_window=Duration.days(7),
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsPublish",
                principals=[iam.ServicePrincipal(_CLOUDWATCH)],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        return key

    def _topic(self, construct_id: str) -> sns.Topic:
        stack = Stack.of(self).stack_name
        topic = sns.Topic(self, construct_id, display_name=stack[:_LONGEST_NAME], master_key=self.key, enforce_ssl=True)
        # A topic with a policy of its own has lost the one by which the account's alarms may publish.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AlarmsPublish",
                principals=[iam.ServicePrincipal(_CLOUDWATCH)],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                    "ArnLike": {"aws:SourceArn": self._alarm_arn(f"{stack}-*")},
                },
            )
        )
        return topic

    def _bound_retries(self) -> None:
        self.governor.allow("sqs:SendMessage", on=[self.failures.queue_arn])
        # Not configure_async_invoke(on_failure=…), which grants more than sending.
        lambda_.CfnEventInvokeConfig(
            self,
            "GovernorRetries",
            function_name=self.governor.function.function_name,
            qualifier="$LATEST",
            maximum_event_age_in_seconds=int(_LONGEST_WAIT.to_seconds()),
            maximum_retry_attempts=_RETRIES,
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.failures.queue_arn)
            ),
        )

    def _tick(self) -> None:
        target = targets.LambdaFunction(
            self.governor.function,
            event=events.RuleTargetInput.from_object({"kind": "tick"}),
            # The next one does as well.
            max_event_age=Duration.minutes(1),
        )
        events.Rule(
            self,
            "Tick",
            description="Lets the governor look after the lanes' pace",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[target],
        )

    def allow_alarm_states(self) -> None:
        """Let the governor see which alarms stand."""
        # The action knows no narrower resource than all of the account's metric alarms.
        every_alarm = self._alarm_arn("*")
        self.governor.allow("cloudwatch:DescribeAlarms", on=[every_alarm])
        acknowledge(
            self.governor.role,
            "IAM5[Resource::arn:<AWS::Partition>:cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:*]",
            "Reading alarms by name is checked against all of the account's alarms, and changes nothing.",
        )

    def allow_operator_notices(self) -> None:
        """Let the governor speak to the operator, through the encrypted topic."""
        self.governor.allow("sns:Publish", on=[self.operator.topic_arn])
        self.governor.allow("kms:Decrypt", "kms:GenerateDataKey", on=[self.key.key_arn])

    def _alarm_arn(self, name: str) -> str:
        return f"arn:{Aws.PARTITION}:cloudwatch:{Aws.REGION}:{Aws.ACCOUNT_ID}:alarm:{name}"
