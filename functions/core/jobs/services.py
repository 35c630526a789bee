"""What an attempt works with, and what may come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from functions.core.catalog import Mode, Model
from functions.core.jobs.callback_key import callback_url
from functions.core.jobs.references import OwnedReferences
from functions.core.jobs.vault import Vault
from functions.core.ports import Clock, EventLog, ImageApi, JobStore, Queue

STORE_SECONDS = 15.0
"""What checking, storing and writing down a picture may take after the provider's time is up."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The message has done its work and goes."""


@dataclass(frozen=True, slots=True)
class Later:
    """The message comes back, after so many seconds."""

    seconds: float


Outcome = Finished | Later


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What an attempt works with. `uniform` draws from an interval; `remaining` is what is left of the invocation, in
    seconds; `api_url` is where callbacks reach us and `callback_secret` what their keys are signed with, both empty
    where there are none."""

    model: Model
    api: ImageApi
    jobs: JobStore
    vault: Vault
    dead_letters: Queue
    clock: Clock
    log: EventLog
    uniform: Callable[[float, float], float]
    remaining: Callable[[], float]
    owned: OwnedReferences = field(default_factory=OwnedReferences)
    api_url: str = ""
    callback_secret: str = ""

    def callback_url(self, job_id: str, attempt: int) -> str:
        """Where the outcome of a call is to be posted to; empty if it is not."""
        if self.model.mode is not Mode.CALLBACK:
            return ""
        provider = self.model.account.provider
        now_ms = self.clock.now_ms()
        return callback_url(self.api_url, provider, job_id, attempt, secret=self.callback_secret, now_ms=now_ms)
