"""The windows that a lane's guardrails look at."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from functions.core.governing.recent import Recent, Windows
from functions.core.lanes.measures import FEWEST_PICTURES
from functions.core.lanes.records import minute_record

MINUTE = 29_920_844
NOW = MINUTE * 60_000 + 4_000
MODEL = "flux-schnell"


def recent(by_age: dict[int, dict[str, Any]], alarm_seconds: int = 300) -> Recent:
    """What the windows have of a lane that did this so many minutes ago."""
    found = {minute_record(MODEL, MINUTE - age): record for age, record in by_age.items()}
    return Windows(alarm_seconds).recent(MODEL, NOW, found)


def test_the_hour_is_the_one_before_the_last_minutes() -> None:
    one = {"pictures": 1}
    ages = (0, 4, 5, 64, 65)
    counted = {age: (recent({age: one}).last.pictures, recent({age: one}).before.pictures) for age in ages}
    assert counted == {0: (1, 0), 4: (1, 0), 5: (0, 1), 64: (0, 1), 65: (0, 0)}


def test_failures_are_counted_over_the_alarms_two_periods() -> None:
    ages = (0, 10, 11)
    assert [recent({age: {"attempts": 1}}).failing.attempts for age in ages] == [1, 1, 0]


def test_all_minutes_of_a_window_are_read() -> None:
    assert len(Windows(300).records(MODEL, NOW)) == 65
    assert len(Windows(3600).records(MODEL, NOW)) == 121


def test_windows_shrink_with_the_period_but_never_to_the_minute_that_has_just_begun() -> None:
    assert [Windows(seconds).last_minutes for seconds in (10, 60, 120, 130, 300)] == [2, 2, 2, 3, 5]


def ratio(now: dict[str, Any], before: dict[str, Any]) -> Decimal | None:
    return recent({0: now, 9: before}).cost_ratio


def pictures(count: int, cost: str, expected: str) -> dict[str, Any]:
    return {"pictures": count, "cost_usd": Decimal(cost), "expected_usd": Decimal(expected)}


def test_cost_is_compared_with_the_hour_before_each_against_its_catalog_price() -> None:
    """So pictures of another price are no jump."""
    assert ratio(pictures(20, "0.90", "0.60"), pictures(20, "0.06", "0.06")) == Decimal("1.5")
    assert ratio(pictures(20, "0.60", "0.60"), pictures(20, "0.06", "0.06")) == 1


def test_of_too_few_pictures_nothing_is_compared() -> None:
    enough, few = pictures(FEWEST_PICTURES, "0.06", "0.06"), pictures(FEWEST_PICTURES - 1, "0.06", "0.06")
    assert ratio(enough, enough) == 1
    assert ratio(few, enough) is ratio(enough, few) is None


def test_pictures_that_cost_nothing_before_are_nothing_to_compare_with() -> None:
    free = pictures(20, "0", "0.06")
    assert ratio(pictures(20, "0.06", "0.06"), free) is None
    assert ratio(pictures(20, "0.06", "0"), pictures(20, "0.06", "0.06")) is None


@pytest.mark.parametrize(("alarm_seconds", "times"), [(300, 12), (60, 60), (10, 60), (3600, 1)])
def test_prices_are_asked_for_once_in_a_period_at_most_each_minute(alarm_seconds: int, times: int) -> None:
    minutes = range(MINUTE, MINUTE + 60)
    assert sum(Windows(alarm_seconds).quotes_due(minute * 60_000 + 59_999) for minute in minutes) == times
