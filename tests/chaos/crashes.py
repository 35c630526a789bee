"""A process is killed right after each single write to AWS, one batch for a few of them.

Which writes there are is found by two dry runs, one in which all goes well and one in which everything is tried that
goes wrong: so a write that is added to the functions is a crash point by itself.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from functions.core.catalog import Mode
from tests.chaos.judge import Verdict, judge, together
from tests.chaos.lanes import LANES
from tests.chaos.runs import (
    LATENCY,
    Live,
    Outcome,
    Run,
    Sent,
    beside,
    broken_invariants,
    carry_out,
    end,
    look,
    send,
    tick,
)
from tests.chaos.scenarios import Plan
from tests.chaos.stack import ChaosStack

MODES = [[name for name, lane in LANES.items() if lane.mode is mode] for mode in Mode]
"""Lanes whose workers make the same writes: each write is gone through on one of them."""

SHARED = ("splitter", "tracker", "reporter", "completion")

POINTS_PER_BATCH = 2
"""Of a lane's worker, and of the others. Workers: one less than what makes a job look as if it killed them."""

GOOD_ROWS, BAD_ROWS = 6, 18
_LONGEST_SECONDS = 100
_SIGN_OF_FAULTS = "jobs.doubt"
BAD = {
    "faults": {
        "submit_500_before": 0.12,
        "submit_drop_after": 0.12,
        "poll_500": 0.2,
        "task_failed": 0.15,
        "corrupt_picture": 0.2,
        "callback_lost": 0.25,
        "callback_late": 0.2,
        "callback_duplicate": 0.15,
        "callback_forged": 0.15,
    },
    "callback_late_seconds": 12.0,
}


@dataclass(frozen=True, order=True)
class Point:
    """A write of a function."""

    part: str
    name: str


def crash_points(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """Find the points, go through them; an outcome for each lane."""
    bad = {**BAD, "seed": plan.seed}
    seen = stack.passed()
    if not any(name == _SIGN_OF_FAULTS for _, name in seen):  # no other run with faults was before this one
        seen |= _passed(stack, Run(name="dry-bad", about="", lanes=dict.fromkeys(LANES, BAD_ROWS), behaviour=bad))
    good = _passed(stack, Run(name="dry-good", about="", lanes=dict.fromkeys(LANES, GOOD_ROWS)))
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for kind, found, behaviour in (("good", good, {}), ("bad", seen - good, bad)):
        stack.pipeline.behave(**{"latency_seconds": LATENCY, **behaviour})
        points = shared_out(spread(sorted(Point(*one) for one in found)))
        crashes = _on_all_lanes(stack, kind, points)
        evidence = look(stack, [crash.sent for crash in crashes])
        for crash in crashes:
            outcomes[crash.sent.lane].append(_outcome(crash, judge(evidence[crash.sent.batch_id])))
    return [_as_one(found) for found in outcomes.values()]


def spread(points: Sequence[Point]) -> list[Point]:
    """The points without those that a like lane has too, so that each of these lanes has about as many."""
    chosen = [point for point in points if point.part in SHARED]
    for lanes in MODES:
        parts = Counter({f"worker-{lane}": 0 for lane in lanes})
        for name in dict.fromkeys(point.name for point in points if point.part in parts):
            part = min((one for one in parts if Point(one, name) in points), key=lambda one: parts[one])
            parts[part] += 1
            chosen.append(Point(part, name))
    return chosen


def shared_out(points: Sequence[Point]) -> dict[str, tuple[list[Point], list[Point]]]:
    """By lane, the points of its workers, and those of the others, which go where there are least.

    Callbacks matter most where workers leave at once.
    """
    own = {lane: [point for point in points if point.part == f"worker-{lane}"] for lane in LANES}
    others: dict[str, list[Point]] = {lane: [] for lane in LANES}
    for point in points:
        if point.part in SHARED:
            fewest = min(LANES, key=lambda lane: len(others[lane]))
            others["callback" if point.part == "completion" else fewest].append(point)
    return {lane: (own[lane], others[lane]) for lane in LANES}


@dataclass(frozen=True)
class _Crash:
    """One batch, and what happened at the points that were armed for it. `ended`: in time."""

    kind: str
    sent: Sent
    fired: Mapping[Point, bool]
    ended: bool
    seconds: float


def _passed(stack: ChaosStack, run: Run) -> set[tuple[str, str]]:
    stack.forget_passed()
    carry_out(stack, run)
    return stack.passed()


def _on_all_lanes(stack: ChaosStack, kind: str, points: Mapping[str, tuple[list[Point], list[Point]]]) -> list[_Crash]:
    """Go through the lanes' points, all lanes at the same time."""
    with beside(Live(stack, {}), (tick,)), ThreadPoolExecutor(len(LANES)) as threads:
        crashes = threads.map(lambda lane: _go_through(stack, kind, lane, *points[lane]), LANES)
        return list(chain.from_iterable(crashes))


def _go_through(stack: ChaosStack, kind: str, lane: str, own: Sequence[Point], others: Sequence[Point]) -> list[_Crash]:
    """Go through a lane's points, batch after batch; once more through those that were not come to."""
    crashes: list[_Crash] = []
    for _ in range(2):
        for at in range(0, max(len(own), len(others)), POINTS_PER_BATCH):
            armed = [*own[at : at + POINTS_PER_BATCH], *others[at : at + POINTS_PER_BATCH]]
            crashes.append(_crash(stack, kind, f"crash-{kind}-{len(crashes)}", lane, armed))
        fired = {point for crash in crashes for point, happened in crash.fired.items() if happened}
        own, others = ([point for point in several if point not in fired] for several in (own, others))
    return crashes


def _crash(stack: ChaosStack, kind: str, name: str, lane: str, points: Sequence[Point]) -> _Crash:
    begin = time.monotonic()
    about = {point: f"{lane}-{name}-" if point.part in SHARED else "" for point in points}
    armed = {point: stack.arm(point.part, point.name, about[point]) for point in points}
    sent = send(stack, name, lane, BAD_ROWS if kind == "bad" else GOOD_ROWS)
    ended = end(stack, [sent], _LONGEST_SECONDS)
    for armed_name in armed.values():
        stack.disarm(armed_name)
    fired = {point: stack.fired(armed_name) is not None for point, armed_name in armed.items()}
    return _Crash(kind, sent, fired, ended, time.monotonic() - begin)


def _outcome(crash: _Crash, verdict: Verdict) -> Outcome:
    """The outcome of one batch, with what happened at each of its points."""
    sent = crash.sent
    notes = [
        {
            "part": point.part,
            "point": point.name,
            "with_faults": crash.kind == "bad",
            "fired": fired,
            "paid_per_unique": round(verdict.paid_per_unique, 4),
            "repays": verdict.repays,
            "rows_lost": verdict.lost_rows,
            "held": verdict.held,
            "failed": verdict.failed,
            "counters_right": not verdict.wrong_counters,
        }
        for point, fired in crash.fired.items()
    ]
    broken = broken_invariants(sent.lane, verdict)
    if not crash.ended:
        broken.append(f"no end within {_LONGEST_SECONDS} s")
    if crash.kind == "good" and verdict.failed:
        broken.append(f"{verdict.failed} jobs failed, and nothing did but a process")
    names = ", ".join(f"{point.part}:{point.name}" for point in crash.fired)
    return Outcome(
        run="crashes",
        about="a process killed after each single write to AWS, and after the provider's answer before it is written",
        lane=sent.lane,
        verdict=verdict,
        seconds=crash.seconds,
        counts={},
        injected={},
        notes=notes,
        broken=tuple(f"{sent.batch_id} ({names}): {what}" for what in broken),
    )


def _as_one(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcome of a lane."""
    points: dict[tuple[str, str], dict[str, Any]] = {}
    for point in (point for outcome in outcomes for point in outcome.notes):
        if not points.get((point["part"], point["point"]), {}).get("fired"):
            points[point["part"], point["point"]] = point
    fired = sum(point["fired"] for point in points.values())
    return replace(
        outcomes[0],
        verdict=together([outcome.verdict for outcome in outcomes]),
        seconds=sum(outcome.seconds for outcome in outcomes),
        counts={"kills": fired, "points": len(points), "fired": fired},
        notes=list(points.values()),
        broken=tuple(what for outcome in outcomes for what in outcome.broken),
    )
