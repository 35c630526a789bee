"""The plan's limits: images in a fixed minute, tasks in flight."""

from typing import Any

import pytest

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_the_minute_is_full_at_the_plans_rate_and_starts_anew_with_the_next(sandbox: Any) -> None:
    sandbox.behave(plan={"images_per_minute": 3})
    assert [sandbox.submit().status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    sandbox.clock.advance(59)
    assert sandbox.submit().status_code == 429
    sandbox.clock.advance(1)
    assert sandbox.submit().status_code == 200
    summary = sandbox.summary()
    assert (summary["accepted"], summary["rejected_429"]) == (4, 3)
    assert list(summary["images_per_minute"].values()) == [3, 1]
    assert summary["refused"] == {"rate_limit": 3}


def test_every_image_of_a_task_counts_into_the_minute(sandbox: Any) -> None:
    sandbox.behave(plan={"images_per_minute": 4})
    assert sandbox.submit(num_images=3).status_code == 200
    assert sandbox.submit(num_images=2).status_code == 429
    assert sandbox.submit(num_images=1).status_code == 200


def test_no_more_than_the_plans_tasks_are_in_flight(sandbox: Any) -> None:
    sandbox.behave(plan={"concurrency": 2}, latency_seconds={"min": 5.0, "mean": 5.0, "max": 5.0})
    assert [sandbox.submit().status_code for _ in range(3)] == [200, 200, 429]
    assert sandbox.summary()["in_flight"] == 2
    sandbox.clock.advance(5)
    assert sandbox.submit().status_code == 200
    summary = sandbox.summary()
    assert (summary["in_flight"], summary["peak_in_flight"], summary["rejected_429"]) == (1, 2, 1)


def test_a_submit_whose_answer_was_lost_is_in_flight_all_the_same(sandbox: Any) -> None:
    sandbox.behave(
        plan={"concurrency": 1},
        faults={"submit_500_after": 1},
        latency_seconds={"min": 5.0, "mean": 5.0, "max": 5.0},
    )
    assert [sandbox.submit().status_code for _ in range(2)] == [500, 429]


def test_clearing_the_ledger_does_not_free_the_minute(sandbox: Any) -> None:
    sandbox.behave(plan={"images_per_minute": 1})
    assert sandbox.submit().status_code == 200
    sandbox.http.delete("/_sandbox/ledger")
    assert sandbox.submit().status_code == 429
