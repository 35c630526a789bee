"""What `python -m bench.pace` measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.pace_ledger import (
    Minute,
    Sample,
    Settling,
    began_at,
    between,
    reached_after,
    reached_in_a_clocks_minute_after,
    refused_share,
    settling,
    share,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """One run at one limit. `minutes`: the full ones of the clock; the rest is of the whole run.

    `paid`: calls; `twice`: those of them for a prompt that was paid for before; `load`: the machine's, of the last
    minute.
    """

    who: str
    told: bool
    limit: int
    workers: int | None
    minutes: tuple[Minute, ...]
    paid: int
    twice: int
    usd: float
    pictures: int
    refused: int
    load: float

    @property
    def share(self) -> float:
        """Used ÷ allowed."""
        return share(self.minutes, self.limit)

    @property
    def refused_share(self) -> float:
        """429s ÷ calls, in the same minutes."""
        return refused_share(self.minutes)

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self) | {"share": round(self.share, 4), "refused_share": round(self.refused_share, 5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """An unknown limit: seconds until REACHED of it was used in 60, and in a full minute of the clock; 429s and calls
    until the first and from then on; and what followed when it was halved."""

    limit: int
    reached_seconds: float | None
    reached_minute_seconds: float | None
    climbing: Sample
    holding: Sample
    halved: Settling


@dataclass(slots=True)
class Figures:
    """What was measured so far.

    `ceilings`: calls a minute without a limit, by workers; `lowered`: the limit enforced, by the one asked for that
    this machine cannot be held to; `failed`: why, by run.
    """

    paced: list[Paced] = field(default_factory=list)
    ceilings: dict[int, float] = field(default_factory=dict)
    lowered: dict[int, int] = field(default_factory=dict)
    tuned: list[Tuned] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def tuned(before: Sequence[Sample], after: Sequence[Sample], limit: int) -> Tuned:
    """The figures of a search, and of the fall after its last sample."""
    reached, began = reached_after(before, limit), began_at(before)
    found = next((one for one in before if reached is not None and began and one.at >= began + reached), before[-1])
    return Tuned(
        limit=limit,
        reached_seconds=reached,
        reached_minute_seconds=reached_in_a_clocks_minute_after(before, limit),
        climbing=between(before[0], found),
        holding=between(found, before[-1]),
        halved=settling(after, before[-1].at, limit // 2),
    )
