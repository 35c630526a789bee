"""A plugin of pytest's that takes a condition out of every write of one name, or lists what could be taken out.

pytest -p tests.mutants.plugin --take-out "accept without stage"
pytest -p tests.mutants.plugin --list-conditions FILE
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.core.writes import Condition, Write
from tests.mutants.conditions import Mutant, mutants, without


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two options."""
    parser.addoption("--take-out", metavar="WRITE without PART")
    parser.addoption("--list-conditions", metavar="FILE", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    """Change how writes are made, before anything makes one."""
    if taken := config.getoption("--take-out"):
        mutant = Mutant(*taken.split(" without ", 1))
        _make_writes(lambda name, when: without(when, mutant.part) if name == mutant.write else when)
    if file := config.getoption("--list-conditions"):
        found: set[Mutant] = set()

        def seen(name: str, when: Condition) -> Condition:
            found.update(mutants(name, when))
            return when

        _make_writes(seen)
        config.add_cleanup(lambda: file.write_text("".join(f"{mutant}\n" for mutant in sorted(found))))


def _make_writes(condition: Callable[[str, Condition], Condition]) -> None:
    made = Write.__init__

    def make(self: Write, name: str, when: Condition, *args: Any, **kwargs: Any) -> None:
        made(self, name, condition(name, when), *args, **kwargs)

    Write.__init__ = make  # type: ignore[method-assign]
