"""Handing out slots to the calls of one worker's invocation, and telling what became of them.

Calls without a slot wait inside the function: a message that goes back is received again only to learn that there is
none. One that has a slot leaves then, unless the provider has refused a run of others meanwhile; what is left of the
invocation's calls comes back later, and no try is spent.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from functions.core.catalog import Model
from functions.core.errors import ErrorClass
from functions.core.lanes import tuning
from functions.core.lanes.pacing import (
    HOLD_STEP,
    Bucket,
    Holding,
    Priority,
    Reservation,
    Slot,
    hold_back,
    left_until,
    moved,
)
from functions.core.ports import Accepted, Clock, Completed, EventLog, Refused, SubmitAnswer

AFTER_A_FAULT_SECONDS = 5.0
"""How long a call waits for its slot when the lanes table could not be written."""

LEFT_SECONDS = 60
"""How much longer than it is left to itself a call is held: by then somebody has looked at it."""

LONGEST_RETRY_AFTER = 120.0
"""Seconds for which a provider's Retry-After holds back the whole account; beyond that, the job waits alone."""

JITTER_SECONDS = 0.5
"""Of those that wait for the same moment, so that they do not all write at once."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class NoSlot:
    """There is none for the call. Its message comes back after so many seconds; not at all if the lane is paused."""

    seconds: float
    paused: bool = False


@dataclass(slots=True)
class Flight:
    """One call's place among those in flight. `until`: held until that second, since it was left to itself; else 0."""

    pacer: Pacer
    slot: Slot | None = None
    until: int = 0

    async def answered(self, answer: SubmitAnswer) -> None:
        """The provider has answered the submit."""
        if self.slot is not None:
            await self.pacer.answered(self.slot, answer)

    def took(self, seconds: float) -> None:
        """The picture was there so long after the submit; of one that was looked at again, that says nothing."""
        if self.slot is not None:
            self.pacer.took(seconds)

    def until_after(self, seconds: float) -> int:
        """The second until which the call is held if it is now left to itself for so long."""
        return self.pacer.until_after(seconds)

    async def leave(self, until: int) -> None:
        """The call goes on without its worker, and is held until that second."""
        held, self.until = self.until, until
        await self.pacer.leave(held, until)


@dataclass(slots=True, kw_only=True)
class Pacer:
    """The pace of one invocation. `patience`: seconds that a call may still wait for its slot."""

    bucket: Bucket
    model: Model
    clock: Clock
    log: EventLog
    patience: Callable[[], float]
    uniform: Callable[[float, float], float]
    priority: Priority = Priority.BULK
    _holding: Holding = field(default_factory=Holding)
    _waiting: deque[asyncio.Future[Slot | NoSlot]] = field(default_factory=deque)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Calls end in the event loop while a thread writes down those that had ended before.
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _ended: int = 0
    _left: Counter[int] = field(default_factory=Counter)
    _run: list[Slot] = field(default_factory=list)
    _stopped_us: int = 0

    @asynccontextmanager
    async def pacing(self) -> AsyncIterator[None]:
        """Hand out slots, and hold the places of the calls that have one; the places are given back at the end."""
        tasks = [asyncio.create_task(self._hand_out()), asyncio.create_task(self._renew())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ended = self._holding.calls + self._holding.uncounted - self._left.total()
            await self._settle()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Flight | NoSlot]:
        """Wait for a slot, and have it until the call is over or left to itself."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._asked.set()
        slot = await future
        if isinstance(slot, NoSlot):
            yield slot
            return
        await self.clock.sleep(max(0.0, slot.at_us / 1_000_000 - self.clock.now_ms() / 1000))
        flight = Flight(self, slot)
        try:
            stopped = (self._stopped_us - self._now_us()) / 1_000_000
            yield NoSlot(stopped + self.uniform(0.0, JITTER_SECONDS)) if stopped > 0 else flight
        finally:
            if not flight.until:
                with self._counting:
                    self._ended += 1
                self._asked.set()

    async def answered(self, slot: Slot, answer: SubmitAnswer) -> None:
        """What came of a submit: a refusal for its pace may hold back the others and lower the rate."""
        match answer:
            case Refused(fault) if fault.error_class is ErrorClass.RATE_LIMITED:
                self._run.append(slot)
                await self._refused(slot, fault.retry_after)
            case Accepted() | Completed():
                self._run.clear()

    def took(self, seconds: float) -> None:
        """A picture took so long."""
        self.bucket.took(seconds)

    def until_after(self, seconds: float) -> int:
        """See `Flight.until_after`."""
        return left_until(self.clock.now_ms(), seconds + LEFT_SECONDS)

    async def leave(self, held: int, until: int) -> None:
        """Move a call to those that are left to themselves, from another second if it was one of them before."""
        if not held:
            with self._counting:
                self._left[until] += 1
            await self._settle()
            return
        try:
            await self._alone(self.bucket.carry_out, moved(held, until, self._now_us()))
        except Exception as error:  # noqa: BLE001  # it is swept sooner than it should be
            self.log("places_not_settled", error=type(error).__name__)

    def _now_us(self) -> int:
        return self.clock.now_ms() * 1000

    async def _alone(self, call: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Call the bucket from a thread while nobody else does. Whoever is cancelled meanwhile waits for its end."""
        async with self._lock:
            task = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait({task})
                raise

    async def _hand_out(self) -> None:
        """Reserve for all that wait, until cancelled."""
        try:
            await self._hand_out_each()
        except BaseException as error:
            for future in self._waiting:  # whatever it is, nobody is to wait for ever
                future.set_exception(error)
            raise

    async def _hand_out_each(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            if not self._waiting:
                continue
            reservation = await self._reserve()
            for slot in reservation.slots:
                self._waiting.popleft().set_result(slot)
            if reservation.saturated or self._waiting:
                await self._climb()
            if not self._waiting:
                continue
            if reservation.paused or reservation.wait_seconds > self.patience():
                self._turn_away(NoSlot(reservation.wait_seconds, reservation.paused))
            else:
                await self._wait(reservation.wait_seconds)

    async def _wait(self, seconds: float) -> None:
        """Wait before asking again; a call of this invocation that ends may make room before."""
        if seconds:
            try:
                async with asyncio.timeout(seconds + self.uniform(0.0, min(JITTER_SECONDS, seconds))):
                    await self._asked.wait()
            except TimeoutError:
                pass
        self._asked.set()

    def _turn_away(self, answer: NoSlot) -> None:
        while self._waiting:
            self._waiting.popleft().set_result(answer)

    async def _reserve(self) -> Reservation:
        try:
            return await self._alone(self._reserve_now)
        except Exception as error:  # noqa: BLE001  # nothing was claimed yet: all of it comes back
            self.log("no_slots", error=type(error).__name__)
            self._turn_away(NoSlot(AFTER_A_FAULT_SECONDS))
            return Reservation(())

    def _reserve_now(self) -> Reservation:
        ended = self._ended
        reservation = self.bucket.reserve(
            len(self._waiting), self._now_us(), self._holding, ended=ended, priority=self.priority
        )
        if reservation.slots:
            with self._counting:
                self._ended -= ended
        return reservation

    async def _renew(self) -> None:
        """Say again which calls are held, until cancelled."""
        while True:
            await self.clock.sleep(HOLD_STEP)
            await self._settle()

    async def _settle(self) -> None:
        """Give back what has ended, and hold the rest for longer. What fails is swept, or settled the next time."""
        try:
            await self._alone(self._settle_now)
        except Exception as error:  # noqa: BLE001  # see above
            self.log("places_not_settled", error=type(error).__name__)

    def _settle_now(self) -> None:
        with self._counting:
            ended, left = self._ended, Counter(self._left)
        self.bucket.settle(self._holding, self._now_us(), ended=ended, left=left)
        with self._counting:
            self._ended -= ended
            self._left -= left

    async def _refused(self, slot: Slot, retry_after: float | None) -> None:
        try:
            until_us = await self._alone(self._report_refusal, slot, tuple(self._run), retry_after)
        except Exception as error:  # noqa: BLE001  # the next refusal says it again
            self.log("refusal_not_reported", error=type(error).__name__)
        else:
            self._stopped_us = max(self._stopped_us, until_us)

    def _report_refusal(self, slot: Slot, refusals: tuple[Slot, ...], retry_after: float | None) -> int:
        """Write a refusal down and what follows from it; until when no other call is to leave (epoch microseconds).

        `refusals`: those since the last call that was taken, this one included.
        """
        bucket, model, now_us = self.bucket, self.model, self._now_us()
        bucket.carry_out(tuning.refused(model, slot))
        run = len(refusals) >= tuning.RUN_OF_REFUSALS and not tuning.is_scattered(bucket.pace, now_us)
        first = min(refusals, key=lambda one: one.at_us)
        hold, hold_s = tuning.hold_seconds(bucket.pace, model, first, now_us) if run else (0.0, bucket.pace.hold_s)
        lower = tuning.spent(bucket.pace, model, first, now_us) if run else None
        lower = lower or tuning.storm(bucket.pace, model, now_us)
        if lower is not None and bucket.carry_out(lower):
            rate = float(bucket.pace.lane_per_minute(model))
            self.log("rate_lowered", model=model.name, why=lower.name, per_minute=round(rate, 1))
        hold = max(hold, min(retry_after or 0.0, LONGEST_RETRY_AFTER))
        if not hold:
            return 0
        until_us = now_us + round(hold * 1_000_000)
        bucket.carry_out(hold_back(until_us, hold_s))
        return until_us

    async def _climb(self) -> None:
        if self.bucket.is_slow:
            return
        write = tuning.climb(self.bucket.pace, self.model, self._now_us())
        if write is None:
            return
        try:
            raised = await self._alone(self.bucket.carry_out, write)
        except Exception as error:  # noqa: BLE001  # it climbs the next time
            self.log("rate_not_raised", error=type(error).__name__)
            return
        if raised and write.name != "begin":
            rate = float(self.bucket.pace.lane_per_minute(self.model))
            self.log("rate_raised", model=self.model.name, why=write.name, per_minute=round(rate, 1))
