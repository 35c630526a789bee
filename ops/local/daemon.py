"""A process that outlives the command that started it.

It inherits a locked file. The kernel holds the lock exactly as long as the process lives, whoever started it and
however it ends, so "is it running?" has one answer that a reused process id or a stale file cannot fake. Who only asks
takes the lock shared, so that those who ask do not see each other; the file says which process it is, and since when.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ops.local.errors import LocalError

PATIENCE_SECONDS = 5.0
"""How long a process may take to end by itself after SIGTERM."""

SAVING_SECONDS = 60.0
"""How long it may take while it is still seen writing its state."""

_POLL_SECONDS = 0.02
_LOCK_SECONDS = 2.0  # how long a start waits for those who only ask; each of them has the lock for microseconds
_LOCK_POLL_SECONDS = 0.001
_started_here: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class _Process:
    """A process that cannot be taken for another one: its id, and when it began in the system's own words."""

    pid: int
    began: str

    def is_another_now(self) -> bool:
        """Whether it has ended and its id was given to a stranger."""
        return _began(self.pid) not in ("", self.began)


class Daemon:
    """One named process of a state folder: at most one is running at a time."""

    def __init__(self, name: str, *, lock: Path, log: Path) -> None:
        self.name = name
        self._lock = lock
        self._log = log

    def pid(self) -> int | None:
        """The process id while it runs, else ``None``."""
        process = self._process()
        return process.pid if process else None

    def start(self, command: Sequence[str], *, environment: Mapping[str, str], directory: Path) -> int:
        """Start ``command`` with exactly ``environment``, in a session of its own; its output goes to the log.

        Raises:
            LocalError: it is running already, or the program is not there.
        """
        with self._lock.open("a+") as lock, self._log.open("ab") as log:
            self._lock_alone(lock)
            lock.truncate(0)
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
            lock.write(f"{process.pid} {_began(process.pid)}")
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
        process = self._process()
        if process is None:
            return
        os.kill(process.pid, signal.SIGTERM)
        begin = time.monotonic()
        while self.pid() is not None:
            waited = time.monotonic() - begin
            saving = saves_to is not None and time.time() - _last_change(saves_to) < PATIENCE_SECONDS
            if waited > (SAVING_SECONDS if saving else PATIENCE_SECONDS):
                break
            time.sleep(_POLL_SECONDS)
        # Its Lambdas, or whatever hangs, are in its group. A group's id is not given out again while it has members.
        if not process.is_another_now():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        while self.pid() is not None:
            time.sleep(_POLL_SECONDS)
        _reap_ended()

    def _process(self) -> _Process | None:
        """The process that holds the lock, if one does and the file says which."""
        try:
            with self._lock.open("r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    pid, _, began = lock.read().partition(" ")
                else:
                    lock.truncate(0)  # it has ended: its id belongs to nobody, or soon to a stranger
                    return None
        except FileNotFoundError:
            return None
        process = _Process(int(pid), began) if pid.isdecimal() else None
        return None if process is None or process.is_another_now() else process

    def _lock_alone(self, lock: IO[str]) -> None:
        """Take the lock for the process that is to be started.

        Raises:
            LocalError: the process runs, or somebody else is starting it.
        """
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if pid := self.pid():
                    raise LocalError(f"{self.name} is running already (process {pid}).") from error
                if time.monotonic() > deadline:
                    raise LocalError(f"{self.name} is being started or stopped by another command.") from error
            time.sleep(_LOCK_POLL_SECONDS)

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log, introduced by where it lies."""
        try:
            tail = self._log.read_text(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            tail = []
        return "\n".join([f"The end of {self._log}:", *tail])


def _began(pid: int) -> str:
    """When a process began, in a form that only serves to be compared; empty if there is no such process."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            # Field 22 of proc(5), in clock ticks since boot. The second field is a name that may hold anything.
            return stat.read_text(errors="replace").rpartition(")")[2].split()[19]
        except (FileNotFoundError, ProcessLookupError):
            return ""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    words = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # the same ones in every shell
    return subprocess.run(command, env=words, capture_output=True, text=True, check=False).stdout.strip()


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
