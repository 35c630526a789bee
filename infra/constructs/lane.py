"""A lane: the queue, the dead-letter queue and the workers of one model."""

from __future__ import annotations

from aws_cdk import Duration
from constructs import Construct

from functions.core.catalog import Model
from infra.constructs.function import Package, ServiceFunction
from infra.constructs.queue import WorkQueue

_TIMEOUT = Duration.seconds(180)
_BATCH_SIZE = 10

# Every wait (for a rate slot, a lease, a backoff) is a receive, so this is as high as SQS allows: the real
# tries are counted in the jobs table, and native redrive is the backstop for messages that kill their worker.
_MAX_RECEIVES = 1000


class Lane(Construct):
    """One model's work.

    Attributes:
        queue: doorbells for jobs of the model, and its dead letters.
        worker: the function that makes the pictures.
        mapping: the event source mapping between them, whose MaximumConcurrency is the lane's throttle.
    """

    def __init__(self, scope: Construct, construct_id: str, *, model: Model, package: Package, reserve: bool) -> None:
        """Make the lane.

        Args:
            model: the catalog's entry; `workers` is the ceiling of parallel invocations.
            reserve: reserve that many, so that other functions cannot take them.
        """
        super().__init__(scope, construct_id)
        self.queue = WorkQueue(self, "Jobs", consumer_timeout=_TIMEOUT, max_receives=_MAX_RECEIVES)
        self.worker = ServiceFunction(
            self,
            "Worker",
            package=package,
            handler="functions.worker.handler",
            # Pillow decodes while ten pictures are in flight.
            memory_mb=1024,
            timeout=_TIMEOUT,
            reserved_concurrency=model.workers if reserve else None,
        )
        self.worker.environment(
            LANE=model.name,
            LANE_QUEUE_URL=self.queue.queue.queue_url,
            DEAD_LETTER_QUEUE_URL=self.queue.dead_letters.queue_url,
        )
        # The ceiling, under which the governor turns it. A deploy that touches the mapping sets it back to this until
        # the governor's next tick; for that minute the rate holds the lane, which no deploy resets.
        self.mapping = self.worker.consume(self.queue.queue, batch_size=_BATCH_SIZE, max_concurrency=model.workers)
