"""Counting and closing: the tracker follows the jobs' changes, the reporter closes batches."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.cfn import resource_of
from infra.constructs.function import Package, ServiceFunction
from infra.constructs.queue import WorkQueue, dead_letter_queue
from infra.nag import acknowledge

_REPORTER_TIMEOUT = Duration.seconds(600)
_MAX_RECEIVES = 5
_MAX_CONCURRENCY = 2

_STREAM_BATCH_SIZE = 100
_STREAM_WINDOW = Duration.seconds(1)
_STREAM_RETRIES = 10


class Reporting(Construct):
    """The tracker on the jobs table's stream, and the reporter on a queue that also gets a tick each minute.

    Attributes:
        queue: ticks and batches to close, and their dead letters.
        tracker: the function that adds changes of jobs to their batches' counters.
        reporter: the function that recounts a batch, closes it and writes its results.
        failures: where the stream mapping sends what the tracker could not count.
    """

    def __init__(self, scope: Construct, construct_id: str, *, jobs: dynamodb.Table, package: Package) -> None:
        """Make both functions; `jobs` is the table with the stream."""
        super().__init__(scope, construct_id)
        self.queue = WorkQueue(self, "Reports", consumer_timeout=_REPORTER_TIMEOUT, max_receives=_MAX_RECEIVES)
        self.reporter = ServiceFunction(
            self,
            "Reporter",
            package=package,
            handler="functions.reporter.handler",
            memory_mb=1024,
            timeout=_REPORTER_TIMEOUT,
            # A recount that was asked for while another one had the batch is sent again, and may be more than the 16
            # times after which Lambda takes it for a runaway and drops the message. Each follows a recount that ended.
            # https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
            recursive_loop=lambda_.RecursiveLoop.ALLOW,
        )
        self.reporter.consume(self.queue.queue, batch_size=1, max_concurrency=_MAX_CONCURRENCY)
        tick = events.RuleTargetInput.from_object({"kind": "tick"})
        events.Rule(
            self,
            "Tick",
            description="Lets the reporter look for batches that are due or have gone silent",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[targets.SqsQueue(self.queue.queue, message=tick)],
        )
        self.tracker = ServiceFunction(
            self,
            "Tracker",
            package=package,
            handler="functions.tracker.handler",
            memory_mb=256,
            timeout=Duration.seconds(30),
        )
        self._follow(jobs)

    def _follow(self, jobs: dynamodb.Table) -> None:
        stream = jobs.table_stream_arn
        if stream is None:
            raise ValueError("the jobs table has no stream to follow")
        self.failures = failures = dead_letter_queue(self, "TrackerFailures")
        acknowledge(failures, "SQS3", "It is itself where the stream mapping sends what the tracker could not count.")
        self.tracker.allow(
            "dynamodb:DescribeStream",
            "dynamodb:GetRecords",
            "dynamodb:GetShardIterator",
            "dynamodb:ListStreams",
            on=[stream],
        )
        self.tracker.allow("sqs:SendMessage", on=[failures.queue_arn])
        mapping = lambda_.EventSourceMapping(
            self.tracker,
            "Mapping",
            target=self.tracker.function,
            event_source_arn=stream,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=_STREAM_BATCH_SIZE,
            max_batching_window=_STREAM_WINDOW,
            bisect_batch_on_error=True,
            # Bounded, so that one bad record does not stop the counters: the recount at the close is exact.
            retry_attempts=_STREAM_RETRIES,
        )
        # Not on_failure=SqsDlq(…), which grants more than sending.
        resource = resource_of(mapping, lambda_.CfnEventSourceMapping)
        resource.destination_config = lambda_.CfnEventSourceMapping.DestinationConfigProperty(
            on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=failures.queue_arn)
        )
