"""The virtual loop the unit tests and the simulation run on."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.fakes.virtual_time import DeadlockError, run


async def _work() -> int:
    return await asyncio.to_thread(len, "abc")


def test_a_run_ends_however_slow_the_threads_of_the_machine_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shut_down: Any = asyncio.BaseEventLoop._do_shutdown  # type: ignore[attr-defined]

    def slowly(loop: object, future: object) -> None:
        time.sleep(0.05)
        shut_down(loop, future)

    monkeypatch.setattr(asyncio.BaseEventLoop, "_do_shutdown", slowly)
    assert run(_work()) == 3


def test_waiting_for_nothing_is_a_deadlock() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError):
        run(forever())
