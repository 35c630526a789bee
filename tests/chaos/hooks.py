"""What goes wrong beside a run: processes are killed, messages are sent again, the provider changes its mind."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.injected.handlers import DOUBLE
from tests.chaos.runs import LATENCY, Hook, Live, doorbell
from tests.e2e.processes import signalled

_OTHERS = ("splitter", "tracker", "reporter", "completion")
_WORKERS_SHARE = 0.75


def kill_at_random(seed: int, *, every_seconds: float, most: int) -> Hook:
    """Kill one process at a time with kill -9, at random moments: mostly a worker of the run's lanes, whatever it does.

    Not so often that one job loses three workers in a row: it would be taken for one that kills them.
    """
    chance = random.Random(seed)

    def hook(live: Live) -> None:
        workers = [f"worker-{lane}" for lane in live.batches]
        while live.counts["kills"] < most and not live.over.wait(every_seconds * chance.uniform(0.5, 1.5)):
            parts = workers if chance.random() < _WORKERS_SHARE else list(_OTHERS)
            found = [pid for part in parts for pid in live.stack.processes(part)]
            if found and signalled(chance.choice(found), signal.SIGKILL):
                live.counts["kills"] += 1

    return hook


def behave_later(*changes: tuple[float, Mapping[str, Any]]) -> Hook:
    """Let the sandbox behave otherwise: after so many seconds from the one before. Its ledger goes on."""

    def hook(live: Live) -> None:
        for seconds, behaviour in changes:
            if live.over.wait(seconds):
                return
            live.stack.pipeline.sandbox.behave(**{"latency_seconds": LATENCY, **behaviour})

    return hook


def ring_again(seed: int, *, times: int, every_seconds: float) -> Hook:
    """Send the messages of all jobs of the run once more, in random order, so many times."""
    chance = random.Random(seed)

    def hook(live: Live) -> None:
        while not all(live.job_ids(lane) for lane in live.batches) and not live.over.wait(0.5):
            pass
        for _ in range(times):
            if live.over.wait(every_seconds):
                return
            for lane in live.batches:
                ids = live.job_ids(lane)
                live.stack.send(live.stack.lanes[lane]["queue_url"], [doorbell(one) for one in _shuffled(ids, chance)])
                live.counts["doorbells"] += len(ids)

    return hook


def double_the_stream(live: Live) -> None:
    """Let the tracker see its records two or three times, in no order."""
    sign = live.stack.folder / DOUBLE
    sign.touch()
    live.over.wait()
    sign.unlink()


def _shuffled(items: Sequence[str], chance: random.Random) -> list[str]:
    return chance.sample(items, len(items))
