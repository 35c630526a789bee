"""Lost answers that are looked into only when the provider's listing does not go back to their calls any more.

The listing is silent about such a call, which is no proof that it never arrived: the job is held, or repaid by policy,
and never just submitted again. The sandbox has no listing that forgets, so a week passes for the records alone: with
their moments set back, the listing is asked for a time before the account made its first call, and shows nothing. What
the listing goes back to, and for how long a lost answer is looked for, is here as it is deployed: so nothing but its
age can end the search.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from functions.adapters.attribute_values import to_item
from tests.chaos.judge import ENDED
from tests.chaos.lanes import LANES
from tests.chaos.runs import LATENCY, Live, Outcome, Run, carry_out
from tests.chaos.scenarios import Plan
from tests.chaos.stack import SCALE, ChaosStack

ROWS = 6
_LANES = ("poll", "poll-repay")
_WEEK_MS = 7 * 24 * 3600 * 1000 + 60_000
_WAIT_SECONDS = 60.0
_PATIENCE = "functions.core.jobs.reconcile:PATIENCE_SECONDS"


def forgotten_calls(stack: ChaosStack, plan: Plan) -> list[Outcome]:
    """Lose the first answer of every job, and let nobody conclude anything before a week has passed."""
    run = Run(
        name="forgotten",
        about="every first answer lost, looked into when the listing does not go back to it: held, or repaid once",
        lanes=dict.fromkeys(_LANES, ROWS),
        behaviour={"faults": {"submit_drop_after": 1.0}, "seed": plan.seed},
        hooks=[_let_a_week_pass],
    )
    patient = json.dumps({place: value for place, value in SCALE.items() if place != _PATIENCE})
    for lane in _LANES:
        stack.set_environment(f"worker-{lane}", CHAOS_SCALE=patient)
    try:
        return [_all_by_policy(outcome) for outcome in carry_out(stack, run)]
    finally:
        for lane in _LANES:
            stack.set_environment(f"worker-{lane}")


def _all_by_policy(outcome: Outcome) -> Outcome:
    """The outcome; broken if a job was neither held nor repaid, as its lane's policy is."""
    count = outcome.verdict.repays if LANES[outcome.lane].repays else outcome.verdict.held
    if count == ROWS:
        return outcome
    return replace(outcome, broken=(*outcome.broken, f"{count} of {ROWS} forgotten calls were decided by policy"))


def _let_a_week_pass(live: Live) -> None:
    """Set the moments of all calls back once their answers are lost; forward again where the job is held, since the
    judge compares them with the ledger's."""
    pipeline = live.stack.pipeline
    pipeline.wait_for(
        lambda: len(_jobs(live)) == len(_LANES) * ROWS and all(map(_is_in_doubt, _jobs(live))),
        lambda: "every answer to be lost",
        _WAIT_SECONDS,
    )
    pipeline.sandbox.behave(latency_seconds=LATENCY)
    older: set[str] = set()

    def all_older() -> bool:
        waiting = [job for job in _jobs(live) if job["job_id"] not in older]
        older.update(job["job_id"] for job in waiting if _is_in_doubt(job) and _move(live.stack, job, -_WEEK_MS))
        return len(older) == len(_LANES) * ROWS

    pipeline.wait_for(all_older, lambda: "a moment in which nobody is at the job, for each", _WAIT_SECONDS)
    pipeline.wait_for(lambda: all(job["state"] in ENDED for job in _jobs(live)), lambda: "jobs to end", _WAIT_SECONDS)
    for job in _jobs(live):
        if job["state"] == "held":
            _move(live.stack, job, _WEEK_MS)


def _jobs(live: Live) -> list[dict[str, Any]]:
    return [job for batch_id in live.batches.values() for job in live.stack.pipeline.jobs(batch_id)]


def _is_in_doubt(job: Mapping[str, Any]) -> bool:
    return job.get("stage") == "submitting" and job.get("error_class") == "ambiguous"


def _move(stack: ChaosStack, job: Mapping[str, Any], by_ms: int) -> bool:
    """Move the moments of a job's open call, unless a worker is at it or has taken it since it was seen."""
    if job.get("lease_expires_at", 0) > time.time() * 1000:
        return False
    client = stack.pipeline.stack.dynamodb()
    try:
        client.update_item(
            TableName=stack.pipeline.stack.jobs_table,
            Key=to_item({"job_id": job["job_id"]}),
            UpdateExpression="ADD submitting_at :by, waiting_since :by",
            ConditionExpression="attempt_count = :attempt AND #state = :state",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues=to_item({":by": by_ms, ":attempt": job["attempt_count"], ":state": job["state"]}),
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True
