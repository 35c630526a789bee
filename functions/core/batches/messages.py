"""What lies in the intake queue and in the reports queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote_plus

from functions.core.messages import UnknownMessageError, build, read_object


@dataclass(frozen=True, slots=True)
class Uploaded:
    """An object version appeared in the inbox. `size` in bytes."""

    key: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Scan:
    """Walk the object on from a record boundary. row and line are those of `offset`."""

    kind: ClassVar[str] = "scan"
    batch_id: str
    key: str
    version: str
    offset: int
    row: int
    line: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Plan the rows between two record boundaries of the object. row and line are those of `offset`."""

    kind: ClassVar[str] = "chunk"
    batch_id: str
    key: str
    version: str
    offset: int
    end: int
    row: int
    line: int


@dataclass(frozen=True, slots=True)
class Ring:
    """Send the messages of a manifest part's pending jobs of one model, from its `start`-th job on.

    `chain`: of which chain of messages it is; that of its batch goes on, others end.
    """

    kind: ClassVar[str] = "ring"
    batch_id: str
    part: int
    model: str
    start: int
    chain: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """A minute has passed."""

    kind: ClassVar[str] = "tick"


@dataclass(frozen=True, slots=True)
class Close:
    """A batch looks as if nothing were left to do."""

    kind: ClassVar[str] = "close"
    batch_id: str


IntakeMessage = Uploaded | Scan | Chunk | Ring
ReportMessage = Tick | Close

_INTAKE: dict[str, type[Scan | Chunk | Ring]] = {one.kind: one for one in (Scan, Chunk, Ring)}


def parse_intake(body: str) -> tuple[IntakeMessage, ...]:
    """Read a message of the intake queue: ours, or an event notification of S3 (none for its test event).

    Raises:
        UnknownMessageError: when it is neither.
    """
    content = read_object(body)
    if content.get("Event") == "s3:TestEvent":
        return ()
    if "Records" in content:
        return tuple(_uploaded(record) for record in content["Records"])
    kind = content.pop("kind", None)
    if kind not in _INTAKE:
        raise UnknownMessageError(f"the intake queue has no messages of kind {kind!r}")
    return (build(_INTAKE[kind], content),)


def parse_report(body: str) -> ReportMessage:
    """Read a message of the reports queue.

    Raises:
        UnknownMessageError: when it is none.
    """
    content = read_object(body)
    kind = content.pop("kind", None)
    if kind == Tick.kind:
        return Tick()
    if kind == Close.kind:
        return build(Close, content)
    raise UnknownMessageError(f"the reports queue has no messages of kind {kind!r}")


def _uploaded(record: dict[str, Any]) -> Uploaded:
    """Keys are URL-encoded (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html)."""
    stored = record["s3"]["object"]
    return Uploaded(
        key=unquote_plus(stored["key"]), version=stored.get("versionId", ""), size=int(stored.get("size", 0))
    )
