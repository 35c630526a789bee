"""Dependencies point inward: what may import what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE = sorted((ROOT / "functions" / "core").rglob("*.py"))
DEPLOYED = sorted((ROOT / "functions").rglob("*.py"))
OUTSIDE = {"boto3", "botocore", "httpx", "aws_lambda_powertools", "os", "socket", "urllib.request", "subprocess"}


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively; there is one import path"
            yield node.module or ""


def belongs_to(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("file", PURE, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_core_knows_no_aws_no_http_and_no_environment(file: Path) -> None:
    reached = {module for module in imported(file) if belongs_to(module, OUTSIDE)}
    inward = {"functions.adapters", "functions.providers", "functions.settings", "functions.runtime"}
    reached |= {module for module in imported(file) if belongs_to(module, {*inward, "functions.observability"})}
    assert not reached


@pytest.mark.parametrize("file", DEPLOYED, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_deployed_knows_nothing_of_who_deploys_it(file: Path) -> None:
    outside = {"ops", "infra", "tests", "bench", "boto3"}
    # The types of boto3's stubs are read by the type checker alone.
    assert not {module for module in imported(file) if belongs_to(module, outside)}


def test_the_clock_is_read_in_one_place() -> None:
    readers = {file.name for file in DEPLOYED if {"time", "datetime"} & set(imported(file))}
    assert readers <= {"clock.py", "worker.py", "records.py", "batches.py", "wavespeed.py"}, (
        "time comes in as an argument; records, batches and wavespeed only write moments down"
    )
