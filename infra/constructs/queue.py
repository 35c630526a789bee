"""Queues: encrypted, over TLS only, and none without a place for what cannot be worked on."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_sqs as sqs
from constructs import Construct

_SOURCE_RETENTION = Duration.days(4)
# The longest that SQS has. A dead letter keeps the timestamp of its first sending, so it must live longer there than in
# its source.
_DEAD_LETTER_RETENTION = Duration.days(14)

# AWS's advice for queues that feed a function, so that a throttled batch is not received twice meanwhile:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_VISIBILITY_TIMEOUTS = 6


def dead_letter_queue(scope: Construct, construct_id: str) -> sqs.Queue:
    """A queue for what failed for good, kept for 14 days."""
    return sqs.Queue(
        scope,
        construct_id,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=_DEAD_LETTER_RETENTION,
        removal_policy=RemovalPolicy.DESTROY,
    )


class WorkQueue(Construct):
    """A queue that a function consumes, and its dead-letter queue.

    Attributes:
        queue: the source queue; its messages stay invisible for six times the consumer's time-out.
        dead_letters: where a message goes that was received too often.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        consumer_timeout: Duration,
        max_receives: int,
        retention: Duration = _SOURCE_RETENTION,
    ) -> None:
        """Make both queues; a message is moved after `max_receives` receives, and lost after `retention`."""
        super().__init__(scope, construct_id)
        self.dead_letters = dead_letter_queue(self, "DeadLetters")
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=retention,
            visibility_timeout=Duration.seconds(_VISIBILITY_TIMEOUTS * int(consumer_timeout.to_seconds())),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=max_receives),
            removal_policy=RemovalPolicy.DESTROY,
        )
