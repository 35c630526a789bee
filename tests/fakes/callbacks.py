"""The completion function of a lane, and what a provider's callbacks say to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from functions.core.catalog import Account
from functions.core.errors import ErrorClass, Fault
from functions.core.jobs.callback_key import CallbackKey
from functions.core.jobs.completion import Callback, Completion, Result
from functions.core.jobs.records import Job
from functions.core.jobs.vault import Vault
from functions.core.ports import CallbackError, Completed, Notice, Output, PollAnswer, Prediction, Refused, Working
from tests.fakes.lane import JOB, SIGNING_SECRET
from tests.fakes.races import RacedLane
from tests.fakes.records import Record
from tests.fakes.stores import MemoryQueue
from tests.fakes.virtual_time import START_MS, run

PROVIDER = "wavespeed"
WEBHOOK_SECRET = "signs-the-bodies-of-the-provider"
EXPIRES = START_MS // 1000 + 60
MODERATED = Refused(Fault(ErrorClass.MODERATED, "the picture was refused", 200))


def succeeded(reference: str = "p1", event_id: str = "e1", *, verified: bool = True) -> Notice:
    """What a callback says of a call that has made its picture."""
    return notice(Completed(Output(url=reference), 200), reference, event_id, verified=verified)


def came_to_nothing(reference: str = "p1", event_id: str = "e1") -> Notice:
    """What a callback says of a call that has failed."""
    return notice(MODERATED, reference, event_id)


def hint(reference: str = "p1") -> Notice:
    """What is left of a callback whose body nobody has signed."""
    return notice(Working(), reference, "", verified=False)


def notice(outcome: PollAnswer, reference: str = "p1", event_id: str = "e1", *, verified: bool = True) -> Notice:
    return Notice(event_id, reference, outcome, verified)


@dataclass
class Desk:
    """Where callbacks about a lane's jobs arrive. Its provider has made p0 to p2, as the lane's API does.

    `read` has what was read of bodies: none of those whose key was refused.
    """

    lane: RacedLane = field(default_factory=RacedLane)
    rung: MemoryQueue = field(default_factory=MemoryQueue)
    lanes: dict[str, MemoryQueue] = field(init=False)
    read: list[tuple[bytes, Mapping[str, str], str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(3):
            self.lane.api.take()
        self.lane.api.listing = [Prediction(f"p{number}", failed=False) for number in range(3)]
        self.lanes = {self.lane.model.name: self.rung}

    @classmethod
    def with_job(cls, record: Record) -> Desk:
        """A desk whose lane's job has this record."""
        new = cls()
        new.lane.jobs.records[JOB] = record
        return new

    @property
    def job(self) -> Job:
        return self.lane.job()

    def tell(self, said: Notice | CallbackError, **how: str | int) -> Result:
        """Deliver a callback, on a clock of its own; see `deliver`."""
        return run(self.deliver(said, **how))  # type: ignore[arg-type]  # checked by deliver

    async def deliver(
        self,
        said: Notice | CallbackError,
        *,
        attempt: int = 1,
        job: str = JOB,
        provider: str = PROVIDER,
        expires: int = EXPIRES,
        key: str = "",
    ) -> Result:
        """Deliver a callback about the call of an attempt; of any other key if one is given."""
        signed = CallbackKey(job, attempt, expires).signed(SIGNING_SECRET, PROVIDER)
        callback = Callback(provider=provider, key=key or signed, body=b"a body", headers={"webhook-id": "e1"})
        return await self._completion(said).receive(callback)

    def _completion(self, said: Notice | CallbackError) -> Completion:
        def read(body: bytes, headers: Mapping[str, str], *, secret: str, now_ms: int) -> Notice:
            self.read.append((body, headers, secret, now_ms))
            if isinstance(said, CallbackError):
                raise said
            return said

        def webhook_secret(account: Account) -> str:
            assert account == self.lane.model.account
            return WEBHOOK_SECRET

        return Completion(
            models={self.lane.model.name: self.lane.model},
            readers={PROVIDER: read, "fal": read},
            api=lambda model: self.lane.api,
            webhook_secret=webhook_secret,
            callback_secret=SIGNING_SECRET,
            jobs=self.lane.jobs,
            vault=Vault(self.lane.images, self.lane.metadata),
            lanes=self.lanes,
            clock=self.lane.clock,
            log=self.lane.log,
        )
