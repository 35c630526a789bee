"""Starting and stopping an instance: in which order its processes come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from ops.local import instance
from ops.local.errors import LocalError
from ops.local.instance import LocalInstance, stop
from ops.local.metrics import ensure_bridge, metrics_bridge
from ops.local.sandbox import sandbox
from ops.local.state import Record, StateDirectory

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateDirectory]:
    """A state folder whose sandbox is a real one, and whose embedded AWS is none."""
    monkeypatch.setattr(instance, "embedded_aws", lambda _: aws())
    yield StateDirectory.make(tmp_path)
    sandbox(StateDirectory(tmp_path)).stop()
    metrics_bridge(StateDirectory(tmp_path)).stop()


def aws(**happens: Any) -> Any:
    """What passes for an embedded AWS that runs."""
    nothing: dict[str, Any] = {"ensure": lambda **_: 1, "stop": lambda: None}
    return SimpleNamespace(daemon=SimpleNamespace(pid=os.getpid), **nothing | happens)


def holds_callbacks(port: int | None) -> bool:
    """Whether the sandbox on this port keeps its callbacks to itself."""
    behaviour = httpx.get(f"http://127.0.0.1:{port}/_sandbox/behaviour", trust_env=False).json()
    return bool(behaviour["hold_callbacks"])


def start(state: StateDirectory) -> LocalInstance:
    """As `local up`, with the catalog of this checkout."""
    return LocalInstance.start(state.path, package=Path(), current=False)


def test_callbacks_are_sent_only_while_the_stack_is_there_to_take_them(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox gives up after three tries; its journal brings what is held to the next start."""
    held: dict[str, bool] = {}

    def deploy(self: LocalInstance, *_: Any) -> None:
        held["deploying"] = holds_callbacks(self.record.sandbox_port)

    monkeypatch.setattr(LocalInstance, "_deploy", deploy)
    port = start(state).record.sandbox_port
    held["running"] = holds_callbacks(port)
    stopping = aws(stop=lambda: held.update(stopping=holds_callbacks(port)))
    monkeypatch.setattr(instance, "embedded_aws", lambda _: stopping)

    assert stop(state.path)

    assert held == {"deploying": True, "running": False, "stopping": True}
    assert sandbox(state).daemon.pid() is None


def test_a_start_that_fails_stops_the_sandbox_before_it_has_sent_anything(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = []

    def deploy(self: LocalInstance, *_: Any) -> None:
        ports.append(self.record.sandbox_port)
        assert holds_callbacks(ports[0])
        raise LocalError("`cdk deploy` failed")

    monkeypatch.setattr(LocalInstance, "_deploy", deploy)

    with pytest.raises(LocalError, match="cdk deploy"):
        start(state)

    assert sandbox(state).daemon.pid() is None


def test_the_metrics_bridge_follows_from_the_deploy_until_the_stop(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge, pids = metrics_bridge(state), []
    monkeypatch.setattr(LocalInstance, "_deploy", lambda *_: pids.append(bridge.pid()))

    start(state)
    pids.append(bridge.pid())
    start(state)
    assert pids == [None, bridge.pid(), bridge.pid()]
    assert bridge.pid() is not None

    assert stop(state.path)
    assert bridge.pid() is None


def test_a_start_that_fails_late_stops_the_metrics_bridge_too(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: Any) -> None:
        assert metrics_bridge(state).pid() is not None
        raise LocalError("The sandbox provider is not there")

    monkeypatch.setattr(LocalInstance, "_deploy", lambda *_: None)
    monkeypatch.setattr(instance, "_let_call_back", lose)

    with pytest.raises(LocalError, match="not there"):
        start(state)

    assert metrics_bridge(state).pid() is None


def test_a_metrics_bridge_that_follows_another_address_is_replaced(state: StateDirectory) -> None:
    with ExitStack() as undo:
        ensure_bridge(state, "http://127.0.0.1:1", undo)
        first = metrics_bridge(state).pid()
        state.write(
            Record(
                endpoint_url="http://127.0.0.1:1",
                port=1,
                pid=None,
                sandbox_url=None,
                sandbox_port=None,
                sandbox_pid=None,
                stack="imagebatch",
            )
        )
        ensure_bridge(state, "http://127.0.0.1:2", undo)

        assert metrics_bridge(state).pid() not in (None, first)


def test_a_start_that_fails_leaves_a_sandbox_that_was_running_as_it_was(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deploy(*_: Any) -> None:
        raise LocalError("`cdk deploy` failed")

    monkeypatch.setattr(LocalInstance, "_deploy", lambda *_: None)
    port = start(state).record.sandbox_port
    monkeypatch.setattr(LocalInstance, "_deploy", deploy)

    with pytest.raises(LocalError, match="cdk deploy"):
        start(state)

    assert not holds_callbacks(port)
