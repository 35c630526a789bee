"""Take every condition out of every write, one at a time, and see which test notices: ``make mutants``.

Quick tests first, then the simulation. Exit code 1 if nothing notices one of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

QUICK = ("tests/unit/jobs", "tests/unit/batches", "tests/unit/lanes", "tests/unit/governing")
THOROUGH = ("tests/simulation",)
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main() -> int:
    """Print what notices each mutant."""
    survived, progress = 0, Console(stderr=True, highlight=False)
    table = Table("Write", "Taken out", "Noticed by")
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = _conditions()
        for mutant, test in zip(found, threads.map(_noticed_by, found), strict=True):
            survived += test is None
            table.add_row(*mutant.split(" without ", 1), test or "[red]nothing[/red]")
            progress.print(f"{mutant}: {test or 'NOTHING'}")
    answer = Console(width=160)
    answer.print(table)
    answer.print(f"{len(found)} mutants, {survived} survived.")
    return 1 if survived else 0


def _conditions() -> list[str]:
    """What can be taken out of the writes that the tests make."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "conditions"
        _pytest("--list-conditions", str(file), *QUICK)
        return file.read_text().splitlines()


def _noticed_by(mutant: str) -> str | None:
    for tests in (QUICK, THOROUGH):
        said = _pytest("--take-out", mutant, "--exitfirst", *tests)
        if said.returncode:
            failed = _FAILED.search(said.stdout)
            return failed.group(1) if failed else f"exit code {said.returncode} of {' '.join(tests)}"
    return None


def _pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mutants.plugin", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
