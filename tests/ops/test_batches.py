from collections.abc import Callable
from decimal import Decimal

import pytest

from ops.batches import expected_jobs, find_batch, first_problems, has_ended, is_complete, recent_batches, status_record
from ops.errors import NotFoundError, UsageError
from ops.stack import Stack

PutBatch = Callable[..., None]


def at(minute: int) -> str:
    return f"2026-11-21T08:{minute:02}:00.000Z"


def test_recent_batches_come_newest_first_open_or_not(stack: Stack, put_batch: PutBatch) -> None:
    for minute, state in enumerate(("completed", "running", "rejected", "scanning")):
        put_batch(f"batch-{minute}", state=state, created_at=at(minute))

    assert [batch.batch_id for batch in recent_batches(stack, 3)] == ["batch-3", "batch-2", "batch-1"]


def test_more_batches_than_one_request_reads_are_all_there(stack: Stack, put_batch: PutBatch) -> None:
    for number in range(130):
        put_batch(f"batch-{number:03}", created_at=at(number % 60))

    assert len(recent_batches(stack, 1000)) == 130


def test_the_beginning_of_an_id_is_enough(stack: Stack, put_batch: PutBatch) -> None:
    put_batch("products-aaa")
    put_batch("posters-bbb")

    assert find_batch(stack, "prod").batch_id == "products-aaa"
    assert find_batch(stack, "products-aaa").batch_id == "products-aaa"


def test_a_beginning_of_several_names_them(stack: Stack, put_batch: PutBatch) -> None:
    put_batch("products-aaa")
    put_batch("products-bbb")

    with pytest.raises(UsageError, match=r"products-(aaa|bbb), products-(aaa|bbb)"):
        find_batch(stack, "products")


def test_an_unknown_batch_names_near_ones(stack: Stack, put_batch: PutBatch) -> None:
    put_batch("products-aaa")

    with pytest.raises(NotFoundError, match="products-aaa"):
        find_batch(stack, "prodcuts-aaa")


def test_without_any_batch_the_way_to_one_is_told(stack: Stack) -> None:
    with pytest.raises(NotFoundError, match="imagebatch submit"):
        find_batch(stack, "products-aaa")


def test_the_record_has_the_documented_keys(stack: Stack, put_batch: PutBatch) -> None:
    put_batch("products-aaa", rows=3, jobs=2, succeeded=2, duplicates_prevented=1, cost_usd=Decimal("0.006"))

    record = status_record(find_batch(stack, "products-aaa"), [])

    assert list(record) == [
        *("batch_id", "state", "rows", "invalid_rows", "requested", "jobs", "pending", "running", "held"),
        *("succeeded", "failed", "repaid", "duplicates_prevented", "cost_usd", "recipe", "source"),
        *("created_at", "deadline_at", "finished_at", "late", "paused", "results", "reason", "problems"),
    ]
    assert record["source"] == {"bucket": "inbox", "key": "products.csv", "version": "v1"}


def test_problems_are_those_of_the_first_bad_rows(
    stack: Stack, put_batch: PutBatch, put_part: Callable[[str, list[tuple[int, int, str, str]]], None]
) -> None:
    put_batch("products-aaa", rows=9, invalid_rows=2)
    put_part("products-aaa", [(3, 4, "width", "-5 is no size"), (4, 5, "seed", "abc is no number")])

    problems = first_problems(stack, find_batch(stack, "products-aaa"), limit=1)

    assert [(one.row, one.line, one.column, one.message) for one in problems] == [(3, 4, "width", "-5 is no size")]


@pytest.mark.parametrize(
    ("attributes", "ended", "complete"),
    [
        ({"state": "running", "jobs": 1, "running": 1}, False, False),
        ({"state": "running", "jobs": 1, "held": 1}, True, False),
        ({"state": "running", "jobs": 1, "held": 1, "scanned": False}, False, False),
        ({"state": "running", "jobs": 1, "succeeded": 1}, False, False),
        ({"state": "completed", "jobs": 1, "succeeded": 1}, True, True),
        ({"state": "completed", "jobs": 1, "failed": 1}, True, False),
        ({"state": "completed", "rows": 1, "invalid_rows": 1}, True, False),
        ({"state": "rejected", "reason": "no"}, True, False),
    ],
)
def test_when_a_batch_has_ended_and_whether_nothing_is_missing(
    stack: Stack, put_batch: PutBatch, attributes: dict[str, object], ended: bool, complete: bool
) -> None:
    put_batch("products-aaa", **attributes)

    batch = find_batch(stack, "products-aaa")

    assert (has_ended(batch), is_complete(batch)) == (ended, complete)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"state": "running", "requested": 5, "jobs": 4, "running": 4}, 4),
        ({"state": "running", "requested": 5, "jobs": 0, "succeeded": 2}, 5),
        ({"state": "scanning", "requested": 0}, 0),
        ({"state": "completed", "requested": 5, "jobs": 4, "succeeded": 4}, 4),
    ],
)
def test_progress_goes_by_the_pictures_asked_for_until_the_jobs_are_counted(
    stack: Stack, put_batch: PutBatch, attributes: dict[str, object], expected: int
) -> None:
    put_batch("products-aaa", **attributes)

    assert expected_jobs(find_batch(stack, "products-aaa")) == expected
