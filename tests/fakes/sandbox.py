"""A sandbox provider of a test's own, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
GRACE_SECONDS = 10


class Sandbox:
    """The sandbox at a base URL, seen by whoever operates it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def behave(self, **behaviour: Any) -> None:
        """Behave so from now on; what is not named is as by default."""
        httpx.put(f"{self.url}/_sandbox/behaviour", json=behaviour, trust_env=False).raise_for_status()

    def ledger(self) -> dict[str, Any]:
        """What was charged, and the summary."""
        ledger: dict[str, Any] = httpx.get(f"{self.url}/_sandbox/ledger", trust_env=False, timeout=30).json()
        return ledger

    def callbacks(self) -> dict[str, Any]:
        """The counts of callbacks in the summary; ``pending`` of 0 says that nothing more will be sent."""
        answer = httpx.get(f"{self.url}/_sandbox/ledger?charges=false", trust_env=False, timeout=30).json()
        callbacks: dict[str, Any] = answer["summary"]["callbacks"]
        return callbacks

    def clear_ledger(self) -> None:
        """Begin charges and counts anew; what was accepted goes on, and so do its callbacks."""
        httpx.delete(f"{self.url}/_sandbox/ledger", trust_env=False).raise_for_status()


@contextmanager
def running_sandbox(state: Path) -> Iterator[Sandbox]:
    """Start a sandbox on a free port of the loopback interface, and stop it at the end."""
    command = [sys.executable, "-m", "ops.sandbox", "--port", "0", "--state", str(state)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Sandbox(process.stdout.readline().split()[-1])
        finally:
            process.terminate()
            process.wait(GRACE_SECONDS)
