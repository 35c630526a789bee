"""How the sandbox behaves: limits, latency and faults, as one validated JSON document.

A document is whole: a field that it leaves out has its default, not the value from before.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any


class BehaviourError(ValueError):
    """Raised when a behaviour document cannot be used; the message is a sentence that says what to change."""


@dataclass(frozen=True)
class Plan:
    """What the account may do; ``None`` is unlimited."""

    images_per_minute: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True)
class Latency:
    """Seconds from the accepted submit to the finished picture: bounds and average."""

    min: float = 0.4
    mean: float = 0.8
    max: float = 2.0


@dataclass(frozen=True)
class Faults:
    """Rates from 0 to 1. Faults of one group exclude each other, so a group's sum is at most 1."""

    submit_429: float = 0.0
    submit_500_before: float = 0.0
    submit_500_after: float = 0.0
    submit_timeout_after: float = 0.0
    submit_drop_after: float = 0.0
    poll_500: float = 0.0
    task_failed: float = 0.0
    moderation: float = 0.0
    corrupt_picture: float = 0.0
    corrupt_picture_always: float = 0.0
    callback_lost: float = 0.0
    callback_late: float = 0.0
    callback_duplicate: float = 0.0
    callback_forged: float = 0.0

    def group(self, *names: str) -> list[tuple[str, float]]:
        """The named rates in the form that a draw takes."""
        return [(name, float(getattr(self, name))) for name in names]


#: Refused before anything is accepted; accepted and charged, but the answer is lost.
REFUSALS = ("submit_429", "submit_500_before")
LOST_ANSWERS = ("submit_500_after", "submit_timeout_after", "submit_drop_after")
SUBMIT_FAULTS = REFUSALS + LOST_ANSWERS
TASK_FAULTS = ("task_failed", "moderation")
PICTURE_FAULTS = ("corrupt_picture", "corrupt_picture_always")
#: Of a prediction that was submitted with a webhook: never delivered; delivered ``callback_late_seconds`` after
#: the rest; delivered twice; preceded by one whose signature is wrong and whose outcome is the opposite.
CALLBACK_FAULTS = ("callback_lost", "callback_late", "callback_duplicate", "callback_forged")

#: What signs callbacks while the behaviour's ``webhook_secret`` is ``None``. Public: it guards nothing but a sandbox.
DEFAULT_WEBHOOK_SECRET = "whsec_c2FuZGJveC1wcm92aWRlcg"  # noqa: S105 - as above


@dataclass(frozen=True)
class Behaviour:
    """The whole document; see PUT /_sandbox/behaviour.

    ``outage_until`` is in epoch seconds; ``api_key`` of ``None`` accepts any key that is not empty;
    ``sync_timeout_seconds`` is how long a synchronous submit waits before it answers "processing".

    ``unit_price_usd`` is what a run is quoted at and charged from now on; what was charged before keeps its price, and
    so does its refund.

    ``callback_retry_seconds`` are the pauses after a callback's first and second failed attempt; the third is the
    last. While ``hold_callbacks`` none is sent, and none is given up. ``webhook_secret`` of ``None`` signs with
    ``DEFAULT_WEBHOOK_SECRET``; without ``sign_callbacks`` none of the three ``webhook-*`` headers is sent.
    """

    plan: Plan = field(default_factory=Plan)
    latency_seconds: Latency = field(default_factory=Latency)
    faults: Faults = field(default_factory=Faults)
    unit_price_usd: Decimal = Decimal("0.003")
    out_of_funds: bool = False
    outage_until: float | None = None
    api_key: str | None = None
    sync_timeout_seconds: float = 60.0
    callback_late_seconds: float = 30.0
    callback_retry_seconds: tuple[float, float] = (1.0, 5.0)
    hold_callbacks: bool = False
    webhook_secret: str | None = None
    sign_callbacks: bool = True
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The document that ``parse`` reads back."""
        return dataclasses.asdict(self) | {
            "unit_price_usd": float(self.unit_price_usd),
            "callback_retry_seconds": list(self.callback_retry_seconds),
        }


def parse(document: object) -> Behaviour:
    """Read a behaviour document.

    Raises:
        BehaviourError: for an unknown field, a wrong type or a value out of range.
    """
    values = _known(Behaviour, document, "behaviour")
    return Behaviour(
        plan=_plan(values.get("plan", {})),
        latency_seconds=_latency(values.get("latency_seconds", {})),
        faults=_faults(values.get("faults", {})),
        unit_price_usd=_price(values.get("unit_price_usd", 0.003), "unit_price_usd"),
        out_of_funds=_boolean(values.get("out_of_funds", False), "out_of_funds"),
        outage_until=_optional_number(values.get("outage_until"), "outage_until"),
        api_key=_optional_text(values.get("api_key"), "api_key"),
        sync_timeout_seconds=_number(values.get("sync_timeout_seconds", 60.0), "sync_timeout_seconds"),
        callback_late_seconds=_number(values.get("callback_late_seconds", 30.0), "callback_late_seconds"),
        callback_retry_seconds=_pauses(values.get("callback_retry_seconds", [1.0, 5.0]), "callback_retry_seconds"),
        hold_callbacks=_boolean(values.get("hold_callbacks", False), "hold_callbacks"),
        webhook_secret=_optional_text(values.get("webhook_secret"), "webhook_secret"),
        sign_callbacks=_boolean(values.get("sign_callbacks", True), "sign_callbacks"),
        seed=_integer(values.get("seed", 0), "seed"),
    )


def _plan(document: object) -> Plan:
    values = _known(Plan, document, "plan")
    limits: dict[str, int | None] = {}
    for name, value in values.items():
        limits[name] = None if value is None else _integer(value, f"plan.{name}")
        if limits[name] is not None and limits[name] < 1:  # type: ignore[operator] # narrowed by the line itself
            raise BehaviourError(f"plan.{name} must be at least 1, or null for unlimited; it is {value!r}.")
    return Plan(**limits)


def _latency(document: object) -> Latency:
    values = _known(Latency, document, "latency_seconds")
    latency = Latency(**{name: _number(value, f"latency_seconds.{name}") for name, value in values.items()})
    if not latency.min <= latency.mean <= latency.max:
        raise BehaviourError(
            "latency_seconds needs min <= mean <= max; "
            f"it is min {latency.min:g}, mean {latency.mean:g}, max {latency.max:g}."
        )
    return latency


def _faults(document: object) -> Faults:
    values = _known(Faults, document, "faults")
    faults = Faults(**{name: _number(value, f"faults.{name}") for name, value in values.items()})
    for name in (f.name for f in fields(Faults)):
        if getattr(faults, name) > 1:
            raise BehaviourError(f"faults.{name} is a rate from 0 to 1; it is {getattr(faults, name):g}.")
    for group in (SUBMIT_FAULTS, TASK_FAULTS, PICTURE_FAULTS, CALLBACK_FAULTS):
        total = sum(rate for _, rate in faults.group(*group))
        if total > 1 + 1e-9:  # ten rates of 0.1 add up to a little more than 1
            raise BehaviourError(
                f"The rates of {', '.join(group)} exclude each other and may add up to 1; they add up to {total:g}."
            )
    return faults


def _known(kind: type, document: object, where: str) -> Mapping[str, Any]:
    if not isinstance(document, Mapping):
        raise BehaviourError(f"{where} must be a JSON object; it is {document!r}.")
    names = [f.name for f in fields(kind)]
    for name in document:
        if name not in names:
            raise BehaviourError(f"{where} has no field {name!r}; its fields are {', '.join(names)}.")
    return document


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise BehaviourError(f"{where} must be a number from 0 up; it is {value!r}.")
    return float(value)


def _price(value: object, where: str) -> Decimal:
    if not _number(value, where):
        raise BehaviourError(f"{where} must be more than 0; it is {value!r}.")
    return Decimal(str(value))  # the digits of the document


def _pauses(value: object, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise BehaviourError(f"{where} must be a list of two numbers; it is {value!r}.")
    return _number(value[0], where), _number(value[1], where)


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BehaviourError(f"{where} must be a whole number; it is {value!r}.")
    return value


def _boolean(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise BehaviourError(f"{where} must be true or false; it is {value!r}.")
    return value


def _optional_number(value: object, where: str) -> float | None:
    return None if value is None else _number(value, where)


def _optional_text(value: object, where: str) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise BehaviourError(f"{where} must be a text that is not empty, or null; it is {value!r}.")
