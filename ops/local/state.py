"""The folder of one embedded AWS, and the pointer to the one in use.

::

    DIR/local.json      ports, process ids and URLs: what other commands need (Record)
    DIR/aws/            what the embedded AWS keeps: tables, messages, objects
    DIR/sandbox/        what the sandbox provider keeps: its ledger
    DIR/run/            locks of the running processes
    DIR/logs/           one log a process
    DIR/deployed        fingerprint of what was last deployed
    DIR/tmp, DIR/home   scratch of the processes, emptied at each start
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

DEFAULT_DIRECTORY = Path(".imagebatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """``local.json``. Process ids are ``None`` while the instance is down; ports stay, to be used again.

    The sandbox's fields are ``None`` too where every provider is reached elsewhere.
    """

    endpoint_url: str
    port: int
    pid: int | None
    sandbox_url: str | None
    sandbox_port: int | None
    sandbox_pid: int | None
    stack: str
    region: str = "us-east-1"
    account: str = "000000000000"


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The folder of one embedded AWS."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> StateDirectory:
        """The folder at ``path``, made if it is not there; hidden from git, since it is no part of a project."""
        state = cls(path.resolve())
        for name in ("aws", "sandbox", "run", "logs", "tmp", "home"):
            (state.path / name).mkdir(parents=True, exist_ok=True)
        (state.path / ".gitignore").write_text("*\n")
        return state

    def read(self) -> Record | None:
        """The record, or ``None`` if nothing was ever started here."""
        try:
            return Record(**json.loads((self.path / "local.json").read_text()))
        except FileNotFoundError:
            return None

    def write(self, record: Record) -> None:
        """Replace the record, whole: a reader never sees half of it."""
        fresh = self.path / "local.json.new"
        fresh.write_text(json.dumps(asdict(record), indent=2) + "\n")
        fresh.replace(self.path / "local.json")

    def lock(self, name: str) -> Path:
        """The lock file of the process ``name``."""
        return self.path / "run" / f"{name}.lock"

    def log(self, name: str) -> Path:
        """The log file of the process ``name``."""
        return self.path / "logs" / f"{name}.log"


def default_directory() -> Path:
    """Where ``local up`` keeps its state unless told: ``$IMAGEBATCH_STATE``, else ``.imagebatch`` in this folder."""
    return Path(os.environ.get("IMAGEBATCH_STATE") or DEFAULT_DIRECTORY)


def current_directory() -> Path | None:
    """The folder of the instance that was started last: ``$IMAGEBATCH_STATE``, else what the pointer says."""
    if named := os.environ.get("IMAGEBATCH_STATE"):
        return Path(named)
    try:
        return Path(_pointer().read_text().strip())
    except FileNotFoundError:
        return None


def make_current(state: StateDirectory) -> None:
    """Remember ``state`` as the instance that the other commands talk to."""
    pointer = _pointer()
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(f"{state.path}\n")


def _pointer() -> Path:
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "imagebatch" / "current"
