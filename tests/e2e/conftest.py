"""What the end-to-end tests share: one deployed stack, seen as its users see it."""

from __future__ import annotations

import pytest

from ops.local.instance import LocalInstance
from tests.e2e.pipeline import Pipeline


@pytest.fixture(scope="session")
def stack(deployed: LocalInstance) -> Pipeline:
    """The stack of this test run, once for all tests."""
    return Pipeline.of(deployed)


@pytest.fixture
def pipeline(stack: Pipeline) -> Pipeline:
    """The stack with a sandbox that behaves, and whose ledger is empty."""
    stack.behave()
    return stack
