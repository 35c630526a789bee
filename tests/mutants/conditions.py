"""The parts of a condition, by name, and a condition without one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from functions.core.writes import AllOf, AnyOf, Condition

_OF_LANES = (
    *("accepted_at", "arrival_us", "change", "cut_us", "found", "limit", "paused", "price_usd", "probe_s", "refused"),
    *("ring_chain", "rung_at", "sent", "step", "throttled", "tuned_us", "rate(?!_per_minute|_throttle)"),
)
_NUMBERED = re.compile(rf"^({'|'.join(_OF_LANES)}|until)_.+")
"""Attributes of which there is one for each lane, or each second."""

EVERYTHING = "its whole condition"


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """A write, and what of its condition is taken out: the attributes that the part looks at, or everything."""

    write: str
    part: str

    def __str__(self) -> str:
        return f"{self.write} without {self.part}"


def parts(condition: Condition) -> Iterator[tuple[str, Condition]]:
    """What a condition is the conjunction of."""
    if isinstance(condition, AllOf):
        for part in condition.parts:
            yield from parts(part)
    else:
        yield "+".join(attributes(condition)), condition


def attributes(condition: Condition) -> list[str]:
    """The attributes that a condition looks at, each once."""
    if isinstance(condition, (AllOf, AnyOf)):
        return list(dict.fromkeys(name for part in condition.parts for name in attributes(part)))
    return [_NUMBERED.sub(r"\1", condition.attribute)]


def without(condition: Condition, part: str) -> Condition:
    """The condition with a part taken out."""
    kept = () if part == EVERYTHING else tuple(one for name, one in parts(condition) if name != part)
    return AllOf(kept)


def mutants(write: str, condition: Condition) -> set[Mutant]:
    """All that can be taken out of a write's condition."""
    names = {name for name, _ in parts(condition)}
    return {Mutant(write, part) for part in (names if len(names) > 1 else set()) | {EVERYTHING}}
