"""What the tests of batches share."""

from __future__ import annotations

import pytest

from tests.fakes.plant import Plant


@pytest.fixture
def plant() -> Plant:
    """All that batches go through, as it is deployed by default; a test that wants it otherwise makes its own."""
    return Plant()
