"""Looking at held jobs and at their lane."""

from __future__ import annotations

from functions.core.jobs.records import Job, State
from functions.core.messages import parse_doorbell
from ops.stack import Stack


def job(stack: Stack, job_id: str) -> Job:
    """The job as the table holds it."""
    return stack.jobs().get_many([job_id], consistent=True)[job_id]


def states(stack: Stack, *job_ids: str) -> list[State]:
    """What these jobs are."""
    return [job(stack, job_id).state for job_id in job_ids]


def rung(stack: Stack) -> list[str]:
    """The jobs that the lane was told of, as often as it was."""
    sqs, found = stack.session.client("sqs"), list[str]()
    while True:
        answer = sqs.receive_message(QueueUrl=stack.lane_queues["flux-schnell"], MaxNumberOfMessages=10)
        messages = answer.get("Messages", [])
        if not messages:
            return sorted(found)
        found += [parse_doorbell(message["Body"]).job_id for message in messages]
