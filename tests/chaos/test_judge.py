"""The judge notices what must not be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from functions.core.batches.records import Batch, BatchState, Source
from tests.chaos.judge import Charge, Evidence, Verdict, judge, together
from tests.chaos.runs import broken_invariants

PRICE = Decimal("0.003")
JOBS = ("a" * 64, "b" * 64, "c" * 64)


def job(job_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "state": "success",
        "batch_id": "one",
        "batches": frozenset({"one"}),
        "cost_usd": PRICE,
        "image_key": f"{job_id[:2]}/{job_id}.jpg",
        "sha256": f"hash of {job_id}",
        "submitting_at": Decimal(1_000_000),
        **changes,
    }


def line(job_id: str, prompt: str, status: str = "success") -> dict[str, str]:
    return {"prompt": prompt, "status": status, "job_id": job_id, "sha256": f"hash of {job_id}"}


def charge(job_id: str, **changes: Any) -> Charge:
    return replace(Charge(job_id=job_id, at=1000.5, usd=PRICE, refunded=False, answered=True), **changes)


def batch(**changes: Any) -> Batch:
    now = "2026-11-21T08:00:00.000Z"
    whole = Batch(
        batch_id="one",
        listing="closed",
        state=BatchState.COMPLETED,
        source=Source("inbox", "one.csv", "1"),
        recipe="",
        recipe_text="",
        chunk_rows=40,
        scanned=True,
        rows=3,
        requested=3,
        jobs=3,
        succeeded=3,
        cost_usd=3 * PRICE,
        created_at=now,
        deadline_at=now,
        updated_at=now,
    )
    return replace(whole, **changes)


@pytest.fixture
def fine() -> Evidence:
    """Three rows, three pictures, three charges."""
    prompts = ("first", "second", "third")
    return Evidence(
        prompts=prompts,
        results=[line(one, prompt) for one, prompt in zip(JOBS, prompts, strict=True)],
        batch=batch(),
        jobs=[job(one) for one in JOBS],
        charges=[charge(one) for one in JOBS],
        pictures={f"{one[:2]}/{one}.jpg": f"hash of {one}" for one in JOBS},
        described=frozenset(JOBS),
        letters=frozenset(),
    )


def test_where_all_is_well_nothing_is_broken(fine: Evidence) -> None:
    verdict = judge(fine)

    assert (verdict.rows, verdict.unique, verdict.paid, verdict.paid_per_unique) == (3, 3, 3, 1.0)
    assert (verdict.succeeded, verdict.lost_rows, verdict.broken, verdict.wrong_counters) == (3, 0, 0, ())
    assert broken_invariants("callback", verdict) == []


def test_a_job_that_was_paid_for_twice_is_named(fine: Evidence) -> None:
    verdict = judge(replace(fine, charges=[*fine.charges, charge(JOBS[1])]))

    assert (verdict.double, verdict.paid, verdict.unknown_usd) == ((JOBS[1],), 4, PRICE)
    assert verdict.paid_per_unique == pytest.approx(4 / 3)
    broken = broken_invariants("poll", verdict)
    assert any("paid for twice" in what for what in broken)
    assert any("in no record" in what for what in broken)


def test_a_double_payment_is_not_hidden_by_a_job_that_failed_unpaid(fine: Evidence) -> None:
    charges = [charge(JOBS[0]), charge(JOBS[1]), charge(JOBS[1])]

    assert judge(replace(fine, charges=charges)).paid_per_unique == 1.5


def test_a_charge_that_was_given_back_is_no_payment(fine: Evidence) -> None:
    verdict = judge(replace(fine, charges=[*fine.charges, charge(JOBS[1], refunded=True)]))

    assert not verdict.double
    assert (verdict.paid_per_unique, verdict.unknown_usd) == (1.0, Decimal(0))


def repaid(fine: Evidence, *charges: Charge, **changes: Any) -> Verdict:
    """The verdict where the last job was repaid once, with these charges beside the first of each job."""
    jobs = [*fine.jobs[:2], job(JOBS[2], repays=Decimal(1), **changes)]
    return judge(replace(fine, jobs=jobs, batch=batch(repaid=1), charges=[*fine.charges, *charges]))


def test_a_second_payment_by_policy_is_allowed_where_the_policy_is_to_repay(fine: Evidence) -> None:
    """On a lane that holds, the repay itself is wrong too, even if it cost nothing."""
    second = repaid(fine, charge(JOBS[2]))

    assert (second.double, second.unexplained) == ((JOBS[2],), ())
    assert broken_invariants("poll-repay", second) == []
    assert any("paid for twice" in what for what in broken_invariants("poll", second))
    assert broken_invariants("poll", repaid(fine)) == ["1 repays, and the policy is to hold"]


def test_the_repay_of_one_job_explains_no_payment_of_another(fine: Evidence) -> None:
    verdict = repaid(fine, charge(JOBS[0]))

    assert verdict.unexplained == (JOBS[0],)
    assert any(f"paid for twice: {JOBS[0]}" in what for what in broken_invariants("poll-repay", verdict))


def test_one_repay_explains_one_payment(fine: Evidence) -> None:
    verdict = repaid(fine, charge(JOBS[2]), charge(JOBS[2]))

    assert verdict.unexplained == (JOBS[2],)
    assert any("paid for twice" in what for what in broken_invariants("poll-repay", verdict))


def test_a_charge_that_one_job_misses_is_not_made_up_for_by_another(fine: Evidence) -> None:
    """By their sums the two jobs cost what was charged."""
    jobs = [job(JOBS[0], cost_usd=Decimal(0)), job(JOBS[1], cost_usd=2 * PRICE), fine.jobs[2]]
    verdict = judge(replace(fine, jobs=jobs))

    assert verdict.unknown_usd == 0
    assert any(JOBS[0][:12] in what and "in no record" in what for what in verdict.problems)
    assert any(JOBS[1][:12] in what and "never charged" in what for what in verdict.problems)


def test_what_a_held_job_was_charged_need_not_be_in_its_record(fine: Evidence) -> None:
    jobs = [*fine.jobs[:2], job(JOBS[2], state="held", cost_usd=Decimal(0))]

    assert not any("in no record" in what for what in judge(replace(fine, jobs=jobs)).problems)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_row_that_is_not_in_the_results_is_lost(fine: Evidence, at: int) -> None:
    assert fine.results is not None
    verdict = judge(replace(fine, results=[*fine.results[:at], *fine.results[at + 1 :]]))

    assert verdict.lost_rows >= 1
    assert any("lost" in what for what in broken_invariants("sync", verdict))


def test_without_results_every_row_is_lost(fine: Evidence) -> None:
    assert judge(replace(fine, results=None)).lost_rows == 3


def test_a_row_without_an_end_is_lost(fine: Evidence) -> None:
    assert fine.results is not None
    running = [*fine.results[:2], line(JOBS[2], "third", "running")]

    assert judge(replace(fine, results=running)).lost_rows == 1


@pytest.mark.parametrize(
    "change",
    [
        {"succeeded": 2},
        {"failed": 1},
        {"pending": 1},
        {"cost_usd": PRICE},
        {"jobs": 4},
        {"duplicates_prevented": 1},
        {"repaid": 1},
    ],
)
def test_a_counter_that_is_not_what_the_tables_say_is_named(fine: Evidence, change: dict[str, Any]) -> None:
    verdict = judge(replace(fine, batch=batch(**change)))

    (wrong,) = verdict.wrong_counters
    assert wrong.startswith(next(iter(change)))
    assert any("wrong counters" in what for what in broken_invariants("poll", verdict))


@pytest.mark.parametrize("found", [None, "hash of another picture"])
def test_a_picture_that_is_broken_or_another_one_is_counted(fine: Evidence, found: str | None) -> None:
    key = f"{JOBS[0][:2]}/{JOBS[0]}.jpg"
    verdict = judge(replace(fine, pictures={**fine.pictures, key: found}))

    assert verdict.broken == 1
    assert any("broken pictures" in what for what in broken_invariants("poll", verdict))


def test_a_picture_that_is_missing_counts_as_broken(fine: Evidence) -> None:
    assert judge(replace(fine, pictures={})).broken == 3


def test_a_job_that_did_not_end_is_a_problem(fine: Evidence) -> None:
    jobs = [*fine.jobs[:2], job(JOBS[2], state="running")]

    assert any("is still running" in what for what in judge(replace(fine, jobs=jobs)).problems)


def test_results_that_say_something_else_than_the_table_are_a_problem(fine: Evidence) -> None:
    assert fine.results is not None
    results = [*fine.results[:2], line(JOBS[2], "third", "failed")]

    assert any("failed in results.csv" in what for what in judge(replace(fine, results=results)).problems)


def test_a_failure_without_a_dead_letter_is_a_problem(fine: Evidence) -> None:
    jobs = [*fine.jobs[:2], job(JOBS[2], state="failed", error_class="timeout", cost_usd=Decimal(0))]
    failed = replace(fine, jobs=jobs, batch=batch(succeeded=2, failed=1, cost_usd=2 * PRICE))

    assert any("no dead letter" in what for what in judge(failed).problems)
    assert not any("no dead letter" in what for what in judge(replace(failed, letters=frozenset(JOBS))).problems)
    assert any("has a picture in the bucket" in what for what in judge(failed).problems)
    assert judge(failed).failures == {"timeout": 1}


def test_a_picture_that_nobody_paid_for_is_a_problem(fine: Evidence) -> None:
    assert any("never paid" in what for what in judge(replace(fine, charges=fine.charges[:2])).problems)


def test_a_call_that_left_long_after_its_announcement_is_a_problem(fine: Evidence) -> None:
    charges = [*fine.charges[:2], charge(JOBS[2], at=1008.0)]

    assert any("8.0 s after its announcement" in what for what in judge(replace(fine, charges=charges)).problems)


def test_several_batches_are_judged_as_one_by_their_sums(fine: Evidence) -> None:
    both = together([judge(fine), judge(replace(fine, charges=[*fine.charges, charge(JOBS[1])]))])

    assert (both.rows, both.unique, both.paid, both.double, both.unexplained) == (6, 6, 7, (JOBS[1],), (JOBS[1],))
