"""Messages to the operator, by an SNS topic. Action: Publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class OperatorTopic:
    """The operator's topic. Implements `functions.core.governing.ports.Operator`."""

    client: Any
    arn: str

    def tell(self, subject: str, text: str) -> None:
        """See `Operator.tell`."""
        self.client.publish(TopicArn=self.arn, Subject=subject, Message=text)
