"""The alarms that the governor acts on: their names, and what CloudWatch says when one changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

ALARM = "ALARM"

_NEWEST = re.compile(r"\[(\d+(?:\.\d+)?) \(")
"""The newest datapoint in the reason that CloudWatch gives: `... datapoints [1.5 (21/11/26 08:41:00)] was greater`."""


class Guardrail(StrEnum):
    """What a lane's alarm looks at: the share of attempts that fail, or what its pictures cost."""

    ERROR_RATE = "error-rate"
    COST = "cost"


def alarm_name(stack: str, guardrail: Guardrail, model: str) -> str:
    """Name of a lane's alarm."""
    return f"{stack}-{guardrail}-{model}"


def guarded(name: str, stack: str, models: Iterable[str]) -> tuple[Guardrail, str] | None:
    """What an alarm of this name looks at, and at which model; None if it is none of the governor's."""
    names = {alarm_name(stack, guardrail, model): (guardrail, model) for model in models for guardrail in Guardrail}
    return names.get(name)


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """An alarm went into another state. `at`: when, as CloudWatch writes it; the same in every delivery.

    `value`: what its metric was then, None where CloudWatch does not say.
    """

    name: str
    state: str
    at: str
    value: Decimal | None = None


def parse_alarm(message: str) -> AlarmChange:
    """Read what CloudWatch publishes on an alarm's topic.

    Raises:
        ValueError: when it is something else.
    """
    try:
        body = json.loads(message)
        name, state, at = (str(body[key]) for key in ("AlarmName", "NewStateValue", "StateChangeTime"))
        newest = _NEWEST.search(str(body.get("NewStateReason", "")))
        return AlarmChange(name, state, at, Decimal(newest[1]) if newest else None)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("this is no CloudWatch alarm that has changed") from error
