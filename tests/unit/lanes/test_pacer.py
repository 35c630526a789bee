"""Pace as the provider sees it: workers of one lane against limits that are told, not told, and changed meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from functions.core.catalog import Model
from functions.core.errors import ErrorClass, Fault
from functions.core.lanes import tuning
from functions.core.lanes.pacer import Flight, NoSlot, Pacer
from functions.core.lanes.pacing import Bucket
from functions.core.lanes.records import account_record, holdings_of, lane_field
from functions.core.ports import Accepted, Refused, SubmitAnswer
from ops.sandbox.limits import Limiter
from tests.fakes.lane import SCHNELL, Lines, Records
from tests.fakes.virtual_time import START_MS, VirtualClock, run

BATCH = 10
THROTTLED = Fault(ErrorClass.RATE_LIMITED, "HTTP 429", 429)


def unknown(**changes: Any) -> Model:
    """A model of an account whose plan nobody knows."""
    return replace(
        SCHNELL, account=replace(SCHNELL.account, plan="", images_per_minute=None, concurrency=None), **changes
    )


def planned(per_minute: int, concurrency: int | None = None) -> Model:
    return replace(SCHNELL, account=replace(SCHNELL.account, images_per_minute=per_minute, concurrency=concurrency))


@dataclass
class Provider:
    """It counts in fixed minutes of the clock, as WaveSpeed does; every call takes some seconds."""

    per_minute: int
    concurrency: int = 10_000
    seconds: float = 2.0
    retry_after: float | None = None
    limiter: Limiter = field(default_factory=Limiter)
    taken: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    most_in_flight: int = 0

    def submit(self, now: float) -> SubmitAnswer:
        minute = int(now // 60)
        full = self.limiter.images_this_minute(now) >= self.per_minute
        if full or self.limiter.in_flight(now) >= self.concurrency:
            self.refused[minute] += 1
            return Refused(replace(THROTTLED, retry_after=self.retry_after))
        self.taken[minute] += 1
        self.most_in_flight = max(self.most_in_flight, self.limiter.add(at=now, ends=now + self.seconds, images=1))
        return Accepted("p", 200)


@dataclass
class Shifted(Provider):
    """Its minutes turn at another second than the clock's."""

    def submit(self, now: float) -> SubmitAnswer:
        return super().submit(now + 30)


@dataclass
class Sliding(Provider):
    """It looks back over a minute."""

    calls: deque[float] = field(default_factory=deque)

    def submit(self, now: float) -> SubmitAnswer:
        while self.calls and self.calls[0] <= now - 60:
            self.calls.popleft()
        if len(self.calls) >= self.per_minute:
            self.refused[int(now // 60)] += 1
            return Refused(THROTTLED)
        self.calls.append(now)
        self.taken[int(now // 60)] += 1
        return Accepted("p", 200)


@dataclass
class TokenBucket(Provider):
    """It has some tokens, and a new one now and then."""

    tokens: float = 10
    at: float = 0.0

    def submit(self, now: float) -> SubmitAnswer:
        self.tokens = min(10.0, self.tokens + (now - (self.at or now)) * self.per_minute / 60)
        self.at = now
        if self.tokens < 1:
            self.refused[int(now // 60)] += 1
            return Refused(THROTTLED)
        self.tokens -= 1
        self.taken[int(now // 60)] += 1
        return Accepted("p", 200)


@dataclass
class Lane:
    """Workers that never run out of work."""

    model: Model
    provider: Provider
    records: Records = field(default_factory=Records)
    clock: VirtualClock = field(default_factory=VirtualClock)
    log: Lines = field(default_factory=Lines)
    away: int = 0

    async def worker(self, until: float) -> None:
        bucket = Bucket(self.records, self.model)
        while self.clock.monotonic() < until:
            begun = self.clock.monotonic()
            pacer = Pacer(
                bucket=bucket,
                model=self.model,
                clock=self.clock,
                log=self.log,
                patience=lambda begun=begun: 90 - (self.clock.monotonic() - begun),  # type: ignore[misc]  # as a worker's
                uniform=lambda low, high: (low + high) / 2,
            )
            async with pacer.pacing(), asyncio.TaskGroup() as group:
                for _ in range(BATCH):
                    group.create_task(self._call(pacer))

    async def _call(self, pacer: Pacer) -> None:
        async with pacer.slot() as slot:
            if isinstance(slot, NoSlot):
                self.away += 1
                await self.clock.sleep(slot.seconds)
                return
            answer = self.provider.submit(self.clock.now_ms() / 1000)
            await slot.answered(answer)
            if isinstance(answer, Accepted):
                await self.clock.sleep(self.provider.seconds)
                slot.took(self.provider.seconds)

    async def work(self, workers: int, minutes: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        until = self.clock.monotonic() + minutes * 60
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self.worker(until))
                await self.clock.sleep(0.05)

    def minutes(self, first: int, last: int) -> list[tuple[int, int]]:
        """Calls taken and refused in full minutes of the clock since the start."""
        begin = START_MS // 60_000 + 1
        return [(self.provider.taken[begin + n], self.provider.refused[begin + n]) for n in range(first, last)]


@pytest.mark.parametrize(("limit", "workers"), [(500, 1), (500, 4), (500, 16), (3000, 4), (3000, 16)])
def test_a_known_limit_is_used_and_not_exceeded(limit: int, workers: int) -> None:
    # A single worker cannot use 3,000 a minute: it has ten calls in flight, and waits for the last of each ten.
    lane = Lane(planned(limit), Provider(limit, seconds=0.1 if workers == 1 else 0.5))
    run(lane.work(workers, 4.5))
    for taken, refused in lane.minutes(0, 3):
        assert taken >= 0.99 * limit
        assert refused == 0


def test_a_ceiling_of_calls_in_flight_is_used_and_not_exceeded() -> None:
    lane = Lane(planned(3000, concurrency=25), Provider(3000, concurrency=25, seconds=5))
    run(lane.work(8, 4))
    assert lane.provider.most_in_flight == 25
    assert not lane.provider.refused
    assert all(taken > 0.85 * 25 * 60 / 5 for taken, _ in lane.minutes(1, 3))


@pytest.mark.parametrize(("limit", "workers"), [(120, 2), (500, 2), (500, 4), (500, 16), (3000, 4)])
def test_an_unknown_limit_is_found_within_three_minutes_and_kept(limit: int, workers: int) -> None:
    lane = Lane(unknown(), Provider(limit, seconds=0.3))
    run(lane.work(workers, 15))
    share = [taken / limit for taken, _ in lane.minutes(2, 14)]
    refused = sum(refused for _, refused in lane.minutes(3, 14))
    assert min(share[:1]) >= 0.95
    assert sum(share) / len(share) >= 0.95
    assert refused <= max(2 * tuning.RUN_OF_REFUSALS, 0.005 * sum(taken for taken, _ in lane.minutes(3, 14)))


@pytest.mark.parametrize("workers", [4, 16])
@pytest.mark.parametrize(("kind", "share"), [(Shifted, 0.7), (Sliding, 0.8), (TokenBucket, 0.8)])
def test_however_the_provider_counts_most_of_its_limit_is_used_and_little_refused(
    kind: type[Provider], share: float, workers: int
) -> None:
    """Least where its windows turn at another time than the clock's: a run of refusals cannot tell where they began."""
    lane = Lane(unknown(), kind(500, seconds=0.3))
    run(lane.work(workers, 20))
    held = lane.minutes(4, 19)
    taken, refused = sum(taken for taken, _ in held), sum(refused for _, refused in held)
    assert taken >= share * 500 * len(held)
    assert refused <= 0.04 * taken


def test_a_plan_of_calls_a_second_that_is_smaller_than_was_said_is_found_out() -> None:
    @dataclass
    class BySecond(Provider):
        second: int = 0
        calls: int = 0

        def submit(self, now: float) -> SubmitAnswer:
            self.second, self.calls = int(now), 1 if int(now) != self.second else self.calls + 1
            if self.calls > self.per_minute / 60:
                self.refused[int(now // 60)] += 1
                return Refused(THROTTLED)
            self.taken[int(now // 60)] += 1
            return Accepted("p", 200)

    model = planned(900)
    lane = Lane(replace(model, account=replace(model.account, window_seconds=1)), BySecond(300, seconds=0.3))
    run(lane.work(4, 15))
    held = lane.minutes(3, 14)
    assert sum(taken for taken, _ in held) >= 0.9 * 300 * len(held)
    assert sum(refused for _, refused in held) <= 0.08 * 300 * len(held)


@pytest.mark.parametrize("workers", [2, 4, 16])
def test_a_plan_that_others_have_used_up_for_minutes_is_used_again_afterwards(workers: int) -> None:
    @dataclass
    class Shared(Provider):
        def submit(self, now: float) -> SubmitAnswer:
            self.per_minute = 0 if 3 <= int(now // 60) - START_MS // 60_000 < 5 else 500
            return super().submit(now)

    lane = Lane(planned(500), Shared(500, seconds=0.3))
    run(lane.work(workers, 20))
    assert all(taken >= 0.9 * 500 for taken, _ in lane.minutes(14, 19))


def test_one_worker_with_more_work_than_its_slow_lane_can_do_lets_it_climb_all_the_same() -> None:
    lane = Lane(unknown(start_per_minute=1), Provider(500, seconds=0.3))
    run(lane.work(1, 12))
    # Ten calls at a time, of which the last begins when it has its slot: more is not to be had of one worker.
    assert all(taken >= 200 for taken, _ in lane.minutes(6, 11))


def test_a_limit_that_is_halved_is_kept_within_half_a_minute() -> None:
    lane = Lane(unknown(), Provider(500, seconds=0.3))

    async def halved() -> tuple[int, int]:
        work = asyncio.create_task(lane.work(4, 10))
        await lane.clock.sleep(5 * 60)
        lane.provider.per_minute = 250
        await lane.clock.sleep(30)
        before = lane.provider.refused.total()
        await work
        return before, lane.provider.refused.total()

    before, after = run(halved())
    taken = sum(taken for taken, _ in lane.minutes(6, 9))
    assert after - before <= 0.005 * taken + 2 * 4 * tuning.RUN_OF_REFUSALS
    assert taken >= 0.95 * 3 * 250


def test_a_limit_that_is_doubled_is_found_again() -> None:
    lane = Lane(unknown(), Provider(200, seconds=0.3))

    async def doubled() -> None:
        work = asyncio.create_task(lane.work(4, 30))
        await lane.clock.sleep(5 * 60)
        lane.provider.per_minute = 400
        await work

    run(doubled())
    assert [taken >= 0.95 * 400 for taken, _ in lane.minutes(26, 29)] == [True] * 3


def test_a_provider_that_says_when_to_come_again_is_left_alone_until_then() -> None:
    lane = Lane(planned(600), Provider(0, retry_after=20))
    run(lane.work(2, 1))
    assert lane.provider.refused.total() <= 2 * 3 * 3


def test_a_few_refusals_here_and_there_do_not_lower_the_rate() -> None:
    @dataclass
    class Moody(Provider):
        calls: int = 0

        def submit(self, now: float) -> SubmitAnswer:
            self.calls += 1
            return Refused(THROTTLED) if self.calls % 30 == 0 else super().submit(now)

    lane = Lane(planned(600), Moody(10_000, seconds=0.3))
    run(lane.work(4, 12))
    assert all(taken >= 0.9 * 600 for taken, _ in lane.minutes(1, 11))


def test_a_storm_lowers_the_rate_once_a_window_and_it_recovers() -> None:
    @dataclass
    class Stormy(Provider):
        calls: int = 0
        storm: bool = True

        def submit(self, now: float) -> SubmitAnswer:
            self.calls += 1
            return Refused(THROTTLED) if self.storm and self.calls % 3 == 0 else super().submit(now)

    provider = Stormy(10_000, seconds=0.3)
    lane = Lane(planned(600), provider)

    async def over_after_a_minute() -> None:
        work = asyncio.create_task(lane.work(4, 10))
        await lane.clock.sleep(60)
        provider.storm = False
        await work

    run(over_after_a_minute())
    lowered = lane.log.of("rate_lowered")
    assert 1 <= len(lowered) <= 7
    assert [taken >= 0.95 * 600 for taken, _ in lane.minutes(7, 9)] == [True] * 2


def test_nothing_is_in_flight_any_more_when_all_is_done() -> None:
    lane = Lane(planned(600), Provider(600))
    run(lane.work(3, 1))
    record = lane.records.records[account_record("wavespeed")]
    assert record["in_flight"] == 0
    assert not any(holdings_of(record).values())


def test_calls_that_wait_when_their_lane_is_paused_are_turned_away() -> None:
    lane = Lane(planned(600), Provider(600))
    lane.records.records[account_record("wavespeed")] = {
        lane_field("paused", lane.model.name): "because",
        "settings": 1,
    }

    async def one() -> Flight | NoSlot:
        pacer = Pacer(
            bucket=Bucket(lane.records, lane.model),
            model=lane.model,
            clock=lane.clock,
            log=lane.log,
            patience=lambda: 60.0,
            uniform=lambda low, high: low,
        )
        async with pacer.pacing(), pacer.slot() as slot:
            return slot

    assert run(one()) == NoSlot(0.0, paused=True)
