"""The processes that the deployed functions run in, on this machine: found in /proc, stopped and killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ops.local.instance import LocalInstance

PROC = Path("/proc")


def can_be_found() -> bool:
    """Whether this machine has the folder that they are found in."""
    return (PROC / "self" / "stat").exists()


def processes_of(instance: LocalInstance, function: str) -> list[int]:
    """Process ids of a function's environments that have begun to work: they are connected to something.

    They are children of this instance's embedded AWS, and of no other.
    """
    name = f"ministack-lambda-{function}-"
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                ours = parent == instance.record.pid and name in (entry / "cmdline").read_text()
                if ours and any(str(file.readlink()).startswith("socket:") for file in (entry / "fd").iterdir()):
                    found.append(int(entry.name))
    return sorted(found)


def is_stopped(pid: int) -> bool:
    """Whether a process stands still by SIGSTOP."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


@contextmanager
def frozen(pids: list[int]) -> Iterator[list[int]]:
    """Stop processes for a moment; gives those that were there, which go on afterwards unless they were killed."""
    stopped = [pid for pid in pids if signalled(pid, signal.SIGSTOP)]
    try:
        yield stopped
    finally:
        for pid in stopped:
            signalled(pid, signal.SIGCONT)


def signalled(pid: int, number: signal.Signals) -> bool:
    """Send a signal; whether the process was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
