"""The sandbox provider, in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.sandbox import Sandbox, running_sandbox
from tests.providers.calls import QUICK


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server: Sandbox) -> Sandbox:
    server.behave(latency_seconds=QUICK)
    return server
