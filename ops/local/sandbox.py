"""The sandbox provider as a process of the embedded AWS's state."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from functions.core.catalog import load_catalog
from ops.local.daemon import Daemon
from ops.local.embedded import ROOT
from ops.local.service import Service
from ops.local.state import StateDirectory


def sandbox(state: StateDirectory) -> Service:
    """The sandbox process of ``state``; its ledger is kept there. It enforces the limits of the catalog's plan."""
    behaviour = state.path / "sandbox.json"
    program = [
        sys.executable,
        "-m",
        "ops.sandbox",
        "--state",
        str(state.path / "sandbox"),
        "--behaviour",
        str(behaviour),
    ]
    return Service(
        daemon=Daemon("the sandbox provider", lock=state.lock("sandbox"), log=state.log("sandbox")),
        health="/_sandbox/health",
        command=lambda port: [*program, "--port", str(port)],
        environment=lambda _port: {"PATH": os.defpath, "HOME": str(state.path), "LANG": "C.UTF-8"},
        directory=ROOT,
        prepare=lambda: _enforce_the_plan(behaviour),
    )


def _enforce_the_plan(behaviour: Path) -> None:
    account = load_catalog().accounts["wavespeed"]
    plan = {"images_per_minute": account.images_per_minute, "concurrency": account.concurrency}
    behaviour.write_text(json.dumps({"plan": plan}))
