"""What lies in the queues: parsed at the edge, written in one place."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import unquote_plus


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An object version appeared in the inbox. `size` in bytes."""

    key: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Walk the object on from a record boundary. row and line are those of `offset`."""

    batch_id: str
    key: str
    version: str
    offset: int
    row: int
    line: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Plan the rows between two record boundaries of the object. row and line are those of `offset`."""

    batch_id: str
    key: str
    version: str
    offset: int
    end: int
    row: int
    line: int


@dataclass(frozen=True, slots=True)
class Ring:
    """Send the messages of a manifest part's pending jobs of one model, from its `start`-th job on."""

    batch_id: str
    part: int
    model: str
    start: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A minute has passed."""


@dataclass(frozen=True, slots=True)
class Close:
    """A batch looks as if nothing were left to do."""

    batch_id: str


@dataclass(frozen=True, slots=True)
class Doorbell:
    """Look at this job."""

    job_id: str


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

IntakeMessage = Uploaded | Scan | Chunk | Ring
ReportMessage = Tick | Close

_INTAKE: dict[str, type[Scan | Chunk | Ring]] = {"scan": Scan, "chunk": Chunk, "ring": Ring}


class UnknownMessageError(Exception):
    """Raised when a queue message is none of those its queue is for."""


def dump(message: Scan | Chunk | Ring | Tick | Close | Doorbell | DeadLetter) -> str:
    """A message's body."""
    kind = {} if isinstance(message, (Doorbell, DeadLetter)) else {"kind": type(message).__name__.lower()}
    return json.dumps({**kind, **asdict(message)}, separators=(",", ":"))


def parse_intake(body: str) -> tuple[IntakeMessage, ...]:
    """Read a message of the intake queue: ours, or an event notification of S3 (none for its test event).

    Raises:
        UnknownMessageError: when it is neither.
    """
    content = _object(body)
    if content.get("Event") == "s3:TestEvent":
        return ()
    if "Records" in content:
        return tuple(_uploaded(record) for record in content["Records"])
    kind = content.pop("kind", None)
    if kind not in _INTAKE:
        raise UnknownMessageError(f"the intake queue has no messages of kind {kind!r}")
    return (_build(_INTAKE[kind], content),)


def parse_report(body: str) -> ReportMessage:
    """Read a message of the reports queue.

    Raises:
        UnknownMessageError: when it is none.
    """
    content = _object(body)
    kind = content.pop("kind", None)
    if kind == "tick":
        return Tick()
    if kind == "close":
        return _build(Close, content)
    raise UnknownMessageError(f"the reports queue has no messages of kind {kind!r}")


def parse_doorbell(body: str) -> Doorbell:
    """Read a message of a lane's queue.

    Raises:
        UnknownMessageError: when it is none.
    """
    doorbell = _build(Doorbell, _object(body))
    if not _JOB_ID.fullmatch(str(doorbell.job_id)):
        raise UnknownMessageError("the message names no job")
    return Doorbell(str(doorbell.job_id))


def _object(body: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise UnknownMessageError("the message is not JSON") from error
    if not isinstance(content, dict):
        raise UnknownMessageError("the message is not a JSON object")
    return content


def _build(kind: type[_T], content: dict[str, Any]) -> _T:
    try:
        return kind(**content)
    except TypeError as error:
        raise UnknownMessageError(f"the message is no {kind.__name__}: {error}") from error


def _uploaded(record: dict[str, Any]) -> Uploaded:
    """Keys are URL-encoded (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html)."""
    stored = record["s3"]["object"]
    return Uploaded(
        key=unquote_plus(stored["key"]), version=stored.get("versionId", ""), size=int(stored.get("size", 0))
    )
