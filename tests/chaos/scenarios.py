"""The runs in which the provider misbehaves, workers are killed, and messages come twice and in no order.

Rates of faults are per submit, poll, task or picture, as the sandbox draws them; see `ops.sandbox.behaviour`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.chaos.hooks import behave_later, double_the_stream, kill_at_random, ring_again
from tests.chaos.runs import Outcome, Run, carry_out
from tests.chaos.stack import ChaosStack

MOST_FAILED = 0.015
"""The share of jobs that may fail under transient faults (R14)."""

TRANSIENT = {
    "submit_429": 0.006,
    "submit_500_before": 0.006,
    "poll_500": 0.006,
    "task_failed": 0.006,
    "corrupt_picture": 0.006,
}
LOST_ANSWERS = {"submit_timeout_after": 0.007, "submit_drop_after": 0.007, "submit_500_after": 0.006}
LOST_CALLBACKS = {
    "callback_lost": 0.02,
    "callback_late": 0.05,
    "callback_duplicate": 0.1,
    "callback_forged": 0.1,
}
LATE_SECONDS = 12.0
"""Longer than a lane in callback mode has patience."""

OUTAGE_SECONDS = 120.0
STORM_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """What was asked for. `rows`: of the largest run; `quick`: a shorter outage too."""

    seed: int
    rows: int
    quick: bool

    def some(self, rows: int) -> int:
        """So many rows, or fewer where it has to be quick."""
        return max(20, rows * self.rows // 1200)


def faults(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """1,200 rows, 3 % transient faults, kills: how many fail?"""
    run = Run(
        name="faults",
        about="3 % transient faults, kills",
        lanes={"callback-inline": plan.rows},
        behaviour={"faults": TRANSIENT, "seed": plan.seed},
        hooks=[kill_at_random(plan.seed, every_seconds=6, most=10)],
    )
    (outcome,) = carry_out(stack, run)
    failed = outcome.verdict.failure_rate
    if failed < MOST_FAILED:
        return [outcome]
    return [replace(outcome, broken=(*outcome.broken, f"{failed:.1%} of the jobs failed"))]


def polling(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """2 % lost answers without callbacks, kills: held, or repaid."""
    return carry_out(stack, _lost_answers(plan, "polling", "2 % lost answers, kills", ("poll", "poll-repay"), {}))


def callbacks(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """The same with callbacks, some of which are lost, late, doubled or forged."""
    about = "2 % lost answers; callbacks: 2 % lost, 5 % late, 10 % doubled, 10 % forged; kills"
    run = _lost_answers(plan, "callbacks", about, ("callback", "callback-inline"), LOST_CALLBACKS)
    return carry_out(stack, run)


def _lost_answers(plan: Plan, name: str, about: str, lanes: Sequence[str], faults: Mapping[str, float]) -> Run:
    """Lost answers and other faults on these lanes while processes are killed."""
    return Run(
        name=name,
        about=about,
        lanes=dict.fromkeys(lanes, plan.some(500)),
        behaviour={
            "faults": {**LOST_ANSWERS, **faults},
            "callback_late_seconds": LATE_SECONDS,
            "seed": plan.seed,
        },
        hooks=[kill_at_random(plan.seed + 1, every_seconds=7, most=6)],
    )


def errors(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """500 before acceptance, and pictures that are broken when they are downloaded first."""
    run = Run(
        name="errors",
        about="500 before acceptance 5 %, corrupt pictures 20 %",
        lanes={"poll": plan.some(150), "sync": plan.some(150)},
        behaviour={"faults": {"submit_500_before": 0.05, "corrupt_picture": 0.2}, "seed": plan.seed},
    )
    return carry_out(stack, run)


def outage(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """Nothing answers for two minutes; after that every third submit is too many for a while."""
    seconds = OUTAGE_SECONDS / 4 if plan.quick else OUTAGE_SECONDS
    storm = {"faults": {"submit_429": 0.3}, "seed": plan.seed}
    run = Run(
        name="outage",
        about=f"outage of {seconds:.0f} s, then 30 % 429 for {STORM_SECONDS:.0f} s",
        lanes={"callback-inline": plan.some(150), "poll": plan.some(150)},
        behaviour=storm,
        hooks=[
            behave_later(
                (1.0, {"outage_until": time.time() + 1.0 + seconds, **storm}),
                (seconds + STORM_SECONDS, {}),
            )
        ],
        seconds=seconds + 180,
    )
    return carry_out(stack, run)


def doubled(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """Every message twice more, every stream record two or three times, in no order."""
    run = Run(
        name="doubled",
        about="every message and stream record twice or three times, in no order",
        lanes={"callback": plan.some(150), "poll": plan.some(150)},
        hooks=[ring_again(plan.seed, times=2, every_seconds=4), double_the_stream],
    )
    return carry_out(stack, run)


Scenario = Callable[[ChaosStack, Plan], Sequence[Outcome]]
