"""Processes of a simulated world, which freeze and die at any step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from functions.core.jobs.records import Job, job_from_record
from functions.core.writes import StaleWriteError, Write
from tests.fakes.lane import LEASE_SECONDS

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")


class ThrottledError(Exception):
    """What AWS raises when it has had enough; nothing has happened."""


class AnswerLostError(Exception):
    """What is raised when a request timed out: nobody knows what has happened."""


class Killed(BaseException):  # no error: kill -9
    """Raised in everything a dead worker still tries to do."""


@dataclass
class Process:
    """One worker process. Everything it does to the world goes through here, until it is dead."""

    world: World
    owner: str
    dead: bool = False
    frozen_until: float = 0.0

    def now_ms(self) -> int:
        return self.world.clock.now_ms()

    def monotonic(self) -> float:
        return self.world.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait; a frozen process wakes up when it is thawed, its heartbeats too. It is its worker's clock."""
        await asyncio.sleep(seconds)
        while (left := self.frozen_until - self.monotonic()) > 0:  # noqa: ASYNC110  # it may be frozen again
            await asyncio.sleep(left)

    async def reach(self, call: Callable[[], Awaitable[T]]) -> T:
        """Carry out a call, with time passing and death lurking before and after its effect."""
        await self._live()
        answer = await call()
        await self._live()
        return answer

    async def _live(self) -> None:
        random, chances = self.world.random, self.world.chances
        if random.random() < 0.5:
            await self.sleep(random.expovariate(20))
        if random.random() < chances.frozen:
            self.frozen_until = self.monotonic() + random.uniform(0, 2 * LEASE_SECONDS)
            await self.sleep(0)
        if not self.dead and random.random() < chances.kill:
            self.dead = True
        if self.dead:
            raise Killed

    def __getattr__(self, name: str) -> Any:
        """A method of the provider, seen from this process."""
        method = getattr(self.world.provider, name)
        if name in ("price", "listed_seconds"):
            return method

        async def reached(*args: Any, **kwargs: Any) -> Any:
            return await self.reach(lambda: method(*args, **kwargs))

        return reached


class Guarded:
    """A blocking port of one process: dead processes reach nothing, and some calls are the last ones.

    The worker calls these from threads; on the virtual loop they run inline, so time passes around them and not inside.
    """

    def __init__(self, process: Process, port: Any) -> None:
        self._process = process
        self._port = port

    def __getattr__(self, name: str) -> Any:
        method, process = getattr(self._port, name), self._process

        def call(*args: Any, **kwargs: Any) -> Any:
            self._maybe_die()
            if process.world.random.random() < process.world.chances.throttled:
                raise ThrottledError
            answer = method(*args, **kwargs)
            self._maybe_die()
            return answer

        return call

    def _maybe_die(self) -> None:
        process = self._process
        if not process.dead and process.world.random.random() < process.world.chances.kill:
            process.dead = True
        if process.dead:
            raise Killed


class GuardedJobs(Guarded):
    """The jobs table, seen from one process. A write may be carried out and its answer get lost on the way."""

    def write(self, job_id: str, write: Write) -> Job:
        random, chances = self._process.world.random, self._process.world.chances
        self._maybe_die()
        if random.random() < chances.throttled:
            raise ThrottledError
        if random.random() < chances.write_answer_lost:
            self._lose_answer(job_id, write)
        after = self._carry_out(job_id, write)
        self._maybe_die()
        return after

    def write_many(self, writes: Mapping[str, Write]) -> dict[str, Job]:
        """One request for each, as the adapter does it: some may be carried out when one breaks."""
        refused = {}
        for job_id, write in writes.items():
            try:
                self.write(job_id, write)
            except StaleWriteError as stale:
                refused[job_id] = job_from_record(stale.record)
        return refused

    def create_many(self, writes: Mapping[str, Write]) -> frozenset[str]:
        return frozenset(self.write_many(writes))

    def _lose_answer(self, job_id: str, write: Write) -> None:
        """The write is carried out now or comes through some seconds late; the SDK sends it again, or has given up."""
        random = self._process.world.random
        draw = random.random()
        if draw < 0.25:
            late = partial(self._carry_out_late, job_id, write)
            asyncio.get_running_loop().call_later(random.uniform(0, 2 * LEASE_SECONDS), late)
        else:
            self._carry_out(job_id, write)
        if draw < 0.5:
            raise AnswerLostError

    def _carry_out_late(self, job_id: str, write: Write) -> None:
        with suppress(StaleWriteError):
            self._carry_out(job_id, write)

    def _carry_out(self, job_id: str, write: Write) -> Job:
        after: Job = self._port.write(job_id, write)
        self._process.world.note(self._process.owner, job_id, write)
        return after
