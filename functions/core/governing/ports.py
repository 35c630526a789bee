"""What the governor needs from the world, beside the ports that all share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from functions.core.ports import RecordStore


class LaneTable(RecordStore, Protocol):
    """The lanes table."""

    def get_many(self, keys: Sequence[str], *, consistent: bool) -> Mapping[str, Mapping[str, Any]]:
        """Read records by name; names that are not there are left out."""


@dataclass(frozen=True, slots=True)
class Feed:
    """An event source mapping as it is.

    workers: the most invocations at a time that it feeds (MaximumConcurrency), None without a limit of its own.
    changing: it is being changed, and refuses another change.
    """

    enabled: bool
    workers: int | None
    changing: bool = False


class Mappings(Protocol):
    """The event source mappings, by their ids."""

    def look(self, mapping: str) -> Feed:
        """A mapping as it is."""

    def change(self, mapping: str, *, enabled: bool, workers: int | None = None) -> bool:
        """Change a mapping; its workers stay where None. False if another change is under way: later, then."""


class Alarms(Protocol):
    """The alarms of the stack."""

    def standing(self, names: Sequence[str]) -> frozenset[str]:
        """Those of these alarms that are in alarm."""


class Operator(Protocol):
    """Whoever runs the stack."""

    def tell(self, subject: str, text: str) -> None:
        """Send a message. The subject is one line of at most 99 ASCII characters."""


class Gauges(Protocol):
    """Metrics of where a lane stands."""

    def __call__(self, model: str, **values: Any) -> None:
        """Publish values by the name of their metric; what is None is left out."""
