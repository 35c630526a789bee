"""How long `imagebatch demo`, which `make demo` ends in, takes to its first stored picture and to its end.

It runs as a new user's first demo does, after `make setup`: in a checkout of its own that shares only the environments
with this one, with an empty state folder. The first run builds the Lambda package (from wheels that `make setup` has
left in uv's cache), the others find it built.

Usage: python -m bench.first_picture
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report import Spread, console, save, say, show
from ops.local.embedded import ROOT
from ops.local.instance import LocalInstance

RUNS = 3
MOST_SECONDS = 60.0

_SOURCES = ("functions", "infra", "ops", "events", "cdk.json", "package.json", "package-lock.json", "pyproject.toml")
_ENVIRONMENTS = (".venv", ".venv-embedded-aws", "node_modules")
_PROGRAM = "from ops.cli import app; app()"
_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo, in seconds from the start of its process. `rows`: those of events/products.csv."""

    first_picture: float
    whole: float
    rows: int


def main() -> None:
    """Run the demo in a fresh checkout, and again in fresh state folders; print the figures and write them."""
    with tempfile.TemporaryDirectory(prefix="imagebatch-bench-") as folder:
        checkout = _checkout(Path(folder) / "imagebatch")
        with console.status("The first demo, which builds the Lambda package"):
            first = run_demo(checkout, "first")
        again = []
        for number in range(1, RUNS + 1):
            with console.status(f"Demo {number} of {RUNS} with the package built"):
                again.append(run_demo(checkout, f"again-{number}"))
    pictures, wholes = Spread(tuple(d.first_picture for d in again)), Spread(tuple(d.whole for d in again))
    show(
        f"imagebatch demo, {first.rows} rows, seconds from its start",
        ("", "first stored picture", "end of the demo"),
        [
            ("package to be built", f"{first.first_picture:.1f}", f"{first.whole:.1f}"),
            (f"package built, {RUNS} runs", pictures.shown(1), wholes.shown(1)),
        ],
    )
    say(f"The first picture is to be there within {MOST_SECONDS:.0f} s.")
    save(
        "first_picture",
        {
            "rows": first.rows,
            "package_to_be_built": _seconds(Spread((first.first_picture,)), Spread((first.whole,))),
            "package_built": _seconds(pictures, wholes),
        },
    )


def run_demo(checkout: Path, name: str) -> Demo:
    """Run the demo in a state folder of this name, and look for its first picture in the images bucket."""
    state = checkout / "states" / name
    command = [sys.executable, "-c", _PROGRAM, "demo", "--json", "--state", str(state), "--output", f"out-{name}"]
    log = checkout / f"{name}.log"
    with log.open("w") as errors:
        begin = time.monotonic()
        process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            first_picture = _wait_for_picture(state, process, begin)
            answer, _ = process.communicate(timeout=_PATIENCE_SECONDS)
            whole = time.monotonic() - begin
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)  # on which it stops what it started
                process.wait()
    if process.returncode or first_picture is None:
        raise SystemExit(f"The demo failed:\n{log.read_text()}")
    return Demo(first_picture, whole, json.loads(answer)["lines"])


def _wait_for_picture(state: Path, process: subprocess.Popen[str], begin: float) -> float | None:
    """Seconds until an object lies in the images bucket; None if the demo ended without one being seen."""
    bucket = ""
    while process.poll() is None and time.monotonic() - begin < _PATIENCE_SECONDS:
        instance = LocalInstance.find(state)
        if instance is not None and instance.record.pid is not None:
            bucket = bucket or instance.outputs()["ImagesBucket"]
            if instance.session().client("s3").list_objects_v2(Bucket=bucket, MaxKeys=1)["KeyCount"]:
                return time.monotonic() - begin
        time.sleep(_POLL_SECONDS)
    return None


def _checkout(directory: Path) -> Path:
    """A checkout without anything built, that shares the environments."""
    directory.mkdir()
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, directory / name)
    for name in _ENVIRONMENTS:
        (directory / name).symlink_to(ROOT / name)
    return directory


def _seconds(first_picture: Spread, whole: Spread) -> dict[str, Any]:
    return {"first_picture_seconds": first_picture.to_json(1), "whole_seconds": whole.to_json(1)}


if __name__ == "__main__":
    main()
