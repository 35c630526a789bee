"""The way in: uploads become messages, and messages become jobs."""

from __future__ import annotations

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.cfn import resource_of
from infra.constructs.function import Package, ServiceFunction
from infra.constructs.queue import WorkQueue

_TIMEOUT = Duration.seconds(120)
_MAX_RECEIVES = 5
_MAX_CONCURRENCY = 10

# While the intake is paused, which it may be until a person looks, an upload is nowhere but in its message. Ten days: a
# week's absence with both weekends. A message that fails after so long has four left of a dead letter's 14.
_RETENTION = Duration.days(10)


class Intake(Construct):
    """The intake queue and the splitter.

    Attributes:
        queue: uploads, scans, chunks and rings, for ten days, and their dead letters.
        splitter: the function that reads CSVs and rings the lanes.
        mapping: the event source mapping between them; disabling it pauses the intake, which loses nothing for as
            long as the queue keeps it.
    """

    def __init__(self, scope: Construct, construct_id: str, *, inbox: s3.Bucket, package: Package) -> None:
        """Make the intake of a bucket: every object created there becomes a message."""
        super().__init__(scope, construct_id)
        self.queue = WorkQueue(
            self, "Intake", consumer_timeout=_TIMEOUT, max_receives=_MAX_RECEIVES, retention=_RETENTION
        )
        self._notify(inbox)
        self.splitter = ServiceFunction(
            self,
            "Splitter",
            package=package,
            handler="functions.splitter.handler",
            memory_mb=512,
            timeout=_TIMEOUT,
            # A scan continues itself by a message, and a ring that waits sends itself again, both more than
            # the 16 times after which Lambda takes it for a runaway and drops the message. Each step moves a
            # byte offset or a row forward, or waits for a queue that drains.
            # https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        # One message each: a scan takes most of the time-out. A deploy that touches the mapping of a paused intake
        # enables it until the governor's next tick.
        self.mapping = self.splitter.consume(self.queue.queue, batch_size=1, max_concurrency=_MAX_CONCURRENCY)

    def _notify(self, inbox: s3.Bucket) -> None:
        queue = self.queue.queue
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="InboxNotifies",
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                # The bucket cannot be named here: it needs this policy before it exists.
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        # On the resource: the bucket's add_event_notification would deploy a Lambda of its own to say this.
        bucket = resource_of(inbox, s3.CfnBucket)
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(event="s3:ObjectCreated:*", queue=queue.queue_arn)
            ]
        )
        # S3 sends a test message when it is configured, and fails where it may not.
        bucket.node.add_dependency(queue.node.find_child("Policy"))
