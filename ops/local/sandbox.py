"""The sandbox provider as a process of the embedded AWS's state."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import httpx

from functions.core.catalog import Catalog, load_catalog
from ops.local.daemon import Daemon
from ops.local.embedded import ROOT
from ops.local.service import HOST, Service
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
        prepare=lambda: _write_behaviour(behaviour, catalog or load_catalog()),
    )


def hold_callbacks(port: int, hold: bool) -> None:
    """Let the sandbox on this port keep its callbacks to itself, or let it send them: it gives up after three tries.

    Raises:
        httpx.HTTPError: it does not answer.
    """
    url = f"http://{HOST}:{port}/_sandbox/behaviour"
    with httpx.Client(trust_env=False) as client:
        behaviour = client.get(url).raise_for_status().json()
        client.put(url, json=behaviour | {"hold_callbacks": hold}).raise_for_status()


def _write_behaviour(path: Path, catalog: Catalog) -> None:
    """Begin with the limits of the plan, and with callbacks held: who they are for may not be there yet."""
    account = catalog.enabled_models[0].account
    plan = {"images_per_minute": account.images_per_minute, "concurrency": account.concurrency}
    path.write_text(json.dumps({"plan": plan, "hold_callbacks": True}))
