"""What lies in the queues: parsed at the edge, written in one place.

The messages of batches are in `functions.core.batches.messages`, since a worker starts sooner without them.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Look at this job. `batch_id`: the batch on whose behalf it rings, empty if that is no matter."""

    job_id: str
    batch_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What is left of a job whose last try failed, for triage."""

    job_id: str
    model: str
    batch_id: str
    error_class: str
    error_message: str
    last_response_code: int | None
    attempt_count: int
    tries: dict[str, int]


_T = TypeVar("_T")
_JOB_ID = re.compile(r"[0-9a-f]{64}")


class UnknownMessageError(Exception):
    """Raised when a queue message is none of those its queue is for."""


def dump(message: DataclassInstance) -> str:
    """A message's body; its kind goes first, where its queue has several."""
    kind = getattr(message, "kind", None)
    return json.dumps({**({"kind": kind} if kind else {}), **asdict(message)}, separators=(",", ":"))


def parse_doorbell(body: str) -> Doorbell:
    """Read a message of a lane's queue.

    Raises:
        UnknownMessageError: when it is none.
    """
    doorbell = build(Doorbell, read_object(body))
    if not _JOB_ID.fullmatch(str(doorbell.job_id)):
        raise UnknownMessageError("the message names no job")
    return Doorbell(str(doorbell.job_id), str(doorbell.batch_id))


def read_object(body: str) -> dict[str, Any]:
    """A body that is a JSON object.

    Raises:
        UnknownMessageError: when it is not.
    """
    try:
        content = json.loads(body)
    except ValueError as error:
        raise UnknownMessageError("the message is not JSON") from error
    if not isinstance(content, dict):
        raise UnknownMessageError("the message is not a JSON object")
    return content


def build(kind: type[_T], content: dict[str, Any]) -> _T:
    """A message of this kind.

    Raises:
        UnknownMessageError: when the content is not its fields.
    """
    try:
        return kind(**content)
    except TypeError as error:
        raise UnknownMessageError(f"the message is no {kind.__name__}: {error}") from error
