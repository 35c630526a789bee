"""When an alarm of the embedded AWS is in which state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ops.local.embedded_alarms import SETTLING_SECONDS, Point, Verdict, evaluate, judge, periods

MINUTE = 1_795_250_040  # a full minute, in epoch seconds
RETAIN = None
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")

# The most recent period on the right: 0 is within the threshold, X is not, - has no data. From the tables and text of
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
THREE_OF_THREE = {
    "0 - X - X": ("OK", "OK", "OK", "OK"),
    "0 - - - -": ("OK", "OK", "OK", "OK"),
    "- - - - -": ("INSUFFICIENT_DATA", RETAIN, "ALARM", "OK"),
    "0 X X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "- - X - -": ("ALARM", RETAIN, "ALARM", "OK"),
    "- - - - X": ("OK", "OK", "ALARM", "OK"),
    "- - - X -": ("OK", "OK", "ALARM", "OK"),
    "X X X 0 0": ("OK", "OK", "OK", "OK"),
}
TWO_OF_THREE = {
    "0 - X - X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 0 X 0 X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0 - X - -": ("OK", "OK", "ALARM", "OK"),
    "- - - - 0": ("OK", "OK", "ALARM", "OK"),
    "- - - X -": ("ALARM", RETAIN, "ALARM", "OK"),
    "X X X 0 0": ("OK", "OK", "OK", "OK"),
}


@pytest.mark.parametrize(
    ("drawn", "to_alarm", "missing", "expected"),
    [
        (drawn, to_alarm, missing, state)
        for to_alarm, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
        for drawn, states in table.items()
        for missing, state in zip(TREATMENTS, states, strict=True)
    ],
)
def test_missing_data_counts_as_in_the_tables_of_aws(
    drawn: str, to_alarm: int, missing: str, expected: str | None
) -> None:
    newest_first = [{"0": False, "X": True, "-": None}[one] for one in reversed(drawn.split())]

    assert judge(newest_first, needed=3, to_alarm=to_alarm, missing=missing) == expected


def alarm(**changed: Any) -> dict[str, Any]:
    """The alarm on a lane's error rate: above 5 % in two of two periods of five minutes."""
    usual = {
        "Period": 300,
        "EvaluationPeriods": 2,
        "Threshold": 0.05,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    return usual | changed


def point(at: float, value: float = 1.0, unit: str = "None") -> Point:
    return {"Timestamp": at, "Value": value, "Unit": unit}


def average(points: Sequence[Point]) -> float | None:
    return sum(float(each["Value"]) for each in points) / len(points)


def state(alarm: dict[str, Any], points: Sequence[Point], now: float) -> str | None:
    found = evaluate(alarm, points, now, average)
    return found.state if found else None


def ages(points: Sequence[Point], now: float, seconds: int = 300) -> list[list[float]]:
    return [[one["Timestamp"] for one in found] for found in periods(points, now, seconds=seconds, count=2)]


def test_periods_end_at_the_last_full_minute_whatever_their_length() -> None:
    points = [point(MINUTE - 300), point(MINUTE - 1), point(MINUTE)]

    assert ages(points, MINUTE + 30) == [[MINUTE - 300, MINUTE - 1], []]
    assert ages(points, MINUTE + 90) == [[MINUTE - 1, MINUTE], [MINUTE - 300]]


def test_short_periods_end_at_the_last_full_ten_seconds() -> None:
    points = [point(MINUTE + 5), point(MINUTE + 15)]

    assert ages(points, MINUTE + 23, seconds=10) == [[MINUTE + 15], [MINUTE + 5]]


def test_a_period_that_has_just_ended_is_given_time_for_what_is_on_its_way() -> None:
    points = [point(MINUTE - 1)]

    assert ages(points, MINUTE + SETTLING_SECONDS - 0.5, seconds=60) == [[], []]
    assert ages(points, MINUTE + SETTLING_SECONDS, seconds=60) == [[MINUTE - 1], []]


def test_one_bad_period_does_not_fire_where_two_are_asked_for() -> None:
    bad = [point(MINUTE - 10), point(MINUTE - 20)]

    assert state(alarm(), bad, MINUTE + 5) == "OK"
    assert state(alarm(), [*bad, point(MINUTE - 310)], MINUTE + 5) == "ALARM"


def test_periods_are_judged_one_by_one_and_not_together() -> None:
    """Over both periods the average is 50 %, but the older one is good."""
    assert state(alarm(), [point(MINUTE - 10), point(MINUTE - 310, 0.0)], MINUTE + 5) == "OK"


def test_fewer_periods_than_are_looked_at_may_be_enough() -> None:
    assert state(alarm(DatapointsToAlarm=1), [point(MINUTE - 10), point(MINUTE - 310, 0.0)], MINUTE + 5) == "ALARM"


def test_an_alarm_ends_when_data_stops() -> None:
    """What is further back stands in for what is missing, for two periods more; then missing data decides."""
    one = alarm(Period=60, EvaluationPeriods=1)

    states = [state(one, [point(MINUTE - 1)], MINUTE + 5 + 60 * later) for later in range(4)]

    assert states == ["ALARM", "ALARM", "ALARM", "OK"]


@pytest.mark.parametrize(
    ("comparison", "fires_at"),
    [
        ("GreaterThanThreshold", [2.0]),
        ("GreaterThanOrEqualToThreshold", [1.0, 2.0]),
        ("LessThanThreshold", [0.0]),
        ("LessThanOrEqualToThreshold", [0.0, 1.0]),
    ],
)
def test_each_comparison_is_its_own(comparison: str, fires_at: list[float]) -> None:
    one = alarm(EvaluationPeriods=1, Threshold=1.0, ComparisonOperator=comparison)

    assert [v for v in (0.0, 1.0, 2.0) if state(one, [point(MINUTE - 1, v)], MINUTE + 5) == "ALARM"] == fires_at


def test_data_of_another_unit_is_none() -> None:
    points = [point(MINUTE - 10, unit="Count"), point(MINUTE - 310, unit="Count")]

    assert state(alarm(Unit="Seconds"), points, MINUTE + 5) == "OK"
    assert state(alarm(Unit="Count"), points, MINUTE + 5) == "ALARM"


def test_an_alarm_on_an_anomaly_band_keeps_its_state() -> None:
    assert evaluate(alarm(ComparisonOperator="GreaterThanUpperThreshold"), [point(MINUTE - 1)], MINUTE, average) is None


def test_the_reason_says_what_was_seen() -> None:
    found = evaluate(alarm(), [point(MINUTE - 10), point(MINUTE - 310, 0.5)], MINUTE + 5, average)

    assert found == Verdict(
        "ALARM",
        "Fires when 2 of 2 periods are GreaterThanThreshold (0.05); the last ones, newest first: [1.0, 0.5] "
        "(missing data: notBreaching).",
    )
