"""What is posted to the completion function of a simulated world: the provider's events, and an attacker's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from functions.core.jobs.callback_key import LIFE_SECONDS, CallbackKey
from functions.core.jobs.completion import Callback, Completion, Result, http_status
from functions.core.jobs.records import Job
from functions.core.jobs.vault import Vault
from tests.simulation.chances import Suspect
from tests.simulation.processes import AnswerLostError, Guarded, GuardedJobs, Killed, Process, ThrottledError
from tests.simulation.provider import SIGNATURE

if TYPE_CHECKING:
    from tests.simulation.world import World

SIGNING_SECRET = "signs-the-keys-of-this-simulated-world"

DELIVERIES = 3
"""How often the provider tries to deliver a callback."""

ATTACKER = "attacker"


@dataclass(frozen=True, slots=True)
class Answered:
    """One delivery of the provider's, and how it was answered."""

    job_id: str
    attempt: int
    reference: str
    result: Result


@dataclass
class Post:
    """Brings events to the completion function; some get lost, late or doubled."""

    world: World
    answered: list[Answered] = field(default_factory=list)
    attacks: set[Result] = field(default_factory=set)
    underway: set[asyncio.Task[None]] = field(default_factory=set)

    def call_back(self, url: str, reference: str, ready: float) -> None:
        """The provider is to post an outcome to a URL when it is there."""
        draw, chances = self.world.random.random, self.world.chances
        if draw() < chances.callback_lost:
            return
        late = self.world.random.uniform(0, 4000) if draw() < chances.callback_late else 0.0
        for _ in range(2 if draw() < chances.callback_doubled else 1):
            task = asyncio.create_task(self._deliver(url, reference, ready + late))
            self.underway.add(task)
            task.add_done_callback(self.underway.discard)

    async def _deliver(self, url: str, reference: str, at: float) -> None:
        """Post an outcome until it is taken, each time to another process of the completion function."""
        await asyncio.sleep(max(0.0, at - self.world.clock.monotonic()))
        parts = urlsplit(url)
        key = parse_qs(parts.query)["key"][0]
        body = f"event-{reference} {reference}".encode()
        callback = Callback(provider=parts.path.rpartition("/")[2], key=key, body=body, headers=SIGNATURE)
        job_id, attempt, *_ = key.split(".")
        for delivery in range(DELIVERIES):
            result = await self._receive(callback, f"callback-{reference}-{delivery}")
            self.answered.append(Answered(job_id, int(attempt), reference, result))
            if http_status(result) == 200:
                return
            await asyncio.sleep(self.world.random.uniform(1, 30))

    async def attack(self) -> None:
        """Post what nobody should believe, or what may only be asked about."""
        random = self.world.random
        for number in range(random.randint(1, 4)):
            await asyncio.sleep(random.choice((10, 100, 1000)) * random.random())
            result = await self._receive(self._forgery(), f"{ATTACKER}-{number}")
            self.attacks.add(result)

    def _forgery(self) -> Callback:
        random, provider = self.world.random, self.world.model.account.provider
        job = random.choice(self.world.all_jobs())
        now = self.world.clock.now_ms() // 1000
        key = CallbackKey(job.job_id, max(1, job.call_attempt), now + LIFE_SECONDS)
        ours = key.signed(SIGNING_SECRET, provider)
        forged = random.choice(
            (
                key.signed("signs-what-somebody-else-makes-up", provider),
                key.signed(SIGNING_SECRET, "another-provider"),
                ours[:-1] + ("0" if ours[-1] != "0" else "1"),
                CallbackKey(job.job_id, key.attempt, now - 1).signed(SIGNING_SECRET, provider),
                CallbackKey("0" * 64, key.attempt, key.expires).signed(SIGNING_SECRET, provider),
                "",
            )
        )
        headers = SIGNATURE
        reference = self.world.provider.call_of(job.job_id, key.attempt)
        if random.random() < 0.5:  # the key is ours, and the body the attacker's
            forged, headers = ours, {}
            reference = random.choice(self._misleading(job))
        return Callback(provider=provider, key=forged, body=f"event-x {reference}".encode(), headers=headers)

    def _misleading(self, job: Job) -> list[str]:
        """References that are not of the job's open call, and that nobody should take for it."""
        world, suspects = self.world, self.world.suspects
        named = {one.reference for one in world.all_jobs() if one.job_id != job.job_id and one.reference}
        own = world.provider.call_of(job.job_id, job.call_attempt)
        found = ["nowhere"]
        if Suspect.HINT_OF_STALE_INDEX in suspects or not world.chances.index_stale:
            found += sorted(named)
        if Suspect.HINT_MISLEADS in suspects:
            found += sorted(world.provider.taken.keys() - named - {own})
        return found

    async def _receive(self, callback: Callback, name: str) -> Result:
        try:
            return await self._completion(Process(self.world, name)).receive(callback)
        except (Killed, ThrottledError, AnswerLostError):
            return Result.BROKEN

    def _completion(self, process: Process) -> Completion:
        world = self.world
        return Completion(
            models={world.model.name: world.model},
            readers={world.model.account.provider: world.provider.read_callback},
            api=lambda model: process,
            webhook_secret=lambda account: "signed" if world.signed else "",
            callback_secret=SIGNING_SECRET,
            jobs=GuardedJobs(process, world.jobs),
            vault=Vault(Guarded(process, world.images), Guarded(process, world.metadata)),
            lanes={world.model.name: Guarded(process, world)},
            clock=process,
            log=lambda event, **fields: None,
        )
