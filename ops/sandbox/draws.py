"""Seeded chance: what happens to a request depends on what it asks for, never on the order of arrival.

Every draw hashes the behaviour's seed with the content of the request and its ordinal among equal ones, so
that a run with the same input misbehaves in the same way however its requests interleave.
"""

import hashlib
import random
from collections.abc import Sequence

_CONCENTRATION = 4.0  # of the beta distribution: one smooth hump around the mean


def uniform(*key: object) -> float:
    """A number in [0, 1) that is the same for the same key."""
    digest = hashlib.sha256("\x1f".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def pick(chances: Sequence[tuple[str, float]], *key: object) -> str | None:
    """At most one of the named events; each has exactly its own chance (together they are at most 1)."""
    point = uniform(*key)
    for name, chance in chances:
        if point < chance:
            return name
        point -= chance
    return None


def between(low: float, mean: float, high: float, *key: object) -> float:
    """A duration within [low, high] whose average over many keys is ``mean``: a scaled beta distribution."""
    if high <= low or mean <= low:
        return low
    if mean >= high:
        return high
    share = (mean - low) / (high - low)
    source = random.Random(uniform(*key))  # noqa: S311 - simulation, not cryptography
    return low + (high - low) * source.betavariate(_CONCENTRATION * share, _CONCENTRATION * (1 - share))
