"""The job record: what the jobs table holds, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from functions.core.errors import ErrorClass
from functions.core.input.identity import PictureSpec, spec_from_json
from functions.core.keys import seed_for


class State(StrEnum):
    """Where a job is. `held`: money may have been spent and nobody can yet say."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    HELD = "held"

    @property
    def ended(self) -> bool:
        """Nothing will happen to the job by itself any more."""
        return self in (State.SUCCESS, State.FAILED)


class Stage(StrEnum):
    """How far a try got, while its outcome is open.

    `submitting`: a paid call was announced and its answer is not known. `accepted`: the provider has taken it and the
    record holds its reference. No stage: no paid call is open.
    """

    SUBMITTING = "submitting"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was checked. Sizes in pixels and bytes; `format` is jpeg, png or webp."""

    width: int
    height: int
    size: int
    format: str
    sha256: str

    @property
    def content_type(self) -> str:
        """Its media type."""
        return f"image/{self.format}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One picture to be made, as the jobs table holds it.

    Times are ISO-8601 in UTC, but epoch milliseconds in `lease_expires_at`, `submitting_at`, `waiting_since` (when
    it was first seen that the outcome of a call is open) and `unreachable_since` (when the provider, for the first time
    since its last answer, could not be asked about it). `latency_ms` runs from the paid call to the stored picture;
    `batch_id` is the batch that pays, `batches` all that want the picture, `earlier_costs` and
    `earlier_repays` by batch what others paid for it before, `heir` the batch that pays for the next call.

    A paid call is known by `call_attempt`, the attempt that announced it, and by the provider's `reference` once that
    is known; `reference_claimed` is 1 while only an operator says so. `repays`: calls made although an earlier one may
    have been taken. `settled_calls`: calls whose price is in `cost_usd` already, beside that of the call which
    succeeded, or will never be, since the provider took the call and failed it. `callback_ids`: events that were acted
    on. `unit_price_usd`: what the model cost when the call was announced, where that was not the catalog's price.
    `flight_until`: the second since the epoch until which an open call that was left to itself counts as in flight.
    """

    job_id: str
    state: State
    model: str
    spec: str
    batch_id: str
    batches: frozenset[str]
    created_at: str
    updated_at: str
    stage: Stage | None = None
    attempt_count: int = 0
    idle_claims: int = 0
    tries: Mapping[str, int] = field(default_factory=dict)
    owner: str = ""
    lease_expires_at: int = 0
    submitting_at: int = 0
    call_attempt: int = 0
    waiting_since: int = 0
    unreachable_since: int = 0
    reference: str = ""
    reference_claimed: int = 0
    repays: int = 0
    settled_calls: frozenset[str] = frozenset()
    callback_ids: frozenset[str] = frozenset()
    held_at: str = ""
    last_response_code: int | None = None
    error_class: ErrorClass | None = None
    error_message: str = ""
    cost_usd: Decimal | None = None
    earlier_costs: Mapping[str, Decimal] = field(default_factory=dict)
    earlier_repays: Mapping[str, int] = field(default_factory=dict)
    heir: str = ""
    unit_price_usd: Decimal | None = None
    flight_until: int = 0
    image_key: str = ""
    width: int | None = None
    height: int | None = None
    size: int | None = None
    sha256: str = ""
    latency_ms: int | None = None
    finished_at: str = ""

    @property
    def payment_unknown(self) -> bool:
        """A paid call was announced and nobody wrote down what became of it."""
        return self.stage is Stage.SUBMITTING

    def has_settled(self, reference: str, attempt: int | None) -> bool:
        """Whether what a call costs is dealt with: of this reference, announced by this attempt if that is known."""
        return not self.settled_calls.isdisjoint({reference} if attempt is None else {reference, call_mark(attempt)})

    def cost_to(self, batch_id: str) -> Decimal:
        """What a batch has paid for the job, in dollars."""
        earlier = self.earlier_costs.get(batch_id, Decimal(0))
        if batch_id != self.batch_id or self.cost_usd is None:
            return earlier
        return earlier + self.cost_usd - sum(self.earlier_costs.values())

    def repays_of(self, batch_id: str) -> int:
        """How many of the job's repays a batch has paid for."""
        earlier = self.earlier_repays.get(batch_id, 0)
        return earlier + (self.repays - sum(self.earlier_repays.values())) * (batch_id == self.batch_id)

    @property
    def next_payer(self) -> str:
        """The batch that pays for the next call."""
        return self.heir or self.batch_id

    def price(self, catalog_price: Decimal, unit_price_usd: Decimal) -> Decimal:
        """What the open call costs, in dollars, given what it and its model cost by the catalog."""
        if self.unit_price_usd is None:
            return catalog_price
        return catalog_price * self.unit_price_usd / unit_price_usd

    def paid_by(self, batch_id: str) -> bool:
        """Whether the job is the batch's to pay, or was when a call of it was paid."""
        return batch_id == self.batch_id or batch_id in self.earlier_costs

    def asked_for(self) -> PictureSpec:
        """The picture as the provider is asked for it: a job without a seed has the one that its id gives."""
        spec = spec_from_json(self.spec)
        return spec if spec.seed is not None else replace(spec, seed=seed_for(self.job_id))


def call_mark(attempt: int) -> str:
    """How `settled_calls` names a call whose reference nobody knows: by the attempt that announced it."""
    return f"attempt:{attempt}"


_INTEGERS = (
    "attempt_count",
    "idle_claims",
    "lease_expires_at",
    "submitting_at",
    "call_attempt",
    "waiting_since",
    "unreachable_since",
    "reference_claimed",
    "repays",
    "flight_until",
    "last_response_code",
    "width",
    "height",
    "size",
    "latency_ms",
)
_TEXTS = ("owner", "reference", "error_message", "image_key", "sha256", "finished_at", "held_at", "heir")
_SETS = ("settled_calls", "callback_ids")


def job_from_record(record: Mapping[str, Any]) -> Job:
    """Read a job from the attributes the table holds."""
    plain: dict[str, Any] = {
        **{name: int(record[name]) for name in _INTEGERS if name in record},
        **{name: record[name] for name in _TEXTS if name in record},
        **{name: frozenset(record[name]) for name in _SETS if name in record},
    }
    return Job(
        job_id=record["job_id"],
        state=State(record["state"]),
        model=record["model"],
        spec=record["spec"],
        batch_id=record["batch_id"],
        batches=frozenset(record.get("batches", ())),
        created_at=record["created_at"],
        updated_at=record["updated_at"],
        stage=Stage(record["stage"]) if "stage" in record else None,
        tries={name: int(count) for name, count in record.get("tries", {}).items()},
        error_class=ErrorClass(record["error_class"]) if "error_class" in record else None,
        cost_usd=Decimal(record["cost_usd"]) if "cost_usd" in record else None,
        unit_price_usd=Decimal(record["unit_price_usd"]) if "unit_price_usd" in record else None,
        earlier_repays={batch: int(repays) for batch, repays in record.get("earlier_repays", {}).items()},
        earlier_costs={batch: Decimal(usd) for batch, usd in record.get("earlier_costs", {}).items()},
        **plain,
    )


def timestamp(now_ms: int) -> str:
    """Epoch milliseconds as ISO-8601 in UTC: `2026-11-21T08:43:06.120Z`."""
    moment = datetime.fromtimestamp(now_ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{now_ms % 1000:03d}Z"
