"""The sandbox provider as a process of the embedded AWS's state."""

from __future__ import annotations

import os
import sys

from ops.local.daemon import Daemon
from ops.local.embedded import ROOT
from ops.local.service import Service
from ops.local.state import StateDirectory


def sandbox(state: StateDirectory) -> Service:
    """The sandbox process of ``state``; its ledger is kept there."""
    program = [sys.executable, "-m", "ops.sandbox", "--state", str(state.path / "sandbox")]
    return Service(
        daemon=Daemon("the sandbox provider", lock=state.lock("sandbox"), log=state.log("sandbox")),
        health="/_sandbox/health",
        command=lambda port: [*program, "--port", str(port)],
        environment=lambda _port: {"PATH": os.defpath, "HOME": str(state.path), "LANG": "C.UTF-8"},
        directory=ROOT,
    )
