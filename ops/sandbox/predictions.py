"""What a client asked for and what became of it, whatever the protocol it came in."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Status = Literal["created", "processing", "completed", "failed"]

_QUEUED_SHARE = 0.1  # of the latency: how long a task is "created" before it is "processing"


@dataclass(frozen=True)
class Webhook:
    """Whom to tell that the prediction ended.

    ``url`` is http or https; ``base_url`` is where the client reached the sandbox, for the links in the message;
    ``inputs`` are the fields of the request, which the message repeats.
    """

    url: str
    base_url: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Order:
    """One submit, understood: the same for every protocol. ``seed`` of ``None`` lets the provider choose."""

    model: str
    prompt: str
    seed: int | None
    width: int
    height: int
    format: Literal["jpeg", "png", "webp"]
    images: int
    base64: bool
    price_usd: Decimal
    idempotency_key: str | None
    webhook: Webhook | None = None

    @property
    def prompt_sha256(self) -> str:
        """Hash of the prompt's UTF-8 bytes, in hex."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()

    @property
    def content(self) -> str:
        """What the request asks for, as a key: equal for a request that is sent again."""
        parts = (self.model, self.prompt, self.seed, self.width, self.height, self.format, self.images)
        return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Prediction:
    """An accepted and charged order. Its fate is settled on acceptance, so its state is a function of time.

    ``task_fault``, ``picture_fault``, ``lost_answer`` and ``callback_fault`` are names of the behaviour's faults or
    ``None``; times are epoch seconds. ``callback_at`` is when the webhook is due, if there is one.
    """

    id: str
    order: Order
    ordinal: int
    accepted_at: float
    ready_at: float
    task_fault: str | None
    picture_fault: str | None
    lost_answer: str | None
    callback_fault: str | None = None
    callback_at: float | None = None

    def status(self, now: float) -> Status:
        """Where the task is at that time."""
        if now >= self.ready_at:
            return "failed" if self.task_fault else "completed"
        queued_until = self.accepted_at + (self.ready_at - self.accepted_at) * _QUEUED_SHARE
        return "created" if now < queued_until else "processing"

    def refunded(self, now: float) -> bool:
        """Whether the charge was given back: at once when the task fails, where real ones take up to 3 h."""
        return self.status(now) == "failed"

    def picture_seed(self, number: int) -> int:
        """The seed that the picture is drawn from; without one in the order it follows from the id."""
        first = int(self.id[:8], 16) if self.order.seed is None else self.order.seed
        return first + number

    def to_json(self) -> dict[str, Any]:
        """Flat JSON for the journal."""
        webhook = self.order.webhook
        order = self.order.__dict__ | {
            "price_usd": str(self.order.price_usd),
            "webhook": webhook and dict(webhook.__dict__),
        }
        return self.__dict__ | {"order": order}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Prediction":
        """Read back what ``to_json`` wrote."""
        order = dict(data["order"])
        webhook = order.get("webhook")  # absent from the journals of a sandbox that had no webhooks
        order |= {"price_usd": Decimal(order["price_usd"]), "webhook": webhook and Webhook(**webhook)}
        return cls(**{**data, "order": Order(**order)})
