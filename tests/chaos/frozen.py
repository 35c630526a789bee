"""Workers that are stopped between the write that announces a paid call and the call itself (SIGSTOP).

Fencing does not reach the provider, so the call leaves within 5 s of its announcement or not at all. A worker that
wakes up later withdraws it if the job is still its own; where another worker has taken the job, it leaves everything
to that one.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import Any

from functions.adapters.attribute_values import from_item
from tests.chaos.runs import Hook, Live, Outcome, Run, carry_out
from tests.chaos.scenarios import Plan
from tests.chaos.stack import LEASE_SECONDS, ChaosStack, Fired
from tests.e2e.processes import is_stopped, signalled

LONG_LEASE_SECONDS = 20
ROWS = 3
_WAIT_SECONDS = 60.0
_AWAKE_SECONDS = 1.5
"""How long a worker that wakes up is watched: a withdrawn job is submitted no sooner than two seconds later."""


@dataclass(frozen=True)
class Freeze:
    """For how long a worker is stopped, and the lease that its lane has meanwhile, in seconds."""

    lane: str
    seconds: int
    lease_seconds: int

    @property
    def outlives_lease(self) -> bool:
        """Whether another worker takes the job meanwhile."""
        return self.seconds > self.lease_seconds


FREEZES = (
    Freeze("poll", 7, LONG_LEASE_SECONDS),
    Freeze("callback", 7, LONG_LEASE_SECONDS),
    Freeze("poll-repay", 10, LEASE_SECONDS),
    Freeze("callback-inline", 10, LEASE_SECONDS),
)


def frozen_workers(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """Stop one worker of each lane right after `claim_to_submit`."""
    for freeze in FREEZES:
        stack.set_environment(f"worker-{freeze.lane}", LEASE_SECONDS=str(freeze.lease_seconds))
    armed = {freeze: stack.arm(f"worker-{freeze.lane}", "jobs.claim_to_submit", "", "stop") for freeze in FREEZES}
    run = Run(
        name="frozen",
        about="a worker stopped between announcement and call: 7 s, and longer than its lease",
        lanes={freeze.lane: ROWS for freeze in FREEZES},
        hooks=[_stop(freeze, armed[freeze]) for freeze in FREEZES],
    )
    try:
        return carry_out(stack, run)
    finally:
        for freeze in FREEZES:
            stack.disarm(armed[freeze])
            stack.set_environment(f"worker-{freeze.lane}")


def _stop(freeze: Freeze, armed: str) -> Hook:
    """See one worker stop, and let it go on after its time."""

    def hook(live: Live) -> None:
        fired = live.stack.pipeline.wait_for(
            lambda: _stopped(live.stack, armed), lambda: f"a worker of {freeze.lane} to stop", _WAIT_SECONDS
        )
        (job_id,) = fired.jobs
        time.sleep(max(0.0, fired.at + freeze.seconds - time.time()))  # for so long it is to be stopped
        taken_over = _record(live, job_id)["attempt_count"] > 1
        before = live.stack.pipeline.charges()[job_id]
        signalled(fired.pid, signal.SIGCONT)
        time.sleep(_AWAKE_SECONDS)  # a payment is what must not happen, so there is nothing to wait for
        after, record = live.stack.pipeline.charges()[job_id], _record(live, job_id)
        live.notes[freeze.lane] = {
            "stopped_seconds": freeze.seconds,
            "lease_seconds": freeze.lease_seconds,
            "taken_over_meanwhile": taken_over,
            "paid_before_it_woke": before,
            f"paid_within_{_AWAKE_SECONDS}_s_after": after - before,
        }
        if after > before and record["call_attempt"] == 1:
            live.troubles.append(f"the stopped worker of {freeze.lane} paid when it woke")
        if taken_over != freeze.outlives_lease:
            live.troubles.append(f"the job of {freeze.lane} was{'' if taken_over else ' not'} taken over meanwhile")

    return hook


def _stopped(stack: ChaosStack, armed: str) -> Fired | None:
    fired = stack.fired(armed)
    return fired if fired is not None and is_stopped(fired.pid) else None


def _record(live: Live, job_id: str) -> dict[str, Any]:
    answer = live.stack.pipeline.stack.dynamodb().get_item(
        TableName=live.stack.pipeline.stack.jobs_table, Key={"job_id": {"S": job_id}}, ConsistentRead=True
    )
    return from_item(answer["Item"])
