"""An embedded AWS with nothing deployed on it, for adapters that need what the mock does not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ops.local.embedded import embedded_aws
from ops.local.session import EmbeddedSession
from ops.local.state import StateDirectory


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedSession]:
    """A session that talks to an embedded AWS of this test run."""
    state = StateDirectory.make(tmp_path_factory.mktemp("bare-aws"))
    with ExitStack() as undo:
        port = embedded_aws(state).ensure(asked=None, remembered=None, undo=undo)
        yield EmbeddedSession(f"http://127.0.0.1:{port}")
