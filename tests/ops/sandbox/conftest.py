"""A sandbox on a free loopback port in a thread, its time in the test's hand."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.sandbox import app, server
from ops.sandbox.behaviour import Behaviour
from ops.sandbox.engine import Engine
from ops.sandbox.journal import Journal
from tests.ops.sandbox.receiver import Receiver, listening, until

MODEL = "wavespeed-ai/flux-schnell"
NOON = 1_800_000_000.0  # a whole minute
INSTANT = {"min": 0.0, "mean": 0.0, "max": 0.0}


class Clock:
    """Epoch seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = NOON
        self._looks = 0

    def __call__(self) -> float:
        self._looks += 1
        return self.now

    def is_looked_at(self) -> None:
        """Return when whoever waits for it has looked at it several times more, and so has seen what it shows."""
        seen = self._looks
        until(lambda: self._looks >= seen + 6)

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

    def submit(self, prompt: str = "a red kite", webhook: str | None = None, **fields: Any) -> httpx.Response:
        """POST a task."""
        query = {} if webhook is None else {"webhook": webhook}
        return self.http.post(f"/api/v3/{MODEL}", params=query, json={"prompt": prompt} | fields)

    def pricing(self) -> httpx.Response:
        """Ask what a run of the model costs."""
        asked = {"model_id": MODEL, "inputs": {"prompt": "a red kite"}}
        return self.http.post("/api/v3/model/pricing", json=asked)

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

    def callbacks(self) -> dict[str, Any]:
        """The ledger's counts of callbacks."""
        callbacks: dict[str, Any] = self.summary()["callbacks"]
        return callbacks

    def settled(self) -> dict[str, Any]:
        """The same, when nothing is left to be sent."""
        until(lambda: self.callbacks()["pending"] == 0)
        return self.callbacks()


@contextmanager
def running(journal_path: Path, clock: Clock) -> Iterator[Sandbox]:
    """A sandbox with that memory until the end of the block."""
    journal = Journal(journal_path)
    engine = Engine(journal, Behaviour(), clock)
    socket = server.bind("127.0.0.1", 0)
    serving = server.Server(app.build(engine))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [socket]})
    thread.start()
    address = f"http://127.0.0.1:{socket.getsockname()[1]}"
    try:
        with httpx.Client(base_url=address, headers={"Authorization": "Bearer key"}, timeout=20) as http:
            yield Sandbox(http, clock)
    finally:
        serving.should_exit = True
        thread.join()
        journal.close()


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox") / "journal.jsonl", Clock()) as sandbox:
        yield sandbox


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


@pytest.fixture
def receiver(sandbox: Sandbox) -> Iterator[Receiver]:
    """A webhook's address; at the end nothing that the test caused is left to be sent."""
    with listening() as receiver:
        yield receiver
        receiver.gate.set()
        sandbox.behave()

        def nothing_is_pending_a_minute_later() -> bool:
            sandbox.clock.advance(60)
            return not sandbox.callbacks()["pending"]

        until(nothing_is_pending_a_minute_later)
