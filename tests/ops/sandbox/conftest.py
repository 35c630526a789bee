"""A sandbox on a free loopback port in a thread, its time in the test's hand."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.sandbox import app, server
from ops.sandbox.behaviour import Behaviour
from ops.sandbox.engine import Engine
from ops.sandbox.journal import Journal

MODEL = "wavespeed-ai/flux-schnell"
NOON = 1_800_000_000.0  # a whole minute
INSTANT = {"min": 0.0, "mean": 0.0, "max": 0.0}


class Clock:
    """Epoch seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass
class Sandbox:
    """A running sandbox as its client and its administrator see it."""

    http: httpx.Client
    clock: Clock

    def behave(self, **behaviour: Any) -> None:
        """Set the whole behaviour; tasks are instant unless said otherwise."""
        document = {"latency_seconds": INSTANT} | behaviour
        self.http.put("/_sandbox/behaviour", json=document).raise_for_status()

    def submit(self, prompt: str = "a red kite", **fields: Any) -> httpx.Response:
        """POST a task."""
        return self.http.post(f"/api/v3/{MODEL}", json={"prompt": prompt} | fields)

    def accepted(self, prompt: str = "a red kite", **fields: Any) -> Mapping[str, Any]:
        """POST a task that must be accepted; its data."""
        answer = self.submit(prompt, **fields)
        assert answer.status_code == 200, answer.text
        data: Mapping[str, Any] = answer.json()["data"]
        return data

    def poll(self, prediction_id: str) -> Mapping[str, Any]:
        """The task's data now."""
        answer = self.http.get(f"/api/v3/predictions/{prediction_id}/result")
        assert answer.status_code == 200, answer.text
        data: Mapping[str, Any] = answer.json()["data"]
        return data

    def charges(self) -> list[dict[str, Any]]:
        """What was charged."""
        charges: list[dict[str, Any]] = self.http.get("/_sandbox/ledger").json()["charges"]
        return charges

    def summary(self) -> dict[str, Any]:
        """The ledger's counts."""
        summary: dict[str, Any] = self.http.get("/_sandbox/ledger?charges=false").json()["summary"]
        return summary


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    clock = Clock()
    engine = Engine(Journal(tmp_path_factory.mktemp("sandbox") / "journal.jsonl"), Behaviour(), clock)
    socket = server.bind("127.0.0.1", 0)
    running = server.Server(app.build(engine))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [socket]})
    thread.start()
    address = f"http://127.0.0.1:{socket.getsockname()[1]}"
    with httpx.Client(base_url=address, headers={"Authorization": "Bearer key"}, timeout=20) as http:
        yield Sandbox(http, clock)
    running.should_exit = True
    thread.join()


@pytest.fixture
def sandbox(_running: Sandbox) -> Sandbox:
    """The sandbox with nothing charged, nothing in flight, a fresh minute and the behaviour of ``behave()``."""
    _running.clock.now = (_running.clock.now // 60 + 10) * 60
    _running.behave()
    _running.http.delete("/_sandbox/ledger").raise_for_status()
    return _running


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    """Where a journal of this test's own lies."""
    return tmp_path / "state" / "journal.jsonl"
