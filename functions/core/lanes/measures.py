"""What lanes did, measured by the changes of their jobs, and the records of it that the lanes table keeps by minute.

A measure follows from one change alone, so it makes no difference how a stream is cut into invocations. The records are
for whoever watches over a lane or shows it, and looks at some minutes or at the hour before them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from functions.core.batches.counting import Change
from functions.core.errors import ErrorClass
from functions.core.jobs.records import Job, State
from functions.core.writes import AllOf, Write

KEPT_SECONDS = 3 * 3600
"""How long the record of a minute is kept."""

SMALL_PIXELS = 300_000
MEDIUM_PIXELS = 1_100_000

LATENCY_BOUNDS_MS = (
    *(125, 180, 250, 350, 500, 700, 1_000, 1_400, 2_000, 2_800, 4_000, 5_600, 8_000, 11_000, 16_000, 22_000, 32_000),
    *(45_000, 64_000, 90_000, 128_000, 180_000, 256_000, 360_000, 720_000, 1_800_000, 3_600_000),
)
"""Upper bounds of the latency histogram, up to the hour after which a call is given up. `latency_le_N` counts the
pictures above the bound before N and not above N: it is not cumulative. The last one has what took longer, too."""

_P95 = 0.95
_OUTCOMES = (State.SUCCESS, State.FAILED, State.HELD)

FEWEST_PICTURES = 20
"""Of so many pictures at least, what they cost is compared."""


class Size(StrEnum):
    """The size class of a picture, by its pixels: up to 0.3 million, up to 1.1 million, and above."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


def size_class(width: int, height: int) -> Size:
    """The class of a picture of so many pixels."""
    pixels = width * height
    if pixels <= SMALL_PIXELS:
        return Size.SMALL
    return Size.MEDIUM if pixels <= MEDIUM_PIXELS else Size.LARGE


@dataclass(slots=True)
class Measures:
    """What a lane did, value by value.

    `attempts` have ended, `faults` of them by a fault of the provider's; `refused` were turned away by its rate limit
    (429) and are no attempts. `ended`: jobs by outcome, success, failed or held. `tries`: of each job that succeeded or
    failed, in all, unless it was never tried. `costs_usd`: of each picture, and of each payment that was learnt of
    apart from one; `expected_usd`: of the pictures, by the catalog. `latencies_ms`: of the pictures, by size class.
    """

    attempts: int = 0
    faults: int = 0
    refused: int = 0
    ended: Counter[State] = field(default_factory=Counter)
    tries: list[int] = field(default_factory=list)
    costs_usd: list[Decimal] = field(default_factory=list)
    expected_usd: Decimal = Decimal(0)
    latencies_ms: dict[Size, list[int]] = field(default_factory=dict)


def measure(changes: Iterable[Change], expected: Callable[[Job], Decimal]) -> dict[str, Measures]:
    """What the lanes did, by model, as far as changes show it; `expected` is what a picture costs by the catalog.

    A call whose answer is lost is an attempt, and a fault. What is found out about it later is no other one, but for a
    picture that comes of it.
    """
    measured: dict[str, Measures] = defaultdict(Measures)
    for change in changes:
        if change.after is not None:
            _take_attempts(measured[change.after.model], change.before, change.after)
            _take_end(measured[change.after.model], change.before, change.after, expected)
    return {model: one for model, one in measured.items() if one != Measures()}


def _take_attempts(into: Measures, before: Job | None, after: Job) -> None:
    doubted = before is not None and before.error_class is ErrorClass.AMBIGUOUS
    if after.state is State.RUNNING and after.error_class is ErrorClass.AMBIGUOUS and not doubted:
        into.attempts += 1
        into.faults += 1
    if doubted:
        return  # the try that ends is the call whose answer was lost: the next one is announced without an error
    for name, count in after.tries.items():
        more = count - (before.tries.get(name, 0) if before else 0)
        if name == ErrorClass.RATE_LIMITED:
            into.refused += more
        else:
            into.attempts += more
            into.faults += more * ErrorClass(name).provider_fault


def _take_end(into: Measures, before: Job | None, after: Job, expected: Callable[[Job], Decimal]) -> None:
    ended = after.state in _OUTCOMES and (before is None or before.state is not after.state)
    pictured = ended and after.state is State.SUCCESS
    cost_usd = _cost(after) - (_cost(before) if before else 0)
    if pictured or cost_usd > 0:
        into.costs_usd.append(cost_usd)
    if ended:
        into.ended[after.state] += 1
        if after.state.ended and (tries := sum(after.tries.values()) + pictured):
            into.tries.append(tries)
    if pictured:
        into.attempts += 1
        into.expected_usd += expected(after)
        size = size_class(after.width or 0, after.height or 0)
        into.latencies_ms.setdefault(size, []).append(after.latency_ms or 0)


def _cost(job: Job) -> Decimal:
    return job.cost_usd or Decimal(0)


def record(measures: Measures, now_ms: int) -> Write:
    """Add what a lane did to the record of its minute. By the tracker; whatever is there."""
    latencies_ms = [one for of_size in measures.latencies_ms.values() for one in of_size]
    adds: dict[str, int | Decimal] = {
        "attempts": measures.attempts,
        "faults": measures.faults,
        "refused": measures.refused,
        "pictures": measures.ended[State.SUCCESS],
        "failed": measures.ended[State.FAILED],
        "held": measures.ended[State.HELD],
        "tries": sum(measures.tries),
        "cost_usd": sum(measures.costs_usd, Decimal(0)),
        "expected_usd": measures.expected_usd,
        "latency_ms": sum(latencies_ms),
        **Counter(_latency_counter(_bound(one)) for one in latencies_ms),
    }
    return Write(
        name="record",
        when=AllOf(()),
        sets={"expires_at": now_ms // 1000 + KEPT_SECONDS},
        adds={name: number for name, number in adds.items() if number},
    )


def _bound(latency_ms: int) -> int:
    return LATENCY_BOUNDS_MS[min(bisect_left(LATENCY_BOUNDS_MS, latency_ms), len(LATENCY_BOUNDS_MS) - 1)]


def _latency_counter(bound_ms: int) -> str:
    return f"latency_le_{bound_ms}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a lane did in one minute or in several.

    `tries` and `latency_ms` are sums over its jobs and its pictures; `latencies`: pictures by the upper bound of their
    latency, as in `LATENCY_BOUNDS_MS`. What has nothing to be worked out from is None.
    """

    attempts: int = 0
    faults: int = 0
    refused: int = 0
    pictures: int = 0
    failed: int = 0
    held: int = 0
    tries: int = 0
    cost_usd: Decimal = Decimal(0)
    expected_usd: Decimal = Decimal(0)
    latency_ms: int = 0
    latencies: Mapping[int, int] = field(default_factory=dict)

    @property
    def error_rate(self) -> float | None:
        """The share of the attempts that ended by a fault of the provider's, 0 to 1."""
        return self.faults / self.attempts if self.attempts else None

    @property
    def mean_ms(self) -> float | None:
        """From the paid call to the stored picture, on average."""
        return self.latency_ms / self.pictures if self.pictures else None

    @property
    def p95_ms(self) -> int | None:
        """The latency that 95 of 100 pictures do not exceed.

        Interpolated within the histogram's bucket, as Prometheus does
        (https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile).
        """
        rank = _P95 * sum(self.latencies.values())
        below, lower = 0, 0
        for bound in LATENCY_BOUNDS_MS:
            count = self.latencies.get(bound, 0)
            if count and below + count >= rank:
                return round(lower + (bound - lower) * (rank - below) / count)
            below, lower = below + count, bound
        return None

    @property
    def cost_per_picture(self) -> Decimal | None:
        """What a picture cost, in dollars, with all that was paid for none."""
        return self.cost_usd / self.pictures if self.pictures else None

    @property
    def cost_ratio(self) -> Decimal | None:
        """What was paid ÷ what the same pictures cost by the catalog."""
        return self.cost_usd / self.expected_usd if self.expected_usd else None


_COUNTS = ("attempts", "faults", "refused", "pictures", "failed", "held", "tries", "latency_ms")


def total(records: Iterable[Mapping[str, Any]]) -> Done:
    """What a lane did in all the minutes that there are records of."""
    sums: dict[str, Any] = defaultdict(int)
    for one in records:
        for name, number in one.items():
            if isinstance(number, (int, Decimal)):
                sums[name] += number
    return Done(
        **{name: int(sums[name]) for name in _COUNTS},
        cost_usd=Decimal(sums["cost_usd"]),
        expected_usd=Decimal(sums["expected_usd"]),
        latencies={
            bound: int(sums[counter]) for bound in LATENCY_BOUNDS_MS if (counter := _latency_counter(bound)) in sums
        },
    )
