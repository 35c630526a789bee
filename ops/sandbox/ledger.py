"""What was accepted, charged and refused: the fold of the journal, live and after a restart alike."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from ops.sandbox.behaviour import REFUSALS
from ops.sandbox.callbacks import Callbacks
from ops.sandbox.limits import Limiter
from ops.sandbox.predictions import Prediction


class Ledger:
    """State after a sequence of events; each event is a JSON object with its name under ``event``.

    ``accepted``: a prediction. ``refused``: a submit that was not accepted, its reason and, when it was
    understood, its content. ``injected``: a fault of another kind, with the output it is about.
    ``callback_attempt`` and ``callback_ended``: see ``Callbacks``. ``cleared``: the charges and counts start anew;
    predictions stay, since clients still poll them, and so do callbacks.
    """

    def __init__(self) -> None:
        self.predictions: dict[str, Prediction] = {}
        self.limiter = Limiter()
        self.callbacks = Callbacks()
        self.spoiled_outputs: set[str] = set()
        self._submits_of_content: Counter[str] = Counter()
        self._clear()

    def _clear(self) -> None:
        self._first_charge = len(self.predictions)
        self._refused: Counter[str] = Counter()
        self._injected: Counter[str] = Counter()
        self._images_by_minute: Counter[int] = Counter()
        self._peak_in_flight = 0
        self.callbacks.clear()

    def apply(self, event: Mapping[str, Any]) -> None:
        """Move to the state after that event."""
        match event["event"]:
            case "accepted":
                self._accepted(Prediction.from_json(event["prediction"]))
            case "refused":
                self._refused[event["reason"]] += 1
                if event["content"] is not None:
                    self._submits_of_content[event["content"]] += 1
            case "injected":
                self._injected[event["fault"]] += 1
                if event["fault"] == "corrupt_picture":
                    self.spoiled_outputs.add(event["output"])
            case "callback_attempt":
                self.callbacks.attempted(event["id"], event["kind"], event["status"])
            case "callback_ended":
                self.callbacks.ended(event["id"], event["outcome"])
            case "cleared":
                self._clear()

    def _accepted(self, prediction: Prediction) -> None:
        order = prediction.order
        self.predictions[prediction.id] = prediction
        self._submits_of_content[order.content] += 1
        self._images_by_minute[int(prediction.accepted_at // 60)] += order.images
        in_flight = self.limiter.add(at=prediction.accepted_at, ends=prediction.ready_at, images=order.images)
        self._peak_in_flight = max(self._peak_in_flight, in_flight)
        faults = (prediction.lost_answer, prediction.task_fault, prediction.callback_fault)
        self._injected.update(fault for fault in faults if fault is not None)
        if order.webhook:
            self.callbacks.expect(prediction)

    def submits_of(self, content: str) -> int:
        """How many submits asked for exactly this before."""
        return self._submits_of_content[content]

    def charged(self) -> list[Prediction]:
        """Everything charged since the ledger was last cleared, oldest first."""
        return list(islice(self.predictions.values(), self._first_charge, None))

    def charges(self, now: float) -> list[dict[str, Any]]:
        """One JSON object per charge, oldest first."""
        return [_charge(prediction, now) for prediction in self.charged()]

    def net_usd(self, now: float) -> Decimal:
        """What was charged and not refunded."""
        return _total([p for p in self.charged() if not p.refunded(now)])

    def summary(self, now: float) -> dict[str, Any]:
        """The counts; money in US dollars, ``usd`` before and ``net_usd`` after refunds."""
        charged = self.charged()
        refunded = [p for p in charged if p.refunded(now)]
        usd, refunded_usd = _total(charged), _total(refunded)
        keys = Counter(p.order.idempotency_key for p in charged if p.order.idempotency_key)
        return {
            "submits": len(charged) + self._refused.total(),
            "accepted": len(charged),
            "charged": len(charged),
            "usd": float(usd),
            "refunded": len(refunded),
            "refunded_usd": float(refunded_usd),
            "net_usd": float(usd - refunded_usd),
            "idempotency_keys": len(keys),
            "charged_again": keys.total() - len(keys),
            "refused": {reason: self._refused[reason] for reason in sorted(self._refused)},
            "rejected_429": sum(self._refused[r] for r in ("rate_limit", "concurrency", "submit_429")),
            "injected": dict(sorted(self._all_injected().items())),
            "in_flight": self.limiter.in_flight(now),
            "peak_in_flight": self._peak_in_flight,
            "callbacks": self.callbacks.summary(charged, now),
            "images_per_minute": {
                _iso(minute * 60): images for minute, images in sorted(self._images_by_minute.items())
            },
        }

    def _all_injected(self) -> Counter[str]:
        return self._injected + Counter({name: self._refused[name] for name in REFUSALS})


def _charge(prediction: Prediction, now: float) -> dict[str, Any]:
    order = prediction.order
    return {
        "id": prediction.id,
        "model": order.model,
        "idempotency_key": order.idempotency_key,
        "prompt_sha256": order.prompt_sha256,
        "seed": order.seed,
        "size": f"{order.width}*{order.height}",
        "at": _iso(prediction.accepted_at),
        "usd": float(order.price_usd),
        "refunded": prediction.refunded(now),
        "lost_answer": prediction.lost_answer,
    }


def _total(predictions: list[Prediction]) -> Decimal:
    return sum((p.order.price_usd for p in predictions), Decimal(0))


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
