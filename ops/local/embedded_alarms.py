"""In which state an alarm is, by the rules of CloudWatch. Pure, and with the standard library alone, for ministack.

The rules: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html and, for data that is
missing, https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

EXTRA_PERIODS = 2
"""How many periods beyond those that it needs an alarm looks back where some are empty: AWS's own examples have 2."""

SETTLING_SECONDS = 2.0
"""How long after its end a period is first looked at: until then what was logged in it may be on its way."""

_EXCEEDS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

Point = Mapping[str, Any]
"""A stored data point: at least `Timestamp` (epoch seconds) and `Unit`."""


class Verdict(NamedTuple):
    """The state that an alarm has to be in, and why, as its notification says it."""

    state: str
    reason: str


def evaluate(
    alarm: Mapping[str, Any],
    points: Iterable[Point],
    now: float,
    statistic: Callable[[Sequence[Point]], float | None],
) -> Verdict | None:
    """The state of a metric alarm, or ``None`` where it keeps the one that it has.

    Args:
        alarm: as DescribeAlarms gives it.
        points: those of exactly its metric, that is namespace, name and all dimensions; in any order.
        now: epoch seconds.
        statistic: the alarm's statistic of the points of a period; ``None`` where they have none.
    """
    needed, threshold = alarm["EvaluationPeriods"], alarm["Threshold"]
    to_alarm = alarm.get("DatapointsToAlarm") or needed
    exceeds = _EXCEEDS.get(alarm["ComparisonOperator"])
    if exceeds is None:  # an anomaly band
        return None
    of_its_unit = (point for point in points if alarm.get("Unit") in (None, "", point["Unit"]))
    looked_at = periods(of_its_unit, now, seconds=alarm["Period"], count=needed + EXTRA_PERIODS)
    values = [statistic(inside) if inside else None for inside in looked_at]
    breaching = [None if value is None else exceeds(value, threshold) for value in values]
    state = judge(breaching, needed=needed, to_alarm=to_alarm, missing=alarm["TreatMissingData"])
    if state is None:
        return None
    found = [value for value in values if value is not None][:needed]
    return Verdict(
        state,
        f"Fires when {to_alarm} of {needed} periods are {alarm['ComparisonOperator']} ({threshold}); "
        f"the last ones, newest first: {found or 'no data'} (missing data: {alarm['TreatMissingData']}).",
    )


def periods(points: Iterable[Point], now: float, *, seconds: int, count: int) -> list[list[Point]]:
    """The points of the last ``count`` periods that have ended, the most recent period first.

    As in AWS the periods slide: they end at the last full minute (of 10 s where the period is shorter than a minute),
    not at multiples of their own length.
    """
    step = 60 if seconds >= 60 else 10
    end = (now - SETTLING_SECONDS) // step * step
    found: list[list[Point]] = [[] for _ in range(count)]
    for point in points:
        # A period has its begin and not its end, so ages are counted from the end down.
        age = -int((point["Timestamp"] - end) // seconds) - 1
        if 0 <= age < count:
            found[age].append(point)
    return found


def judge(breaching: Sequence[bool | None], *, needed: int, to_alarm: int, missing: str) -> str | None:
    """The state by what each period says, or ``None`` where the state stays.

    Args:
        breaching: by period, the most recent first; ``None`` where it is empty. More than are needed, so that data from
            further back stands in for what is missing.
        needed: EvaluationPeriods.
        to_alarm: DatapointsToAlarm.
        missing: TreatMissingData.
    """
    real = [one for one in breaching if one is not None]
    filled = max(needed - len(real), 0)
    if sum(real[:needed]) + (filled if missing == "breaching" else 0) >= to_alarm:
        return "ALARM"
    if missing in ("breaching", "notBreaching") or not filled:
        return "OK"
    if not real:
        return None if missing == "ignore" else "INSUFFICIENT_DATA"
    # Fewer breach than have to, but the first of them is so long ago that nothing can be waited for.
    oldest = max(age for age, one in enumerate(breaching) if one is not None)
    if all(real) and oldest + 1 >= to_alarm:
        return None if missing == "ignore" else "ALARM"
    return "OK"
