"""SQS as the rules use it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from functions.adapters.sqs import SqsQueue, UndeliveredError
from ops.local.session import EmbeddedSession

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

pytestmark = pytest.mark.e2e


@pytest.fixture
def queue(embedded: EmbeddedSession) -> SqsQueue:
    client: SQSClient = embedded.client("sqs")
    return SqsQueue(client, client.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"])


def received(queue: SqsQueue) -> Iterator[Any]:
    while messages := queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10).get("Messages"):
        yield from messages


def test_every_message_arrives_once(queue: SqsQueue) -> None:
    queue.send([f"{n}" for n in range(57)])
    assert queue.depth() == 57
    assert sorted(int(message["Body"]) for message in received(queue)) == list(range(57))


def test_delayed_messages_count_and_wait(queue: SqsQueue) -> None:
    queue.send(["later"], delay_seconds=600)
    assert queue.depth() == 1
    assert list(received(queue)) == []


def test_sending_nothing_asks_for_nothing(queue: SqsQueue) -> None:
    queue.send([])
    assert queue.depth() == 0


def test_entries_that_were_refused_are_sent_again_and_the_others_are_not(queue: SqsQueue) -> None:
    real = queue.client.send_message_batch
    refused: list[str] = []

    def refuse_one_at_first(**request: Any) -> Any:
        if refused:
            return real(**request)
        refused.append(request["Entries"][0]["Id"])
        answer = real(QueueUrl=request["QueueUrl"], Entries=request["Entries"][1:])
        return {**answer, "Failed": [{"Id": refused[0], "Code": "ServiceUnavailable", "SenderFault": False}]}

    with patch.object(queue.client, "send_message_batch", refuse_one_at_first):
        queue.send(["a", "b", "c"])
    assert sorted(message["Body"] for message in received(queue)) == ["a", "b", "c"]


def test_a_queue_that_refuses_for_good_is_an_error(queue: SqsQueue) -> None:
    with (
        patch.object(queue.client, "send_message_batch", lambda **_: {"Successful": [], "Failed": []}),
        patch("tenacity.nap.time.sleep"),
        pytest.raises(UndeliveredError),
    ):
        queue.send(["a"])


def test_messages_reappear_when_their_visibility_says_so(queue: SqsQueue) -> None:
    queue.send(["a", "b"])
    receipts = {message["Body"]: message["ReceiptHandle"] for message in received(queue)}
    queue.change_visibility({receipts["a"]: 0, receipts["b"]: 600})
    assert [message["Body"] for message in received(queue)] == ["a"]
