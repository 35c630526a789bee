"""The folder of one embedded AWS, and where all of them are remembered.

::

    DIR/local.json      ports, process ids and URLs: what other commands need (Record)
    DIR/aws/            what the embedded AWS keeps: tables, messages, objects
    DIR/sandbox/        what the sandbox provider keeps: its ledger
    DIR/metrics.json    how far the metrics bridge has read the logs
    DIR/run/            locks of the running processes
    DIR/logs/           one log a process
    DIR/deployed        fingerprint of what was last deployed
    DIR/tmp, DIR/home   scratch of the processes, emptied at each start
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.local.errors import LocalError

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
        """The record, or ``None`` if nothing was ever started here; a damaged one is as none, and a start mends it."""
        try:
            fields = json.loads((self.path / "local.json").read_text())
            return Record(**fields | {"port": int(fields["port"])})
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return None

    def write(self, record: Record) -> None:
        """Replace the record, whole: a reader never sees half of it."""
        fresh = self.path / "local.json.new"
        fresh.write_text(json.dumps(asdict(record), indent=2) + "\n")
        fresh.replace(self.path / "local.json")

    def lock(self, name: str) -> Path:
        """The lock file of the process ``name``."""
        return self.path / "run" / f"{name}.lock"

    @contextmanager
    def held(self, name: str, otherwise: str) -> Iterator[None]:
        """Hold the lock ``name``.

        Raises:
            LocalError: saying ``otherwise``, when another process holds it.
        """
        with self.lock(name).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalError(otherwise) from error
            yield

    def log(self, name: str) -> Path:
        """The log file of the process ``name``."""
        return self.path / "logs" / f"{name}.log"


def default_directory() -> Path:
    """Where ``local up`` keeps its state unless told: ``$IMAGEBATCH_STATE``, else ``.imagebatch`` in this folder."""
    return Path(os.environ.get("IMAGEBATCH_STATE") or DEFAULT_DIRECTORY)


def known_directories() -> list[Path]:
    """The folders that other commands look for a running instance in: ``$IMAGEBATCH_STATE`` alone if it is set, else
    every one that was started for them and is still there, the last one first.
    """
    if named := os.environ.get("IMAGEBATCH_STATE"):
        return [Path(named)]
    try:
        remembered = _memory().read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [Path(line) for line in remembered if (Path(line) / "local.json").exists()]


def remember(state: StateDirectory) -> None:
    """Remember ``state`` as the first one of :func:`known_directories`, unless ``$IMAGEBATCH_STATE`` names the one.

    Raises:
        LocalError: there is no place to remember it.
    """
    if os.environ.get("IMAGEBATCH_STATE"):
        return
    memory = _memory()
    try:
        others = [directory for directory in known_directories() if directory != state.path]
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text("".join(f"{directory}\n" for directory in (state.path, *others)))
    except OSError as error:
        raise LocalError(
            f"{memory} cannot be written ({error.strerror}), where other commands find the embedded AWS. Set "
            f"IMAGEBATCH_STATE={state.path} for this command and the others."
        ) from error


def _memory() -> Path:
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "imagebatch" / "current"
