"""The sandbox provider as a process of the embedded AWS's state."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from functions.core.catalog import Catalog, load_catalog
from ops.local.daemon import Daemon
from ops.local.embedded import ROOT
from ops.local.service import Service
from ops.local.state import StateDirectory


def sandbox(state: StateDirectory, catalog: Catalog | None = None) -> Service:
    """The sandbox process of ``state``; its ledger is kept there. It enforces the limits of the catalog's plan.

    Args:
        catalog: the one that is deployed; this checkout's without it.
    """
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
        prepare=lambda: _enforce_the_plan(behaviour, catalog or load_catalog()),
    )


def _enforce_the_plan(behaviour: Path, catalog: Catalog) -> None:
    account = catalog.enabled_models[0].account
    plan = {"images_per_minute": account.images_per_minute, "concurrency": account.concurrency}
    behaviour.write_text(json.dumps({"plan": plan}))
