"""The sandbox's memory on disk: JSON lines, appended in the order in which things happened."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class JournalError(RuntimeError):
    """Raised when the journal cannot be used; the message is a sentence."""


class Journal:
    """An append-only file, owned by one process.

    A line is one ``write`` of the operating system, done before the client has its answer: it survives the
    death of the process, though not of the machine.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._fd)
            raise JournalError(f"Another sandbox is using {path.parent}; stop it or choose another folder.") from None

    def replay(self) -> Iterator[dict[str, Any]]:
        """What was appended so far, oldest first; a last line cut short by a full disk is dropped."""
        whole = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    os.ftruncate(self._fd, whole)
                    return
                try:
                    event: dict[str, Any] = json.loads(line)
                except ValueError as error:
                    raise JournalError(f"{self._path}, line {number} is not JSON; remove the folder.") from error
                whole += len(line)
                yield event

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one event."""
        line = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        if os.write(self._fd, line) != len(line):
            raise JournalError(f"No space left for {self._path}.")

    def close(self) -> None:
        """Give the file up for another process."""
        os.close(self._fd)
