"""What must be true at the end of every schedule."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from functions.core.batches.counting import add_to, deltas, exactly, worth
from functions.core.catalog import OnAmbiguous
from functions.core.jobs.completion import http_status
from functions.core.jobs.records import Job, State
from tests.fakes.lane import PRICE
from tests.simulation.world import World

UNCERTAIN = {"hold", "repay", "expire", "give_up", "resubmit"}
"""Changes of a job after which what its earlier calls have cost is perhaps never learnt."""


def wrong_in(world: World) -> Iterator[str]:
    """What went wrong in a world, in words."""
    yield from (f"a write by an owner that had lost the job: {write}" for write in world.stale_writes)
    yield from (f"an attacker's callback was believed: {write}" for write in world.believed_attacks)
    yield from (f"batch {batch} pays for another call after its end" for batch in world.charged_after_the_end)
    paid = world.provider.paid()
    for job in world.all_jobs():
        yield from (f"job {job.job_id[:8]} {what}" for what in _wrong_with(world, job, paid[job.job_id]))
    counted = deltas(world.jobs.stream)
    for batch_id in "abc":
        truth: dict[str, int | Decimal] = {}
        for job in world.all_jobs():
            if batch_id in job.batches:
                add_to(truth, worth(batch_id, job))
        if exactly(counted.get(batch_id, {})) != exactly(truth):
            yield f"the counters of batch {batch_id} are {counted.get(batch_id)}, and the truth is {truth}"


def _wrong_with(world: World, job: Job, paid: int) -> Iterator[str]:
    """What must not be, of a job whose calls were charged so often."""
    changes = world.jobs.changes[job.job_id]
    if not job.state.ended and job.state is not State.HELD:
        yield f"is stuck in {job.state}"
    if paid > 1 + job.repays + changes["give_up"]:  # what the operator has given up, a later batch may ask for anew
        yield f"was paid for {paid} times, with {job.repays} repays"
    if changes["repay"] > (world.model.on_ambiguous is OnAmbiguous.REPAY):
        yield f"was repaid {changes['repay']} times against the policy"
    cost = job.cost_usd or Decimal(0)
    if cost > PRICE * paid:
        yield f"cost {cost}, and was paid for {paid} times"
    if cost < PRICE * paid and job.state.ended and not UNCERTAIN & changes.keys():
        yield f"cost only {cost}, and was paid for {paid} times"
    if job.state is State.SUCCESS and (paid < 1 or not cost):
        yield f"succeeded, was paid for {paid} times and cost {cost}"
    if job.state is State.SUCCESS and job.image_key not in world.images.objects:
        yield "succeeded without a stored picture"
    if job.payment_unknown and _is_told(world, job):
        yield "is held for an answer that a callback has brought"
    if (job.state is State.HELD) != bool(job.held_at):
        yield f"is {job.state} and marked as held at {job.held_at!r}"


def _is_told(world: World, job: Job) -> bool:
    """Whether a callback about the open call of a job was taken."""
    told = {(one.job_id, one.attempt) for one in world.post.answered if http_status(one.result) == 200}
    return (job.job_id, job.call_attempt) in told
