"""SQS queues. Actions: SendMessage, GetQueueAttributes, ChangeMessageVisibility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.adapters.again import until_done

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_ENTRIES_PER_REQUEST = 10
_LONGEST_SECONDS = 12 * 3600


class UndeliveredError(Exception):
    """Raised when SQS went on refusing messages; those it took stay sent."""


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """One queue. Implements `functions.core.ports.Queue`."""

    client: SQSClient
    url: str

    def send(self, bodies: Sequence[str], *, delay_seconds: int = 0) -> None:
        """See `Queue.send`.

        Raises:
            UndeliveredError: when some were not taken after several attempts.
        """
        batches = [bodies[at : at + _ENTRIES_PER_REQUEST] for at in range(0, len(bodies), _ENTRIES_PER_REQUEST)]
        if len(batches) == 1:
            self._send(batches[0], delay_seconds)
            return
        with ThreadPoolExecutor(max_workers=8) as threads:
            list(threads.map(lambda batch: self._send(batch, delay_seconds), batches))

    def depth(self) -> int:
        """See `Queue.depth`."""
        answer = self.client.get_queue_attributes(
            QueueUrl=self.url,
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"],
        )
        return sum(int(count) for count in answer["Attributes"].values())

    def change_visibility(self, seconds_by_receipt: Mapping[str, int]) -> None:
        """Let received messages reappear after so many seconds from now, twelve hours at most.

        A receipt that is no longer valid is passed over: that message is somebody else's already.
        """
        receipts = list(seconds_by_receipt.items())
        for at in range(0, len(receipts), _ENTRIES_PER_REQUEST):
            self.client.change_message_visibility_batch(
                QueueUrl=self.url,
                Entries=[
                    {
                        "Id": str(index),
                        "ReceiptHandle": receipt,
                        "VisibilityTimeout": max(0, min(seconds, _LONGEST_SECONDS)),
                    }
                    for index, (receipt, seconds) in enumerate(receipts[at : at + _ENTRIES_PER_REQUEST])
                ],
            )

    def _send(self, bodies: Sequence[str], delay_seconds: int) -> None:
        remaining = dict(enumerate(bodies))

        def attempt() -> bool:
            answer = self.client.send_message_batch(
                QueueUrl=self.url,
                Entries=[
                    {"Id": str(index), "MessageBody": body, "DelaySeconds": delay_seconds}
                    for index, body in remaining.items()
                ],
            )
            for sent in answer.get("Successful", []):
                del remaining[int(sent["Id"])]
            return not remaining

        until_done(attempt, tries=6, otherwise=UndeliveredError("SQS went on refusing messages"))
