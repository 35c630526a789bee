"""What every image API does, free of any wire protocol: accept, charge, take its time, fail as configured.

It runs on one event loop and never waits, so each call is atomic and the ledger exact under concurrency.
"""

import time
import uuid
from collections.abc import Callable
from typing import Any

from ops.sandbox import behaviour as kinds
from ops.sandbox import draws
from ops.sandbox.behaviour import Behaviour
from ops.sandbox.callbacks import Kind, Outcome
from ops.sandbox.journal import Journal
from ops.sandbox.ledger import Ledger
from ops.sandbox.predictions import Order, Prediction

RETENTION_SECONDS = 7 * 24 * 3600


class RefusedError(Exception):
    """Raised when a submit is not accepted and not charged.

    ``reason`` is ``out_of_funds``, ``rate_limit``, ``concurrency``, ``submit_429`` or ``submit_500_before``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Engine:
    """The provider behind the protocols.

    Args:
        journal: its memory; replayed here.
        behaviour: how it behaves until told otherwise.
        clock: epoch seconds.
    """

    def __init__(self, journal: Journal, behaviour: Behaviour, clock: Callable[[], float] = time.time) -> None:
        self.behaviour = behaviour
        self.clock = clock
        self._journal = journal
        self._ledger = Ledger()
        self._polls: dict[str, int] = {}
        for event in journal.replay():
            self._ledger.apply(event)

    def _record(self, **event: Any) -> None:
        self._journal.append(event)
        self._ledger.apply(event)

    def is_down(self) -> bool:
        """Whether there is an outage now."""
        until = self.behaviour.outage_until
        return until is not None and self.clock() < until

    def holds_callbacks(self) -> bool:
        """Whether callbacks are not sent now, also those that are due."""
        return self.behaviour.hold_callbacks or self.is_down()

    def outage(self) -> bool:
        """Whether a request meets an outage; counted as an injected fault."""
        if not self.is_down():
            return False
        self._record(event="injected", fault="outage", output=None)
        return True

    def key_is_good(self, key: str) -> bool:
        """Whether that API key belongs to an account."""
        return bool(key) and self.behaviour.api_key in (None, key)

    def submit(self, order: Order) -> Prediction:
        """Accept and charge an order.

        Raises:
            RefusedError: it was not accepted.
        """
        now = self.clock()
        ordinal = self._ledger.submits_of(order.content)
        fault = self._draw(kinds.SUBMIT_FAULTS, order, ordinal, "submit")
        reason = self._refusal(order, fault, now)
        if reason:
            self.refuse(reason, order.content)
            raise RefusedError(reason)
        latency = self.behaviour.latency_seconds
        ready_at = now + draws.between(
            latency.min, latency.mean, latency.max, self.behaviour.seed, order.content, ordinal, "latency"
        )
        callback_fault = self._draw(kinds.CALLBACK_FAULTS, order, ordinal, "callback") if order.webhook else None
        late = self.behaviour.callback_late_seconds if callback_fault == "callback_late" else 0.0
        prediction = Prediction(
            id=uuid.uuid4().hex,
            order=order,
            ordinal=ordinal,
            accepted_at=now,
            ready_at=ready_at,
            task_fault=self._draw(kinds.TASK_FAULTS, order, ordinal, "task"),
            picture_fault=self._draw(kinds.PICTURE_FAULTS, order, ordinal, "picture"),
            lost_answer=fault,
            callback_fault=callback_fault,
            callback_at=ready_at + late if order.webhook else None,
        )
        self._record(event="accepted", prediction=prediction.to_json())
        return prediction

    def _refusal(self, order: Order, fault: str | None, now: float) -> str | None:
        plan, limiter = self.behaviour.plan, self._ledger.limiter
        if self.behaviour.out_of_funds:
            return "out_of_funds"
        if fault in kinds.REFUSALS:
            return fault
        images = limiter.images_this_minute(now) + order.images
        if plan.images_per_minute is not None and images > plan.images_per_minute:
            return "rate_limit"
        if plan.concurrency is not None and limiter.in_flight(now) >= plan.concurrency:
            return "concurrency"
        return None

    def _draw(self, faults: tuple[str, ...], order: Order, ordinal: int, about: str) -> str | None:
        chances = self.behaviour.faults.group(*faults)
        return draws.pick(chances, self.behaviour.seed, order.content, ordinal, about)

    def refuse(self, reason: str, content: str | None = None) -> None:
        """Count a submit that was not accepted; protocols do so for what they refuse themselves."""
        self._record(event="refused", reason=reason, content=content)

    def find(self, prediction_id: str) -> Prediction | None:
        """That prediction, unless there is none or it is older than what a provider keeps."""
        prediction = self._ledger.predictions.get(prediction_id)
        if prediction and self.clock() - prediction.accepted_at > RETENTION_SECONDS:
            return None
        return prediction

    def latest(self) -> list[Prediction]:
        """Everything within the retention, newest first."""
        oldest = self.clock() - RETENTION_SECONDS
        return [p for p in reversed(self._ledger.predictions.values()) if p.accepted_at >= oldest]

    def poll_fails(self, prediction: Prediction) -> bool:
        """Whether this poll of the prediction is answered with an error instead of its state."""
        number = self._polls[prediction.id] = self._polls.get(prediction.id, 0) + 1
        chances = self.behaviour.faults.group("poll_500")
        order = prediction.order
        key = (self.behaviour.seed, order.content, prediction.ordinal, "poll", number)
        if draws.pick(chances, *key) is None:
            return False
        self._record(event="injected", fault="poll_500", output=None)
        return True

    def spoils(self, prediction: Prediction, number: int) -> bool:
        """Whether this download of the prediction's output is corrupt: always, or the first time."""
        output = f"{prediction.id}/{number}"
        fault = prediction.picture_fault
        if fault is None or (fault == "corrupt_picture" and output in self._ledger.spoiled_outputs):
            return False
        self._record(event="injected", fault=fault, output=output)
        return True

    def pending_callbacks(self) -> list[Prediction]:
        """Every prediction whose callback has not ended, oldest first."""
        return list(self._ledger.callbacks.pending.values())

    def callback_attempted(self, prediction: Prediction, kind: Kind, status: str) -> None:
        """Count one request of a callback; see ``Callbacks.attempted``."""
        self._record(event="callback_attempt", id=prediction.id, kind=kind, status=status)

    def end_callback(self, prediction: Prediction, outcome: Outcome) -> None:
        """Remember that nothing more is to be sent about that prediction."""
        self._record(event="callback_ended", id=prediction.id, outcome=outcome)

    def spent_usd(self) -> float:
        """What was charged and not refunded."""
        return float(self._ledger.net_usd(self.clock()))

    def charges(self) -> list[dict[str, Any]]:
        """See ``Ledger.charges``."""
        return self._ledger.charges(self.clock())

    def summary(self) -> dict[str, Any]:
        """See ``Ledger.summary``."""
        return self._ledger.summary(self.clock())

    def clear_ledger(self) -> None:
        """Start charges and counts anew; predictions stay."""
        self._record(event="cleared")
