"""What lanes did, as the changes of their jobs show it."""

from __future__ import annotations

import math
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.batches.counting import Change
from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import demand, lifecycle, operator
from functions.core.jobs.records import Job, State, job_from_record
from functions.core.lanes.measures import (
    KEPT_SECONDS,
    LATENCY_BOUNDS_MS,
    Done,
    Measures,
    Size,
    measure,
    record,
    size_class,
    total,
)
from functions.core.writes import Write, apply
from tests.fakes import records
from tests.fakes.lane import PRICE, SPEC
from tests.fakes.lives import something_happens
from tests.fakes.plant import Plant
from tests.fakes.records import Record, seen
from tests.fakes.stores import StreamedJobs
from tests.fakes.virtual_time import START_MS

LIST_PRICE = Decimal("0.002")
FAULTS = {
    ErrorClass.CAPACITY,
    ErrorClass.PROVIDER_ERROR,
    ErrorClass.NETWORK,
    ErrorClass.CORRUPT,
    ErrorClass.TIMEOUT,
}
NO_COUNT = {ErrorClass.RATE_LIMITED}


def list_price(job: Job) -> Decimal:
    return LIST_PRICE


def by_model(*changes: Change) -> dict[str, Measures]:
    return measure(changes, list_price)


def made(before: Record, write: Write) -> Measures:
    """What one write shows of its job's lane."""
    change = Change(seen(before), seen(apply(write, before)))
    return by_model(change).get(SPEC.model, Measures())


def fault(error_class: ErrorClass) -> Fault:
    return Fault(error_class, "as the test wanted")


def test_a_picture_is_an_attempt_without_a_fault() -> None:
    before = records.accepted()
    assert made(before, records.succeed(1, seen(before))) == Measures(
        attempts=1,
        ended=Counter({State.SUCCESS: 1}),
        tries=[1],
        costs_usd=[PRICE],
        expected_usd=LIST_PRICE,
        latencies_ms={Size.SMALL: [1]},
    )


@pytest.mark.parametrize("error_class", ErrorClass)
def test_what_a_try_ended_in_says_whether_it_was_an_attempt_and_whose_fault(error_class: ErrorClass) -> None:
    before = records.announced()
    counted = made(before, lifecycle.give_back(1, seen(before), fault(error_class), 0))
    if error_class in NO_COUNT:
        assert counted == Measures(refused=1)
    else:
        assert counted == Measures(attempts=1, faults=int(error_class in FAULTS))


def test_the_last_try_of_a_failed_job_is_an_attempt_too() -> None:
    before = records.announced_again()
    counted = made(before, lifecycle.fail(2, seen(before), records.BUSY, price_usd=PRICE, now_ms=0))
    assert counted == Measures(attempts=1, faults=1, ended=Counter({State.FAILED: 1}), tries=[2])


def test_a_lost_answer_is_a_fault_once_whatever_is_found_out_about_it() -> None:
    doubted, looking = records.doubted(), records.taken_over(records.doubted(), START_MS)
    assert made(records.announced(), lifecycle.doubt(1, records.LOST, 7)) == Measures(attempts=1, faults=1)
    assert made(doubted, lifecycle.claim_to_look(seen(doubted), "two", START_MS, 1)) == Measures()
    absent = lifecycle.give_back(2, seen(looking), fault(ErrorClass.PROVIDER_ERROR), 0)
    assert made(looking, absent) == Measures()
    assert made(looking, lifecycle.repay(2, seen(looking), records.LOST, 0)) == Measures()
    assert made(looking, lifecycle.hold(2, seen(looking), records.LOST, 0)) == Measures(ended=Counter({State.HELD: 1}))


def test_a_call_whose_answer_was_lost_and_that_fails_later_is_one_fault() -> None:
    healed = apply(lifecycle.heal(seen(records.doubted()), 1, reference="p1", now_ms=0), records.doubted())
    polled = records.taken_over(healed, START_MS)
    assert made(polled, lifecycle.give_back(2, seen(polled), records.BUSY, 0)) == Measures()


def test_the_next_call_of_a_job_whose_answer_was_lost_counts_again() -> None:
    looking = records.taken_over(records.doubted(), START_MS)
    absent = apply(lifecycle.give_back(2, seen(looking), fault(ErrorClass.PROVIDER_ERROR), 0), looking)
    again = records.tried_again(absent, 0)
    assert made(again, lifecycle.doubt(3, records.LOST, 0)) == Measures(attempts=1, faults=1)
    assert made(again, lifecycle.give_back(3, seen(again), records.BUSY, 0)) == Measures(attempts=1, faults=1)


def test_a_picture_that_comes_of_a_lost_answer_is_an_attempt() -> None:
    doubted = records.doubted()
    assert made(doubted, records.finish(seen(doubted), "p1")).attempts == 1


def test_a_dead_workers_call_that_is_held_is_no_fault_of_the_provider() -> None:
    before = records.taken_over(records.announced(), START_MS)
    assert made(before, lifecycle.hold(2, seen(before), records.LOST, 0)) == Measures(ended=Counter({State.HELD: 1}))


def test_the_tries_of_a_held_job_count_when_it_ends() -> None:
    before = records.announced_again()
    holding = lifecycle.hold(2, seen(before), records.LOST, 0)
    assert made(before, holding) == Measures(ended=Counter({State.HELD: 1}))
    held = apply(holding, before)
    assert made(held, operator.give_up(seen(held), cost_usd=Decimal(0), now_ms=0)).tries == [1]


def test_an_operators_end_of_a_held_job_counts_as_an_end() -> None:
    before = records.held()
    counted = made(before, operator.give_up(seen(before), cost_usd=PRICE, now_ms=0))
    assert counted == Measures(ended=Counter({State.FAILED: 1}), costs_usd=[PRICE])


def test_a_job_that_nobody_got_round_to_has_failed_and_was_not_tried() -> None:
    before = records.created()
    counted = made(before, demand.expire(seen(before), START_MS))
    assert counted == Measures(ended=Counter({State.FAILED: 1}))


def test_what_is_no_end_and_no_try_is_not_measured() -> None:
    created, running, failed = records.created(), records.announced(), records.failed()
    assert by_model(Change(None, seen(created)), Change(seen(created), None)) == {}
    assert made(created, lifecycle.claim_to_submit("one", 0, 1)) == Measures()
    assert made(running, lifecycle.heartbeat(1, 0, 5)) == Measures()
    assert made(running, lifecycle.withdraw(1, 0)) == Measures()
    assert made(failed, demand.revive(seen(failed), "b", 0)) == Measures()


def test_a_payment_that_is_learnt_of_apart_from_a_picture_is_a_cost() -> None:
    before = records.accepted_again()
    counting = lifecycle.count_payment(seen(before), "p1", PRICE, 0)
    assert made(before, counting) == Measures(costs_usd=[PRICE])


def test_a_picture_that_was_paid_for_before_costs_nothing_more() -> None:
    before = records.failed_paid()
    counted = made(before, records.finish(seen(before), "p1"))
    assert (counted.costs_usd, counted.expected_usd) == ([Decimal(0)], LIST_PRICE)


def test_both_payments_of_a_picture_are_its_cost() -> None:
    before = records.accepted_again()
    assert made(before, records.finish(seen(before), "p1")).costs_usd == [2 * PRICE]


def test_what_was_paid_for_no_picture_makes_pictures_dearer_than_the_catalog_says() -> None:
    before = records.accepted()
    failing = lifecycle.fail(1, seen(before), records.BROKEN, price_usd=LIST_PRICE, now_ms=0)
    picture = lifecycle.succeed(
        1, seen(before), records.PICTURE, reference="", image_key="", price_usd=LIST_PRICE, latency_ms=1, now_ms=0
    )
    done = total(apply(record(made(before, write), START_MS), {}) for write in (failing, picture))
    assert done.cost_ratio == 2
    assert done.cost_per_picture == 2 * LIST_PRICE


def test_models_are_measured_apart() -> None:
    before, after = records.accepted(), records.succeeded()
    other = Change(seen({**before, "model": "other"}), seen({**after, "model": "other"}))
    counted = by_model(other, Change(seen(before), seen(after)), other)
    assert {model: one.ended[State.SUCCESS] for model, one in counted.items()} == {"other": 2, SPEC.model: 1}


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (256, 256, Size.SMALL),
        (600, 500, Size.SMALL),
        (601, 500, Size.MEDIUM),
        (1024, 1024, Size.MEDIUM),
        (1100, 1000, Size.MEDIUM),
        (1100, 1001, Size.LARGE),
        (1536, 1536, Size.LARGE),
    ],
)
def test_size_classes_go_by_pixels(width: int, height: int, size: Size) -> None:
    assert size_class(width, height) is size


def test_a_minutes_record_has_the_sums_and_an_end() -> None:
    measures = Measures(
        attempts=5,
        faults=2,
        refused=4,
        ended=Counter({State.SUCCESS: 3, State.FAILED: 1, State.HELD: 1}),
        tries=[1, 1, 2, 5],
        costs_usd=[PRICE, PRICE, Decimal(0), PRICE],
        expected_usd=3 * LIST_PRICE,
        latencies_ms={Size.SMALL: [125, 126], Size.LARGE: [9_000_000]},
    )
    stored = apply(record(measures, START_MS), {"name": "lane#m#1"})
    assert stored == {
        "name": "lane#m#1",
        "expires_at": START_MS // 1000 + KEPT_SECONDS,
        "attempts": 5,
        "faults": 2,
        "refused": 4,
        "pictures": 3,
        "failed": 1,
        "held": 1,
        "tries": 9,
        "cost_usd": 3 * PRICE,
        "expected_usd": 3 * LIST_PRICE,
        "latency_ms": 9_000_251,
        "latency_le_125": 1,
        "latency_le_180": 1,
        "latency_le_3600000": 1,
    }
    done = total([stored])
    assert done.latencies == {125: 1, 180: 1, 3_600_000: 1}
    assert total([stored, stored, {}]) == total([apply(record(measures, START_MS), stored)])
    assert (done.error_rate, done.cost_per_picture, done.cost_ratio) == (0.4, PRICE, PRICE / LIST_PRICE)
    assert done.mean_ms == pytest.approx(9_000_251 / 3)


def test_of_nothing_there_is_no_rate_and_no_latency() -> None:
    done = total([])
    assert done == Done() == total([{"name": "lane#m#1", "expires_at": 1}])
    assert (done.error_rate, done.mean_ms, done.p95_ms) == (None, None, None)
    assert (done.cost_per_picture, done.cost_ratio) == (None, None)


@given(st.lists(st.integers(0, 2 * LATENCY_BOUNDS_MS[-1]), min_size=1, max_size=200))
def test_p95_lies_in_the_bucket_of_the_exact_one(latencies_ms: list[int]) -> None:
    stored = apply(record(Measures(latencies_ms={Size.SMALL: latencies_ms}), START_MS), {})
    estimate = total([stored]).p95_ms
    exact = min(sorted(latencies_ms)[math.ceil(len(latencies_ms) * 0.95) - 1], LATENCY_BOUNDS_MS[-1])
    upper = next(bound for bound in LATENCY_BOUNDS_MS if exact <= bound)
    lower = max((bound for bound in LATENCY_BOUNDS_MS if bound < exact), default=0)
    assert estimate is not None
    assert lower <= estimate <= upper


def test_p95_is_interpolated_between_the_bounds() -> None:
    stored = apply(record(Measures(latencies_ms={Size.SMALL: [50] * 20 + [1_200] * 80}), START_MS), {})
    assert total([stored]).p95_ms == round(1_000 + 400 * 75 / 80)


def live(data: st.DataObject) -> StreamedJobs:
    """Let jobs of two models end, be asked for again and end anew, in any order."""
    plant = Plant()
    for number, model in enumerate(("m", "m", "other")):
        job_id = f"{number}{number}" * 32
        write = demand.create(job_id, model=model, spec="{}", batch_id="a", now_ms=0)
        plant.jobs.create_many({job_id: write})
    for _ in range(data.draw(st.integers(1, 25))):
        job_id = data.draw(st.sampled_from(sorted(plant.jobs.records)))
        job = plant.job(job_id)
        if demand.revivable(job) and data.draw(st.booleans()):
            plant.jobs.write(job_id, demand.revive(job, data.draw(st.sampled_from("ab")), 0))
        else:
            something_happens(plant, job_id, data)
    return plant.jobs


def kept(stream: list[Change], minutes: dict[str, dict[str, Any]]) -> None:
    """Measure one stream batch."""
    for model, measures in by_model(*stream).items():
        minutes[model] = apply(record(measures, START_MS), minutes.get(model, {}))


@given(st.data())
def test_however_the_stream_is_cut_into_invocations_the_records_have_the_same_sums(data: st.DataObject) -> None:
    jobs = live(data)
    whole: dict[str, dict[str, Any]] = {}
    cut: dict[str, dict[str, Any]] = {}
    kept(jobs.stream, whole)
    stream = list(jobs.stream)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        kept(stream[:size], cut)
        stream = stream[size:]
    assert cut == whole
    for model in ("m", "other"):
        agree(total([whole.get(model, {})]), model, jobs)


def agree(done: Done, model: str, jobs: StreamedJobs) -> None:
    """What was measured is what the jobs themselves say."""
    final = [job_from_record(stored) for stored in jobs.records.values() if stored["model"] == model]
    assert done.cost_usd == sum((job.cost_usd or Decimal(0) for job in final), Decimal(0))
    states = [
        change.after.state
        for change in jobs.stream
        if change.after and change.after.model == model and change.before and change.before.state != change.after.state
    ]
    assert (done.pictures, done.failed, done.held) == tuple(
        states.count(state) for state in (State.SUCCESS, State.FAILED, State.HELD)
    )
    assert done.expected_usd == LIST_PRICE * done.pictures
    assert sum(done.latencies.values()) == done.pictures
    assert done.attempts >= done.faults
    assert done.attempts >= done.pictures
