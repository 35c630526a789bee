"""What a function imports when it starts is paid for by every cold start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OF_OTHERS = (
    "boto3",
    "PIL",  # when a picture has arrived
    "tenacity",  # when AWS left a request undone
    "functions.adapters.batches",
    "functions.adapters.upload",
    "functions.core.batches",
    "functions.core.input.planning",
    "functions.core.input.rows",
    "functions.core.jobs.completion",
    "functions.providers.callbacks",
    "functions.providers.wavespeed_callbacks",
)


@pytest.fixture(scope="module")
def imported() -> frozenset[str]:
    """The modules that importing the worker leaves in a fresh interpreter."""
    program = "import sys, functions.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


@pytest.mark.parametrize("module", OF_OTHERS)
def test_the_worker_starts_without_what_it_may_never_need(imported: frozenset[str], module: str) -> None:
    assert "functions.core.jobs.work" in imported
    assert module not in imported
