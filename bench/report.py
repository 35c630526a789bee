"""What every benchmark does with its figures: a table for people, JSON with the machine and the versions beside it."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.local.embedded import ROOT

RESULTS = ROOT / "bench" / "results"

console = Console(highlight=False, width=116)

_PACKAGES = ("imagebatch", "botocore", "boto3", "httpx", "pillow", "aws-lambda-powertools", "aws-cdk-lib")


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing, in its own unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def to_json(self, digits: int) -> dict[str, Any]:
        """Median, bounds and every value, in the order in which they were measured."""
        return {
            "median": round(self.median, digits),
            "min": round(min(self.values), digits),
            "max": round(max(self.values), digits),
            "values": [round(value, digits) for value in self.values],
        }

    def shown(self, digits: int, unit: str = "") -> str:
        """As ``12.3 s (11.9 – 14.0)``."""
        bounds = f"{min(self.values):.{digits}f} – {max(self.values):.{digits}f}"
        return f"{self.median:.{digits}f}{unit} ({bounds})"


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> None:
    """Print a table; all but the first `names` columns hold numbers."""
    say(f"\n{title}")
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < names else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def say(line: str) -> None:
    """Print a line of plain text."""
    console.print(line, markup=False, soft_wrap=True)


def save(name: str, figures: Mapping[str, Any]) -> Path:
    """Write the figures of one benchmark; the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {
        "benchmark": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "machine": _machine(),
        "versions": _versions(),
        **figures,
    }
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    say(f"Written to {path.relative_to(ROOT)}")
    return path


def _machine() -> dict[str, Any]:
    """What the figures depend on, and nothing that names the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        # Above the number of cores, something else was at work as well.
        "load_before": round(_LOAD_BEFORE, 1),
    }


def _versions() -> dict[str, str]:
    lock = (ROOT / "ops" / "locks" / "embedded-aws.txt").read_text()
    embedded = re.search(r"^ministack==(\S+)", lock, re.MULTILINE)
    return {name: version(name) for name in _PACKAGES} | {"ministack": embedded[1] if embedded else "unknown"}


_LOAD_BEFORE = os.getloadavg()[0]
