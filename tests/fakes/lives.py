"""Whatever may happen to a job, drawn by a property test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal

from hypothesis import strategies as st

from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import lifecycle, operator
from functions.core.jobs.records import Job, State
from functions.core.writes import StaleWriteError, Write
from tests.fakes.plant import PRICE, Plant

REFERENCES = ("p1", "p2", "p3")

Draw = Callable[[Job, st.DataObject], Write]


def something_happens(plant: Plant, job_id: str, data: st.DataObject) -> None:
    """Let one thing happen to a job: a worker's turn, news of a call, or what the operator decides."""
    job = plant.job(job_id)
    if job.state is State.PENDING:
        plant.end_job(job_id, data.draw(st.sampled_from(list(State))), data.draw(st.sampled_from(ErrorClass)))
        return
    event = data.draw(st.sampled_from([*_EVENTS, "call_back"]))
    with suppress(StaleWriteError):
        if event != "call_back":
            plant.jobs.write(job_id, _EVENTS[event](job, data))
        elif job.state is not State.SUCCESS:
            plant.call_back(job_id, data.draw(st.sampled_from(REFERENCES)))


def _payment(job: Job, data: st.DataObject) -> Write:
    return lifecycle.count_payment(job, data.draw(st.sampled_from(REFERENCES)), PRICE, 0)


def _accept(job: Job, data: st.DataObject) -> Write:
    reference = data.draw(st.sampled_from(REFERENCES))
    return lifecycle.accept(job.attempt_count, reference=reference, response_code=200, leaving=False, now_ms=0)


def _fail(job: Job, data: st.DataObject) -> Write:
    fault = Fault(ErrorClass.CORRUPT, "no picture", resumable=data.draw(st.booleans()))
    return lifecycle.fail(job.attempt_count, job, fault, price_usd=PRICE, now_ms=0)


def _repay(job: Job, _: st.DataObject) -> Write:
    return lifecycle.repay(job.attempt_count, job, Fault(ErrorClass.AMBIGUOUS, "lost"), 0)


def _hold(job: Job, _: st.DataObject) -> Write:
    return lifecycle.hold(job.attempt_count, job, Fault(ErrorClass.AMBIGUOUS, "lost"), 0)


def _look(job: Job, data: st.DataObject) -> Write:
    return operator.look_again(job, reference=data.draw(st.sampled_from(["", *REFERENCES])), now_ms=0)


def _resubmit(job: Job, data: st.DataObject) -> Write:
    return operator.resubmit(job, repays=data.draw(st.booleans()), price_usd=PRICE, now_ms=0)


def _give_up(job: Job, data: st.DataObject) -> Write:
    return operator.give_up(job, cost_usd=data.draw(st.sampled_from([Decimal(0), PRICE])), now_ms=0)


_EVENTS: Mapping[str, Draw] = {
    "count_payment": _payment,
    "accept": _accept,
    "fail": _fail,
    "repay": _repay,
    "hold": _hold,
    "look_again": _look,
    "resubmit": _resubmit,
    "give_up": _give_up,
}
