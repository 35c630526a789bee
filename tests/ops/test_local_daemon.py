import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.local import daemon as daemon_module
from ops.local.daemon import Daemon
from ops.local.errors import LocalError

SLEEP = "import time; print('here', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
WITH_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "it.log"


@pytest.fixture
def daemon(tmp_path: Path, log: Path) -> Daemon:
    return Daemon("it", lock=tmp_path / "it.lock", log=log)


def start(daemon: Daemon, tmp_path: Path, log: Path, script: str) -> int:
    pid = daemon.start([sys.executable, "-c", script], environment={}, directory=tmp_path)
    daemon.wait_until(lambda: bool(log.read_text()))
    return pid


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended but was not yet asked for its exit code does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_a_process_is_known_to_run_from_start_to_stop(daemon: Daemon, tmp_path: Path, log: Path) -> None:
    assert daemon.pid() is None

    pid = start(daemon, tmp_path, log, SLEEP)
    assert daemon.pid() == pid

    daemon.stop()
    assert daemon.pid() is None
    assert not is_alive(pid)


def test_another_command_sees_and_stops_it(daemon: Daemon, tmp_path: Path, log: Path) -> None:
    pid = start(daemon, tmp_path, log, SLEEP)
    other = Daemon("it", lock=tmp_path / "it.lock", log=log)

    assert other.pid() == pid
    other.stop()
    assert daemon.pid() is None


def test_a_process_id_left_in_the_file_is_not_taken_for_a_running_process(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "it.lock").write_text(str(os.getpid()))

    assert daemon.pid() is None
    daemon.stop()  # would end this test run if it believed the file


@contextmanager
def others_asking(tmp_path: Path, log: Path) -> Iterator[list[int]]:
    """Others who ask all the time whether it runs; the process ids they were told."""
    told: list[int] = []
    end = threading.Event()

    def ask() -> None:
        other = Daemon("it", lock=tmp_path / "it.lock", log=log)
        while not end.is_set():
            if pid := other.pid():
                told.append(pid)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        end.set()
        for thread in threads:
            thread.join()


def test_those_who_ask_at_the_same_time_do_not_take_each_other_for_the_process(
    daemon: Daemon, tmp_path: Path, log: Path
) -> None:
    (tmp_path / "it.lock").write_text(str(os.getpid()))

    with others_asking(tmp_path, log) as told:
        time.sleep(0.3)
        daemon.stop()

    assert told == []


def test_it_starts_while_others_ask(daemon: Daemon, tmp_path: Path, log: Path) -> None:
    with others_asking(tmp_path, log) as told:
        for _ in range(5):
            started = daemon.start([sys.executable, "-c", SLEEP], environment={}, directory=tmp_path)
            daemon.stop()
            assert set(told) <= {started}
            told.clear()


def test_a_stranger_who_was_given_its_process_id_is_not_stopped(daemon: Daemon, tmp_path: Path, log: Path) -> None:
    start(daemon, tmp_path, log, SLEEP)
    recorded = (tmp_path / "it.lock").read_text()
    with subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE) as stranger:
        try:
            began = recorded.partition(" ")[2]
            (tmp_path / "it.lock").write_text(f"{stranger.pid} {began}0")  # our lock is held, the id is a stranger's

            daemon.stop()

            assert stranger.poll() is None
        finally:
            stranger.kill()
    (tmp_path / "it.lock").write_text(recorded)
    daemon.stop()


def test_a_file_that_names_no_process_is_no_process(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "it.lock").write_text("half of a")

    assert daemon.pid() is None


def test_a_second_start_is_refused(daemon: Daemon, tmp_path: Path, log: Path) -> None:
    start(daemon, tmp_path, log, SLEEP)
    try:
        with pytest.raises(LocalError, match="is running already"):
            daemon.start([sys.executable, "-c", SLEEP], environment={}, directory=tmp_path)
    finally:
        daemon.stop()


def test_one_that_ignores_sigterm_is_killed(
    daemon: Daemon, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "PATIENCE_SECONDS", 0.2)
    pid = start(daemon, tmp_path, log, STUBBORN)

    daemon.stop()

    assert not is_alive(pid)


def test_one_that_is_still_saving_gets_more_time(
    daemon: Daemon, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "PATIENCE_SECONDS", 0.5)
    saves = tmp_path / "saves"
    saves.mkdir()
    saver = f"""
import pathlib, signal, sys, time
def save(*_):
    for part in range(10):
        pathlib.Path({str(saves)!r}, str(part)).write_text('.')
        time.sleep(0.2)
    sys.exit()
signal.signal(signal.SIGTERM, save)
print('here', flush=True)
time.sleep(60)
"""
    start(daemon, tmp_path, log, saver)

    daemon.stop(saves_to=saves)

    assert len(list(saves.iterdir())) == 10


def test_stopping_takes_its_children_along(daemon: Daemon, tmp_path: Path, log: Path) -> None:
    start(daemon, tmp_path, log, WITH_A_CHILD)
    child = int(log.read_text())
    assert is_alive(child)

    daemon.stop()

    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(child)


def test_one_that_ends_at_once_is_reported_with_its_last_words(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start([sys.executable, "-c", "raise SystemExit('no such port')"], environment={}, directory=tmp_path)

    with pytest.raises(LocalError, match=r"(?s)ended at once.*no such port"):
        daemon.wait_until(lambda: False)


def test_a_program_that_is_not_installed_is_reported_with_what_installs_it(daemon: Daemon, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="make setup"):
        daemon.start([str(tmp_path / "nothing")], environment={}, directory=tmp_path)
