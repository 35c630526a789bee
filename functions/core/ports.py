"""What the rules need from the world. Adapters carry it out on AWS; tests have fakes of the same shape.

Stores and queues are blocking: the worker calls them from threads, so that a heartbeat never waits behind a picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from functions.core.errors import Fault
from functions.core.input.identity import PictureSpec
from functions.core.jobs.records import Job
from functions.core.writes import Write


class JobStore(Protocol):
    """The jobs table."""

    def write(self, job_id: str, write: Write) -> Job:
        """Carry out a write and return the job after it.

        Raises:
            StaleWriteError: when its condition did not hold; it carries what is stored.
        """

    def write_many(self, writes: Mapping[str, Write]) -> dict[str, Job]:
        """Carry out one write on each of many jobs, and return those whose condition did not hold, as they are."""

    def create_many(self, writes: Mapping[str, Write]) -> frozenset[str]:
        """Carry out `create` writes by job id, and return the ids that were there before."""

    def get_many(self, job_ids: Sequence[str], *, consistent: bool) -> dict[str, Job]:
        """Read jobs by id; ids that are not there are left out."""

    def known_references(self, references: Sequence[str]) -> frozenset[str]:
        """Those of a provider's references that some job's record names."""


class ObjectStore(Protocol):
    """One bucket."""

    def get(self, key: str) -> bytes | None:
        """The bytes of an object, or None if there is none."""

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """Write an object, whatever was there."""

    def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
        """Write an object unless the key is taken; False if it was."""

    def read_range(self, key: str, version: str, start: int, end: int | None = None) -> Iterator[bytes]:
        """Stream the bytes [start, end) of an object version in pieces.

        Raises:
            MissingObjectError: when there is no such version.
        """


class Upload(Protocol):
    """An object that is being written. Nothing of it is to be seen before it is finished."""

    def write(self, piece: bytes) -> None:
        """Add bytes."""

    def finish(self) -> None:
        """Make the object appear, in place of what was there."""

    def discard(self) -> None:
        """Leave what was there as it was."""


class Queue(Protocol):
    """One queue, to send to."""

    def send(self, bodies: Sequence[str], *, delay_seconds: int = 0) -> None:
        """Send messages, in as few requests as possible. An entry the service refused is sent again."""

    def depth(self) -> int:
        """Roughly how many messages wait, delayed ones included."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a finished picture is: at a URL of the provider's, or in the answer itself."""

    url: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the call; the picture comes later."""

    reference: str
    response_code: int


@dataclass(frozen=True, slots=True)
class Completed:
    """The picture is there. `reference`: of the call, where the provider gives one."""

    output: Output
    response_code: int
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider said no, and charged nothing for it."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The request was sent and its answer is lost or unreadable: it may have been taken."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Gone:
    """The call ended without a picture that could be had, and may have been charged all the same."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Working:
    """The provider has not finished."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One line of a provider's listing. `failed`: it ended without a picture and without a charge."""

    reference: str
    failed: bool


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request was not sent, because its moment had passed."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What a provider's callback says.

    event_id: the same in every delivery of one event, empty if the provider gives none. verified: the body is signed,
    and the signature is right; otherwise only `reference` counts, as a hint whom to ask about.
    """

    event_id: str
    reference: str
    outcome: PollAnswer
    verified: bool


SubmitAnswer = Accepted | Completed | Refused | Ambiguous | NotSent
PollAnswer = Working | Completed | Refused | Gone


class ImageApi(Protocol):
    """One provider, seen from the worker."""

    @property
    def listed_seconds(self) -> float:
        """How far back `predictions` reaches: of what is older, it says nothing."""

    async def submit(self, spec: PictureSpec, *, job_id: str, callback_url: str, not_after: float) -> SubmitAnswer:
        """Ask for a picture, once: the request is never sent a second time.

        The job id goes along as the idempotency key, and the URL that the outcome is to be posted to, if not empty. The
        request does not start to leave after `not_after`, a reading of `Clock.monotonic`.
        """

    async def poll(self, reference: str) -> PollAnswer:
        """Ask what became of a submit.

        Raises:
            PollError: when the provider could not be asked; the picture may be there all the same.
        """

    async def predictions(self, since_ms: int, until_ms: int) -> tuple[Prediction, ...]:
        """Everything the account submitted between two moments (epoch milliseconds).

        Raises:
            PollError: when the provider could not be asked.
        """

    async def fetch(self, output: Output) -> bytes:
        """The bytes of a finished picture.

        Raises:
            PollError: when they could not be had; they may be there all the same.
        """

    def price(self, spec: PictureSpec) -> Decimal:
        """What one picture costs by the catalog, in dollars."""

    async def quote(self) -> Decimal:
        """What one picture costs now, in dollars, as the provider says.

        Raises:
            PollError: when it cannot be had.
        """


class CallbackReader(Protocol):
    """What a provider's callbacks look like."""

    def __call__(self, body: bytes, headers: Mapping[str, str], *, secret: str, now_ms: int) -> Notice:
        """Read a callback. Header names are in lower case; `secret` is empty where none is stored.

        Raises:
            CallbackError: when it is not what the provider would have sent.
        """


class RecordStore(Protocol):
    """A table of small records, such as the lanes table."""

    def write(self, key: str, write: Write) -> Mapping[str, Any]:
        """Carry out a write and return the record after it.

        Raises:
            StaleWriteError: when its condition did not hold; it carries what is stored.
        """


class BatchStates(Protocol):
    """Whose jobs may be started."""

    def stopped(self, batch_ids: Sequence[str]) -> frozenset[str]:
        """Those of the batches that are paused or cancelled."""


class Visibility(Protocol):
    """The queue a worker's messages came from."""

    def change_visibility(self, seconds_by_receipt: Mapping[str, int]) -> None:
        """Let received messages reappear after so many seconds from now."""


class Clock(Protocol):
    """Time."""

    def now_ms(self) -> int:
        """The time of day, in epoch milliseconds."""

    def monotonic(self) -> float:
        """Seconds of a clock that is never set back, and goes on while the process is stopped."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class EventLog(Protocol):
    """Structured log lines."""

    def __call__(self, event: str, **fields: str | int | float | None) -> None:
        """Write one line. Fields hold ids, codes and figures: never a prompt, a key or a provider's text."""


class CallbackError(Exception):
    """Raised when a callback is not believed. `reason`, a word to count by: forged, replayed or unreadable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class PollError(Exception):
    """Raised when a provider could not be read. `fault` says how; nothing was paid by asking."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault
