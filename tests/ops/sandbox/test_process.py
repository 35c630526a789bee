"""The command: ``python -m ops.sandbox`` as another process."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ops.sandbox import server
from tests.ops.sandbox.receiver import listening

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

ROOT = Path(__file__).parents[3]
KEY = {"Authorization": "Bearer key"}
Start = Callable[..., "tuple[subprocess.Popen[str], str]"]


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "ops.sandbox", *map(str, arguments)]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts sandboxes on free ports; gives the process and its address."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> "tuple[subprocess.Popen[str], str]":
        process = subprocess.Popen(
            _command("--port", 0, *arguments), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("sandbox provider on http://127.0.0.1:"), line
        return process, line.split()[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def _submit(address: str, prompt: str, **query: str) -> str:
    url = f"{address}/api/v3/wavespeed-ai/flux-schnell"
    answer = httpx.post(
        url, headers=KEY, params=query, json={"prompt": prompt, "enable_sync_mode": True, "size": "256*256"}
    )
    task: str = answer.json()["data"]["id"]
    return task


def test_charges_tasks_and_pictures_survive_a_stop_and_a_kill(start: Start, tmp_path: Path) -> None:
    arguments = ("--state", tmp_path, "--behaviour", _instant(tmp_path))
    tasks, pictures = [], []
    for end in (signal.SIGTERM, signal.SIGKILL):
        process, address = start(*arguments)
        tasks.append(_submit(address, f"ended by {end.name}"))
        pictures.append(httpx.get(f"{address}/outputs/{tasks[-1]}/0.jpg").content)
        process.send_signal(end)
        assert process.wait(10) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
    _, address = start(*arguments)
    assert [charge["id"] for charge in httpx.get(f"{address}/_sandbox/ledger").json()["charges"]] == tasks
    for task, picture in zip(tasks, pictures, strict=True):
        data = httpx.get(f"{address}/api/v3/predictions/{task}/result", headers=KEY).json()["data"]
        assert data["status"] == "completed"
        assert httpx.get(data["outputs"][0]).content == picture


def test_sigterm_ends_it_well_while_a_submit_hangs(start: Start, tmp_path: Path) -> None:
    process, address = start("--state", tmp_path)
    httpx.put(f"{address}/_sandbox/behaviour", json={"faults": {"submit_timeout_after": 1}}).raise_for_status()
    outcome: list[str] = []

    def hang() -> None:
        try:
            outcome.append(_submit(address, "never answered"))
        except httpx.HTTPError as error:
            outcome.append(type(error).__name__)

    client = threading.Thread(target=hang)
    client.start()
    while not httpx.get(f"{address}/_sandbox/ledger").json()["summary"]["charged"]:
        pass
    process.terminate()
    assert process.wait(10) == 0
    client.join()
    assert outcome == ["RemoteProtocolError"]
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_callback_under_way_does_not_keep_it_from_ending_and_comes_after_the_restart(
    start: Start, tmp_path: Path, end: signal.Signals
) -> None:
    arguments = ("--state", tmp_path, "--behaviour", _instant(tmp_path))
    with listening() as receiver:
        receiver.gate.clear()
        process, address = start(*arguments)
        task = _submit(address, "called back", webhook=receiver.url)
        receiver.wait_for(1)
        process.send_signal(end)
        assert process.wait(5) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
        assert process.stderr is not None
        assert process.stderr.read() == ""
        receiver.gate.set()
        start(*arguments)
        first, second = receiver.wait_for(2)
    assert first.message["id"] == second.message["id"] == task
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_an_answer_is_not_held_back_by_the_client_s_delayed_acknowledgement() -> None:
    with server.bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_keeps_it_from_starting_is_said_in_a_sentence(start: Start, tmp_path: Path) -> None:
    _, address = start("--state", tmp_path / "one")
    bad = tmp_path / "bad.json"
    bad.write_text('{"plan": {"concurrency": 0}}')
    cases = [
        (("--port", address.rsplit(":")[-1], "--state", tmp_path / "two"), "in use"),
        (("--port", 0, "--state", tmp_path / "one"), "Another sandbox is using"),
        (("--port", 0, "--state", tmp_path / "two", "--behaviour", bad), "plan.concurrency must be at least 1"),
        (("--port", 0, "--state", tmp_path / "two", "--behaviour", tmp_path / "none.json"), "No such file"),
    ]
    for arguments, sentence in cases:
        ended = subprocess.run(_command(*arguments), cwd=ROOT, text=True, capture_output=True, timeout=30)
        assert ended.returncode == 1
        assert sentence in ended.stderr
        assert "Traceback" not in ended.stderr


def _instant(folder: Path) -> Path:
    path = folder / "behaviour.json"
    path.write_text(json.dumps({"latency_seconds": {"min": 0, "mean": 0, "max": 0}}))
    return path
