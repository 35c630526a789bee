"""A process that outlives the command that started it.

It inherits a locked file. The kernel holds the lock exactly as long as the process lives, whoever started it and
however it ends, so "is it running?" has one answer that a reused process id or a stale file cannot fake.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ops.local.errors import LocalError

PATIENCE_SECONDS = 5.0
"""How long a process may take to end by itself after SIGTERM."""

SAVING_SECONDS = 60.0
"""How long it may take while it is still seen writing its state."""

_POLL_SECONDS = 0.02
_started_here: dict[int, subprocess.Popen[bytes]] = {}


class Daemon:
    """One named process of a state folder: at most one is running at a time."""

    def __init__(self, name: str, *, lock: Path, log: Path) -> None:
        self.name = name
        self._lock = lock
        self._log = log

    def pid(self) -> int | None:
        """The process id while it runs, else ``None``."""
        try:
            with self._lock.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return int(self._lock.read_text() or 0) or None

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], directory: Path) -> int:
        """Start ``command`` with exactly ``environment``, in a session of its own; its output goes to the log.

        Raises:
            LocalError: it is running already, or the program is not there.
        """
        with self._lock.open("a+") as lock, self._log.open("ab") as log:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalError(f"{self.name} is running already (process {self.pid()}).") from error
            try:
                process = subprocess.Popen(
                    command,
                    env=dict(environment),
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
            except OSError as error:
                raise LocalError(f"{self.name} could not be started ({error}); `make setup` installs it.") from error
            lock.truncate(0)
            lock.write(str(process.pid))
            lock.flush()
        _started_here[process.pid] = process
        return process.pid

    def wait_until(self, ready: Callable[[], bool], *, seconds: float = 30.0) -> None:
        """Wait until ``ready()``.

        Raises:
            LocalError: it ended before, or was not ready in time; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid() is None:
                _reap_ended()
                raise LocalError(f"{self.name} ended at once. {self.log_tail()}")
            if time.monotonic() > deadline:
                raise LocalError(f"{self.name} did not answer within {seconds:.0f} s. {self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, *, saves_to: Path | None = None) -> None:
        """Stop it and everything that it started: SIGTERM, patience, SIGKILL. Nothing happens if it is not running.

        Args:
            saves_to: a folder that it writes when it ends; while files there change, patience is longer.
        """
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        begin = time.monotonic()
        while self.pid() is not None:
            waited = time.monotonic() - begin
            saving = saves_to is not None and time.time() - _last_change(saves_to) < PATIENCE_SECONDS
            if waited > (SAVING_SECONDS if saving else PATIENCE_SECONDS):
                break
            time.sleep(_POLL_SECONDS)
        # Its Lambdas, or whatever hangs, are in its group. A group's id is not given out again while it has members.
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        while self.pid() is not None:
            time.sleep(_POLL_SECONDS)
        _reap_ended()

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log, introduced by where it lies."""
        try:
            tail = self._log.read_text(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            tail = []
        return "\n".join([f"The end of {self._log}:", *tail])


def _reap_ended() -> None:
    """Take the exit codes of processes started here that have ended, so that none stays as a zombie."""
    for pid, process in list(_started_here.items()):
        if process.poll() is not None:
            del _started_here[pid]


def _last_change(folder: Path) -> float:
    """When a file directly in ``folder`` last changed, in epoch seconds."""
    times = []
    for path in folder.iterdir():
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:  # a temporary file that was renamed meanwhile
            continue
    return max(times, default=0.0)
