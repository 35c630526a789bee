"""What the provider's ledger tells of a pace: calls taken and calls refused (429), second by second.

The sandbox enforces its limit as the real provider does, in fixed minutes of the clock; so shares of the limit are
those of such minutes. Only minutes count at whose end work still waited: nobody can use a limit without work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx

MINUTE = 60.0
RAMP_SECONDS = 10.0
"""From the first call to the first minute that counts, at least."""

REACHED = 0.95
"""The share of an unknown limit at which it counts as found."""

SETTLED_429S = 0.05
SETTLED_OVER = 1.05
"""A lane has settled when less than this share of its calls is refused, and it makes no more of them than this
multiple of the limit."""

WINDOW_SECONDS = 10.0

_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The ledger's counts since it was cleared: calls taken and calls refused with 429. `at`: epoch seconds."""

    at: float
    accepted: int
    refused: int

    @property
    def calls(self) -> int:
        """All of them."""
        return self.accepted + self.refused


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of the clock. `begin`: epoch seconds."""

    begin: float
    accepted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Settling:
    """After a limit fell: seconds until the lane had settled, from the fall and from the first 429 after it (None: not
    within what was watched), and the calls and 429s until then and after."""

    seconds: float | None
    seconds_from_429: float | None
    until: Sample
    after: Sample


class Provider:
    """The sandbox, as the benchmark sees it: what it enforces, and its ledger."""

    def __init__(self, url: str) -> None:
        self.url = url

    def enforce(self, limit: int | None, latency: Mapping[str, float], concurrency: int) -> None:
        """From now on: so many pictures in a minute (None: any number), so long for each, and so many at a time."""
        plan = {"images_per_minute": limit, "concurrency": concurrency}
        behaviour = {"plan": plan, "latency_seconds": dict(latency)}
        httpx.put(f"{self.url}/_sandbox/behaviour", json=behaviour, trust_env=False).raise_for_status()

    def sample(self) -> Sample:
        """The counts now."""
        summary = self.summary()
        return Sample(time.time(), summary["accepted"], summary["rejected_429"])

    def samples(self, every_seconds: float = 1.0) -> Iterator[Sample]:
        """The counts at each full second of the clock, so that minutes begin with one."""
        while True:
            time.sleep(every_seconds - time.time() % every_seconds)
            yield self.sample()

    def summary(self) -> dict[str, Any]:
        """The ledger's sums."""
        return dict(self._ledger("?charges=false")["summary"])

    def charges(self) -> list[dict[str, Any]]:
        """Every paid call."""
        return list(self._ledger("")["charges"])

    def _ledger(self, query: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/_sandbox/ledger{query}", trust_env=False, timeout=_TIMEOUT_SECONDS)
        return dict(answer.raise_for_status().json())


def began_at(samples: Sequence[Sample]) -> float | None:
    """When the first call was seen."""
    return next((sample.at for sample in samples if sample.calls), None)


def full_minutes(samples: Sequence[Sample], work: int) -> tuple[Minute, ...]:
    """The minutes of the clock that were watched whole, from RAMP_SECONDS after the first call.

    Args:
        samples: in the order of time.
        work: calls that there is work for; minutes that end when it is used up are left out.
    """
    began = began_at(samples)
    if began is None:
        return ()
    first = -(-(began + RAMP_SECONDS) // MINUTE) * MINUTE
    bounds: list[Sample] = []
    for sample in samples:
        if sample.at >= first + len(bounds) * MINUTE:
            bounds.append(sample)
    return tuple(
        Minute(first + number * MINUTE, end.accepted - begin.accepted, end.refused - begin.refused)
        for number, (begin, end) in enumerate(pairwise(bounds))
        if end.accepted < work
    )


def exact(minutes: Sequence[Minute], summary: Mapping[str, Any]) -> tuple[Minute, ...]:
    """The same minutes with the provider's own count of what it took, which no sample's delay blurs."""
    counted = {
        datetime.fromisoformat(text).timestamp(): images for text, images in summary["images_per_minute"].items()
    }
    return tuple(Minute(one.begin, counted.get(one.begin, 0), one.refused) for one in minutes)


def share(minutes: Sequence[Minute], limit: int) -> float:
    """Used ÷ allowed."""
    return sum(one.accepted for one in minutes) / (limit * len(minutes)) if minutes else 0.0


def refused_share(minutes: Sequence[Minute]) -> float:
    """429s ÷ calls."""
    refused = sum(one.refused for one in minutes)
    return refused / max(1, refused + sum(one.accepted for one in minutes))


def reached_after(samples: Sequence[Sample], limit: int) -> float | None:
    """Seconds from the first call to the end of the first 60 of which REACHED of the limit was used; None: never."""
    began = began_at(samples)
    if began is None:
        return None
    ends = (end.at for begin, end in _windows(samples, MINUTE) if end.accepted - begin.accepted >= REACHED * limit)
    return next((end - began for end in ends), None)


def reached_in_a_clocks_minute_after(samples: Sequence[Sample], limit: int) -> float | None:
    """The same for a full minute of the clock, which ends up to a minute later."""
    began, minutes = began_at(samples), full_minutes(samples, samples[-1].accepted + 1)
    ends = (minute.begin + MINUTE for minute in minutes if minute.accepted >= REACHED * limit)
    return None if began is None else next((end - began for end in ends), None)


def settling(samples: Sequence[Sample], fell_at: float, limit: int) -> Settling:
    """How the calls came down to a limit that fell.

    Settled is the first moment from which on 10 s have less than SETTLED_429S refused, and so has the minute from then
    on, in which no more than SETTLED_OVER of the limit is called for. A minute that begins before there was anything
    to learn from is none of these: it has the refusals in it.
    """
    after = [sample for sample in samples if sample.at >= fell_at]
    first_refusal = next((sample.at for sample in after if sample.refused > after[0].refused), None)
    short = {begin.at: end for begin, end in _windows(after, WINDOW_SECONDS)}
    for begin, end in _windows(after, MINUTE):
        calm = _refused_between(begin, short[begin.at]) < SETTLED_429S and _refused_between(begin, end) < SETTLED_429S
        if calm and end.calls - begin.calls <= SETTLED_OVER * limit:
            late = max(0.0, begin.at - first_refusal) if first_refusal else 0.0
            return Settling(begin.at - fell_at, late, between(after[0], begin), between(begin, after[-1]))
    return Settling(None, None, between(after[0], after[-1]), Sample(after[-1].at, 0, 0))


def between(begin: Sample, end: Sample) -> Sample:
    """What was counted from the one to the other."""
    return Sample(end.at, end.accepted - begin.accepted, end.refused - begin.refused)


def _refused_between(begin: Sample, end: Sample) -> float:
    return (end.refused - begin.refused) / max(1, end.calls - begin.calls)


def _windows(samples: Sequence[Sample], seconds: float) -> Iterator[tuple[Sample, Sample]]:
    """Each sample with the first one that is so many seconds later (half a second of delay is none)."""
    last = 0
    for first in samples:
        while last < len(samples) and samples[last].at < first.at + seconds - 0.5:
            last += 1
        if last == len(samples):
            return
        yield first, samples[last]
