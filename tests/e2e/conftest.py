"""What the end-to-end tests share: one deployed stack, seen as its users see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.local.instance import LocalInstance
from tests.e2e.pipeline import Pipeline


@pytest.fixture(scope="session")
def stack(deployed: LocalInstance) -> Pipeline:
    """The stack of this test run, once for all tests."""
    return Pipeline.of(deployed)


@pytest.fixture
def pipeline(stack: Pipeline) -> Iterator[Pipeline]:
    """The stack with a sandbox that behaves, and whose ledger is empty.

    Afterwards its lane is emptied: a message that a worker has left to a callback would come back minutes later, in the
    middle of another test.
    """
    stack.behave()
    yield stack
    stack.purge_lane()
