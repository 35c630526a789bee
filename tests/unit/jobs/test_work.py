"""A worker's batch of messages: what is started, what takes a slot of the account's rate, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle
from functions.core.jobs.records import State
from functions.core.jobs.services import STORE_SECONDS
from functions.core.lanes import control
from functions.core.lanes.pacing import Priority
from functions.core.lanes.records import account_record
from functions.core.ports import Working
from functions.core.writes import Write, apply
from tests.fakes.lane import (
    CALLBACK_MODEL,
    JOB,
    LEASE_SECONDS,
    MODEL,
    NO_ANSWER,
    PRICE,
    SPEC,
    STRANGER,
    Lane,
    Records,
    ScriptedApi,
)
from tests.fakes.races import RacedJobs, RacedLane
from tests.fakes.records import (
    Record,
    accepted,
    announced,
    announced_again,
    created,
    failed,
    failed_paid,
    given_back,
    held,
    held_accepted,
    succeeded,
)
from tests.fakes.virtual_time import START_MS, run

ACCOUNT = account_record(MODEL.account.name)


def test_every_message_of_a_batch_is_in_flight_together() -> None:
    lane = Lane(api=ScriptedApi(submit_seconds=5))
    others = [lane.add(replace(SPEC, seed=seed)) for seed in range(9)]
    assert run(lane.deliver(JOB, *others)) == set()
    assert lane.api.most_in_flight == 10


def test_calls_leave_at_the_accounts_rate() -> None:
    account = replace(MODEL.account, images_per_minute=60)
    lane = Lane(model=replace(MODEL, account=account))
    run(lane.deliver(JOB, *[lane.add(replace(SPEC, seed=seed)) for seed in range(4)]))
    moments = [moment for _, moment in lane.api.submitted]
    assert moments == pytest.approx([0, 1, 2, 3, 4], abs=0.01)


def test_a_message_whose_slot_is_too_far_off_comes_back_untried() -> None:
    account = replace(MODEL.account, images_per_minute=2)
    lane = Lane(model=replace(MODEL, account=account), remaining=lambda: MODEL.timeout_seconds + STORE_SECONDS + 20)
    other = lane.add(replace(SPEC, seed=1))
    assert run(lane.deliver(JOB, other)) == {other}
    assert lane.hidden(other) == pytest.approx(30 - Priority.BULK.value, abs=1)
    assert lane.job(other).attempt_count == 0


def test_a_message_waits_for_its_slot_inside_the_function_rather_than_to_be_received_again() -> None:
    account = replace(MODEL.account, images_per_minute=4)
    lane = Lane(model=replace(MODEL, account=account))
    others = [lane.add(replace(SPEC, seed=seed)) for seed in range(3)]
    assert run(lane.deliver(JOB, *others)) == set()
    moments = [moment for _, moment in lane.api.submitted]
    assert moments == pytest.approx([0, 15, 30, 45], abs=0.5)


def test_a_message_that_rings_for_a_stopped_batch_goes_and_its_job_stays_as_it_is() -> None:
    lane = Lane()
    lane.batches.ids = {"a"}
    assert run(lane.deliver(batch="a")) == set()
    assert (lane.api.submitted, lane.job().state, lane.reserved) == ([], State.PENDING, [])
    assert run(lane.deliver(batch="b")) == set()
    assert lane.job().state is State.SUCCESS


def test_an_open_call_of_a_stopped_batch_ends_all_the_same() -> None:
    lane = Lane()
    lane.batches.ids = {"a"}
    lane.jobs.records[JOB] = {**accepted(), "reference": lane.api.take()}
    lane.receives[JOB] = 1
    assert run(lane.deliver(batch="a")) == set()
    assert lane.job().state is State.SUCCESS


def test_messages_of_a_paused_lane_go_and_nothing_is_bought() -> None:
    lane = Lane()
    lane.lanes.records[ACCOUNT] = apply(control.pause(MODEL.name, "by the operator"), {})
    assert run(lane.deliver()) == set()
    assert (lane.api.submitted, lane.job().state) == ([], State.PENDING)


def test_a_job_costs_what_the_provider_asked_for_when_its_call_was_announced() -> None:
    lane = Lane()
    lane.lanes.records[ACCOUNT] = apply(control.quote(MODEL.name, PRICE * 2, seen=None), {})
    run(lane.deliver())
    assert (lane.job().unit_price_usd, lane.job().cost_usd) == (PRICE * 2, PRICE * 2)


def test_a_call_that_is_left_to_its_callback_stays_in_flight() -> None:
    lane = Lane(model=replace(CALLBACK_MODEL, inline_seconds=0))
    assert run(lane.deliver()) == {JOB}
    record, until = lane.lanes.records[ACCOUNT], lane.job().flight_until
    assert until >= START_MS // 1000 + CALLBACK_MODEL.patience_seconds
    assert (record["in_flight"], record[f"until_{until}"]) == (1, 1)


class LastingRecords(Records):
    """A lanes table that can be written no more once a call has left."""

    def __init__(self, api: ScriptedApi) -> None:
        super().__init__()
        self._api = api

    def write(self, key: str, write: Write) -> dict[str, Any]:
        if self._api.submitted:
            raise ConnectionError
        return super().write(key, write)


@pytest.mark.parametrize("lost", [False, True])
def test_what_became_of_a_paid_call_is_written_down_though_its_place_cannot_be(lost: bool) -> None:
    api = ScriptedApi(submits=[NO_ANSWER] if lost else [])
    lane = Lane(model=replace(CALLBACK_MODEL, inline_seconds=0), api=api, lanes=LastingRecords(api))
    assert run(lane.deliver()) == {JOB}
    job = lane.job()
    assert (job.reference, job.error_class) == (("", ErrorClass.AMBIGUOUS) if lost else ("p0", None))
    assert job.flight_until


def test_how_long_pictures_take_is_known_to_the_bucket() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=5))
    run(lane.deliver())
    assert lane.took == [pytest.approx(5.5, abs=1.5)]


def test_a_call_whose_answer_was_lost_stays_in_flight_for_a_while() -> None:
    lane = Lane(api=ScriptedApi(submits=[NO_ANSWER]))
    assert run(lane.deliver()) == {JOB}
    assert lane.job().flight_until > START_MS // 1000 + MODEL.timeout_seconds
    assert lane.lanes.records[ACCOUNT]["in_flight"] == 1


def test_a_call_that_is_left_a_second_time_is_held_for_longer_and_counted_once() -> None:
    lane = Lane(model=replace(CALLBACK_MODEL, inline_seconds=1), api=ScriptedApi(work_seconds=1000))

    async def twice() -> int:
        await lane.deliver()
        first = lane.job().flight_until
        await lane.clock.sleep(lane.hidden())
        await lane.deliver()
        return first

    first = run(twice())
    record, until = lane.lanes.records[ACCOUNT], lane.job().flight_until
    assert until > first
    assert (record["in_flight"], record[f"until_{until}"], record[f"until_{first}"]) == (1, 1, 0)


def test_a_second_message_for_a_finished_job_pays_nothing_and_goes() -> None:
    lane = Lane()

    async def twice() -> set[str]:
        await lane.deliver()
        return await lane.deliver()

    assert run(twice()) == set()
    assert lane.api.paid == 1


def test_a_message_for_a_job_that_somebody_works_on_waits_for_its_lease() -> None:
    lane = Lane()
    lane.jobs.write(JOB, lifecycle.claim_to_submit("other", START_MS, LEASE_SECONDS * 1000))
    assert run(lane.deliver()) == {JOB}
    assert lane.hidden() == pytest.approx(LEASE_SECONDS + 1, abs=1)
    assert lane.api.submitted == []


def test_a_message_for_an_unknown_job_goes() -> None:
    lane = Lane()
    assert run(lane.deliver("ff" * 32)) == set()
    assert lane.log.of("unknown_job")


@pytest.mark.parametrize("ended", [held, failed, succeeded])
@pytest.mark.parametrize("receives", [0, 1])
def test_a_message_for_a_job_that_has_ended_or_needs_a_person_goes(ended: Callable[[], Record], receives: int) -> None:
    lane = Lane()
    lane.jobs.records[JOB] = ended()
    lane.receives[JOB] = receives
    assert run(lane.deliver()) == set()
    assert lane.api.submitted == []


def test_nothing_is_started_that_the_invocation_has_no_time_for() -> None:
    lane = Lane(remaining=lambda: MODEL.timeout_seconds)
    assert run(lane.deliver()) == {JOB}
    assert lane.job().attempt_count == 0


def test_heartbeats_keep_lease_and_message_while_a_call_is_slow() -> None:
    lane = Lane(api=ScriptedApi(submit_seconds=59, work_seconds=100))
    run(lane.deliver())
    assert lane.jobs.written.count("heartbeat") >= 9
    assert lane.messages.hidden[f"receipt-{JOB}"].count(LEASE_SECONDS) >= 9
    assert lane.job().state is State.SUCCESS


def test_an_owner_that_lost_its_lease_stops_and_writes_nothing_more() -> None:
    lane = Lane(api=ScriptedApi(work_seconds=40))

    async def robbed() -> set[str]:

        working = asyncio.create_task(lane.deliver())
        await lane.clock.sleep(5)
        lane.jobs.records[JOB] |= {"attempt_count": 2, "owner": "thief"}
        before = dict(lane.jobs.records[JOB])
        back = await working
        assert lane.jobs.records[JOB] == before
        return back

    assert run(robbed()) == {JOB}
    assert lane.images.objects == {}
    assert lane.log.of("lease_lost")


def test_one_jobs_surprise_leaves_the_others_alone() -> None:
    lane = Lane(api=ScriptedApi(submits=[RuntimeError("a bug")]))
    other = lane.add(replace(SPEC, seed=1))
    assert run(lane.deliver(JOB, other)) == {JOB}
    assert lane.job(other).state is State.SUCCESS


def test_two_workers_with_the_same_message_pay_once() -> None:
    lane = Lane()

    async def both() -> tuple[set[str], set[str]]:

        return await asyncio.gather(lane.deliver(owner="one"), lane.deliver(owner="two"))

    run(both())
    assert lane.api.paid == 1


OPEN_OR_ENDED = [announced, accepted, announced_again, held, held_accepted, failed, failed_paid, succeeded]


@pytest.mark.parametrize("record", OPEN_OR_ENDED)
def test_a_job_that_has_ended_or_has_an_open_call_takes_no_slot(record: Callable[[], Record]) -> None:
    lane = RacedLane(api=ScriptedApi(polls=[Working()] * 1000, listing=[STRANGER]))
    lane.jobs.records[JOB] = record()
    lane.receives[JOB] = 1
    run(lane.deliver())
    assert lane.reserved == []
    assert lane.api.submitted == []


@pytest.mark.parametrize("record", [created, given_back])
def test_a_job_that_needs_a_call_takes_a_slot_however_often_its_message_came(record: Callable[[], Record]) -> None:
    lane = RacedLane()
    lane.jobs.records[JOB] = record()
    lane.receives[JOB] = 5
    assert run(lane.deliver()) == set()
    assert lane.reserved == [1]
    assert lane.job().state is State.SUCCESS
    first = ["claim_to_look", "announce"] if record is given_back else ["claim_to_submit"]
    assert lane.jobs.written == ["create", *first, "accept", "succeed"]


def test_of_a_mixed_batch_those_take_slots_that_may_call() -> None:
    lane = RacedLane()
    new, ended, asked = (lane.add(replace(SPEC, seed=seed)) for seed in (1, 2, 3))
    lane.jobs.records[ended] |= {"state": State.FAILED, "attempt_count": 1}
    lane.jobs.records[asked] |= {**accepted(), "job_id": asked, "reference": lane.api.take(replace(SPEC, seed=3))}
    lane.receives.update([JOB, ended, asked])
    assert run(lane.deliver(JOB, new, ended, asked)) == set()
    assert (lane.reserved, lane.jobs.reads) == ([2], 1)
    assert {lane.job(one).state for one in (JOB, new, asked)} == {State.SUCCESS}
    assert sorted(job for job, _ in lane.api.submitted) == sorted([JOB, new])


def test_a_message_that_comes_for_the_first_time_is_not_looked_up() -> None:
    lane = RacedLane()
    assert run(lane.deliver()) == set()
    assert (lane.jobs.reads, lane.reserved) == (0, [1])


def test_without_a_look_each_claim_finds_out_for_itself() -> None:
    lane = RacedLane(jobs=RacedJobs(get_many=1))
    lane.jobs.records[JOB] = {**accepted(), "reference": lane.api.take()}
    ended = lane.add(replace(SPEC, seed=1))
    lane.jobs.records[ended] |= {"state": State.FAILED, "attempt_count": 1}
    lane.receives.update([JOB, ended])
    assert run(lane.deliver(JOB, ended)) == set()
    assert (lane.job().state, lane.api.submitted, lane.reserved) == (State.SUCCESS, [], [2])
    assert lane.log.of("jobs_not_read")


def test_a_job_that_was_looked_up_is_claimed_in_one_write() -> None:
    lane = RacedLane()
    lane.jobs.records[JOB] = {**accepted(), "reference": lane.api.take()}
    lane.receives[JOB] = 1
    tried: list[str] = []
    lane.jobs.before["claim_to_submit"] = [lambda: tried.append("claim_to_submit")]
    run(lane.deliver())
    assert lane.jobs.written == ["create", "claim_to_look", "succeed"]
    assert tried == []


def test_a_job_that_somebody_claims_after_it_was_looked_up_is_left_to_them() -> None:
    lane = RacedLane()
    lane.jobs.records[JOB] = accepted()
    lane.receives[JOB] = 1
    lane.jobs.after_reading = [lane.taken_over]
    assert run(lane.deliver()) == {JOB}
    assert lane.job().owner == "thief"
    assert lane.hidden() == pytest.approx(LEASE_SECONDS + 1, abs=1)
    assert lane.api.polled == 0


def test_a_job_that_ends_after_it_was_looked_up_lets_its_message_go() -> None:
    lane = RacedLane()
    lane.jobs.records[JOB] = accepted()
    lane.receives[JOB] = 1
    lane.jobs.after_reading = [lane.finished]
    assert run(lane.deliver()) == set()
    assert lane.api.polled == 0


def test_a_job_with_a_live_owner_waits_for_its_lease_without_a_slot_or_a_write() -> None:
    lane = RacedLane()
    lane.jobs.records[JOB] = accepted(START_MS)
    lane.receives[JOB] = 1
    assert run(lane.deliver()) == {JOB}
    assert (lane.reserved, lane.jobs.written) == ([], ["create"])
    assert lane.hidden() == pytest.approx(LEASE_SECONDS + 1, abs=1)


def test_without_a_slot_the_others_go_on() -> None:
    account = replace(MODEL.account, images_per_minute=2)
    lane = RacedLane(
        model=replace(MODEL, account=account), remaining=lambda: MODEL.timeout_seconds + STORE_SECONDS + 20
    )
    first, second = (lane.add(replace(SPEC, seed=seed)) for seed in (1, 2))
    lane.jobs.records[JOB] = {**accepted(), "reference": lane.api.take()}
    lane.receives[JOB] = 1
    assert run(lane.deliver(first, second, JOB)) == {second}
    assert lane.job().state is lane.job(first).state is State.SUCCESS


def test_a_job_for_which_the_invocation_has_no_time_is_given_back_untried() -> None:
    lane = RacedLane(remaining=lambda: MODEL.timeout_seconds)
    lane.jobs.records[JOB] = accepted()
    lane.receives[JOB] = 1
    assert run(lane.deliver()) == {JOB}
    assert (lane.hidden(), lane.jobs.written) == (0, ["create"])
