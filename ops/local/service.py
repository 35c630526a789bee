"""A daemon that answers HTTP on a port of the loopback interface."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx

from ops.local.daemon import Daemon
from ops.local.errors import LocalError

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How one process is started and how to tell that it is there.

    Attributes:
        health: path that answers 200 as soon as the process can be used.
        command: what to run, given the port.
        environment: all the environment that it gets, given the port.
        directory: where it runs.
        saves_to: the folder that it writes to when it ends, if it does.
        prepare: called before it is started.
    """

    daemon: Daemon
    health: str
    command: Callable[[int], Sequence[str]]
    environment: Callable[[int], Mapping[str, str]]
    directory: Path
    saves_to: Path | None = None
    prepare: Callable[[], None] = lambda: None

    def ensure(self, *, asked: int | None, remembered: int | None, undo: ExitStack) -> int:
        """Start it unless it runs, answers, and has the port asked for; its port.

        Args:
            asked: the port that it must have, if any.
            remembered: the port of last time, taken again where it is free.
            undo: is told how to stop what this starts.

        Raises:
            LocalError: it does not start, or the port asked for is taken.
        """
        if remembered is not None and asked in (None, remembered) and self._runs_on(remembered):
            return remembered
        self.stop()
        port = choose_port(asked, remembered)
        undo.callback(self.stop)
        self.start(port)
        return port

    def start(self, port: int) -> None:
        """Start it and wait until it answers.

        Raises:
            LocalError: it ends at once or never answers.
        """
        self.prepare()
        self.daemon.start(self.command(port), environment=self.environment(port), directory=self.directory)
        self.daemon.wait_until(lambda: self._answers(port))

    def stop(self) -> None:
        """Stop it and what it started, if it runs."""
        self.daemon.stop(saves_to=self.saves_to)

    def _runs_on(self, port: int) -> bool:
        return self.daemon.pid() is not None and self._answers(port)

    def _answers(self, port: int) -> bool:
        """Whether it says that it is there. Asked directly, whatever proxy the machine has."""
        try:
            answer = httpx.get(f"http://{HOST}:{port}{self.health}", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK


def choose_port(asked: int | None, remembered: int | None) -> int:
    """A port for a process: the one asked for, else the one of last time if it is free, else any free one.

    Raises:
        LocalError: the port asked for is taken.
    """
    if asked is not None:
        if not _is_free(asked):
            raise LocalError(f"Port {asked} is taken by another process; name another one or leave --port out.")
        return asked
    if remembered is not None and _is_free(remembered):
        return remembered
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        # As a server binds: connections of the last run that are still winding down do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
