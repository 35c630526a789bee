"""Event source mappings: what feeds a function from its queue. Actions: Get- and UpdateEventSourceMapping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functions.core.governing.ports import Feed

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_ON = frozenset({"Enabled", "Enabling"})
_CHANGING = frozenset({"Creating", "Updating", "Deleting"})


@dataclass(frozen=True, slots=True)
class EventSourceMappings:
    """Mappings of SQS queues. Implements `functions.core.governing.ports.Mappings`."""

    client: LambdaClient

    def look(self, mapping: str) -> Feed:
        """See `Mappings.look`."""
        found = self.client.get_event_source_mapping(UUID=mapping)
        state = found["State"]
        return Feed(
            enabled=state in _ON,
            workers=found.get("ScalingConfig", {}).get("MaximumConcurrency"),
            changing=state in _CHANGING,
        )

    def change(self, mapping: str, *, enabled: bool, workers: int | None = None) -> bool:
        """See `Mappings.change`. What is not said stays as it is."""
        wanted: dict[str, Any] = {"Enabled": enabled}
        if workers is not None:
            wanted["ScalingConfig"] = {"MaximumConcurrency": workers}
        exceptions = self.client.exceptions
        try:
            self.client.update_event_source_mapping(UUID=mapping, **wanted)
        except (exceptions.ResourceConflictException, exceptions.ResourceInUseException):
            return False
        return True
