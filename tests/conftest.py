"""Fixtures that every folder shares, and what keeps tests apart from the machine they run on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from ops.local.instance import LocalInstance

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = ["127.0.0.1"]
CONTEXT = {"lease_seconds": "6", "chunk_rows": "40"}
"""What the deployed stack has smaller than others, to see a lease expire and a file of some rows cut into chunks."""

# A slow machine is no counterexample.
settings.register_profile("imagebatch", deadline=None)
settings.load_profile("imagebatch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in tests/e2e as e2e and let it reach this machine; all the rest is unit, with sockets closed."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests" / "e2e"):
            item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.allow_hosts(LOOPBACK))
        else:
            item.add_marker(pytest.mark.unit)


@pytest.fixture(autouse=True)
def nothing_of_the_persons_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS account, proxy or local instance of whoever runs the tests is seen or touched."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.upper().endswith("_PROXY") or name.endswith(("_API_KEY", "_WEBHOOK_SECRET")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("IMAGEBATCH_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked ``anyio`` run on asyncio, as the worker does."""
    return "asyncio"


@pytest.fixture(scope="session")
def deployed_context() -> Mapping[str, str]:
    """The CDK context that ``deployed`` is deployed with."""
    return CONTEXT


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, deployed_context: Mapping[str, str]) -> Iterator[LocalInstance]:
    """The real stack on an embedded AWS of this test run, with the sandbox provider."""
    directory = tmp_path_factory.mktemp("embedded-aws")
    instance = LocalInstance.start(directory, context=deployed_context, current=False)
    yield instance
    instance.stop()


@pytest.fixture(scope="session")
def aws_cli(deployed: LocalInstance) -> Callable[..., str]:
    """The AWS command line, talking to ``deployed``: ``aws_cli("s3", "ls")`` gives what it prints."""

    def run(*arguments: str) -> str:
        command = [str(ROOT / ".venv-awscli" / "bin" / "aws"), *arguments]
        environment = {"PATH": os.defpath, "HOME": str(deployed.state.path / "home"), **deployed.environment()}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    return run
