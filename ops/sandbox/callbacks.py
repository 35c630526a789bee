"""What became of the callbacks: a part of the ledger.

A callback is one event: the end of a prediction that was submitted with a webhook. It takes one attempt or several,
and each of those is in the journal, as is the event's end.
"""

from collections import Counter
from typing import Any, Literal

from ops.sandbox.predictions import Prediction

#: What an attempt carries: the event, the event once more after its success, or a message that is not the provider's.
Kind = Literal["event", "duplicate", "forged"]
Outcome = Literal["delivered", "given_up", "lost", "refused_host"]


class Callbacks:
    """State after a sequence of the ledger's events, live and after a restart alike."""

    def __init__(self) -> None:
        self.pending: dict[str, Prediction] = {}
        self.clear()

    def clear(self) -> None:
        """Start the counts anew; what is pending stays so, but belongs to the counts from before."""
        self._uncounted = set(self.pending)
        self._outcomes: Counter[str] = Counter()
        self._attempts = 0
        self._failed: Counter[str] = Counter()
        self._late = 0
        self._duplicated = 0
        self._forged = 0

    def expect(self, prediction: Prediction) -> None:
        """That prediction was accepted with a webhook."""
        self.pending[prediction.id] = prediction

    def attempted(self, prediction_id: str, kind: Kind, status: str) -> None:
        """A request was sent; ``status`` is the answer's, or ``timeout`` or ``unreachable``."""
        if prediction_id in self._uncounted:
            return
        if kind == "forged":
            self._forged += 1
            return
        self._attempts += 1
        if not succeeded(status):
            self._failed[status] += 1
        elif kind == "duplicate":
            self._duplicated += 1

    def ended(self, prediction_id: str, outcome: Outcome) -> None:
        """Nothing more is sent about that prediction."""
        prediction = self.pending.pop(prediction_id)
        if prediction_id in self._uncounted:
            self._uncounted.remove(prediction_id)
            return
        self._outcomes[outcome] += 1
        self._late += outcome == "delivered" and prediction.callback_fault == "callback_late"

    def summary(self, charged: list[Prediction], now: float) -> dict[str, Any]:
        """The counts, of the events of what was charged since the ledger was cleared.

        ``due`` are the events whose time has come; each ends as ``delivered``, ``given_up``, ``lost`` or
        ``refused_host``. ``late`` and ``duplicated`` are among the delivered ones. ``attempts`` are requests without
        the ``forged`` ones; ``failed_attempts`` counts those without a 2xx by status. ``pending`` are all events that
        have not ended, those not due and those from before included: at 0 nothing more will be sent.
        """
        return {
            "due": sum(p.callback_at is not None and p.callback_at <= now for p in charged),
            "pending": len(self.pending),
            "delivered": self._outcomes["delivered"],
            "attempts": self._attempts,
            "failed_attempts": dict(sorted(self._failed.items())),
            "given_up": self._outcomes["given_up"],
            "lost": self._outcomes["lost"],
            "late": self._late,
            "duplicated": self._duplicated,
            "forged": self._forged,
            "refused_host": self._outcomes["refused_host"],
        }


def succeeded(status: str) -> bool:
    """Whether an attempt with that status was a success: a 2xx."""
    return len(status) == 3 and status.startswith("2")
