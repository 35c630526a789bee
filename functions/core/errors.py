"""What can go wrong with a job, by what happens next.

    ErrorClass
    ├── retried        rate_limited, capacity, provider_error, network, storage, corrupt, auth (once)
    ├── looked into    ambiguous           (money may have been spent: look, then hold)
    ├── ends, revived  funds, poison, expired, cancelled, timeout, and every retried class whose tries are spent
    └── ends for good  invalid, moderated

A batch that asks for a job which ended in a *revived* class gets fresh tries; one that ended for good fails at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorClass(StrEnum):
    """The common error classes; each provider maps its own answers to them."""

    INVALID = "invalid"
    MODERATED = "moderated"
    AUTH = "auth"
    FUNDS = "funds"
    RATE_LIMITED = "rate_limited"
    CAPACITY = "capacity"
    PROVIDER_ERROR = "provider_error"
    NETWORK = "network"
    STORAGE = "storage"
    CORRUPT = "corrupt"
    TIMEOUT = "timeout"
    AMBIGUOUS = "ambiguous"
    POISON = "poison"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def retryable(self) -> bool:
        """Another try may succeed and cannot cost a second payment."""
        return self in _RETRYABLE

    @property
    def final(self) -> bool:
        """The same job would fail the same way again, whoever asks for it."""
        return self in (ErrorClass.INVALID, ErrorClass.MODERATED)

    @property
    def provider_fault(self) -> bool:
        """A try that ended so counts against the provider. Its rate limit, the row, our key and our money do not."""
        return self in _PROVIDER_FAULTS


_RETRYABLE = frozenset(
    {
        ErrorClass.RATE_LIMITED,
        ErrorClass.CAPACITY,
        ErrorClass.PROVIDER_ERROR,
        ErrorClass.NETWORK,
        ErrorClass.STORAGE,
        ErrorClass.CORRUPT,
        ErrorClass.AUTH,
    }
)
_PROVIDER_FAULTS = frozenset(
    {
        ErrorClass.CAPACITY,
        ErrorClass.PROVIDER_ERROR,
        ErrorClass.NETWORK,
        ErrorClass.CORRUPT,
        ErrorClass.TIMEOUT,
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure of one attempt.

    `message` is shown to people: it carries no prompt and no key. `retry_after` is what the provider asked for, in
    seconds. `resumable` means that the provider still has the paid picture, so the next try polls and does not submit.
    """

    error_class: ErrorClass
    message: str
    response_code: int | None = None
    retry_after: float | None = None
    resumable: bool = False


class CorruptPictureError(Exception):
    """Raised when bytes that claim to be a picture are not the picture that was asked for."""


class StorageError(Exception):
    """Raised when the object store could not be read or written for a reason that may pass."""


class MissingObjectError(Exception):
    """Raised when an object that was announced is not there any more."""
