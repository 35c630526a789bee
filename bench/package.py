"""The Lambda package: its size, what it is made of, and how long importing the worker takes.

The import is compared with that of boto3 and httpx alone, which such a function would use: in fresh interpreters that
see one directory and the standard library. What counts is the median of the ratios of pairs, each of two imports in
direct succession, since the machine's speed drifts over a run. Compiled files (.pyc) are there for both. The package
goes to AWS without them, so importing without is measured beside it.

Usage: python -m bench.package
"""

from __future__ import annotations

import hashlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv

from bench.report import Spread, console, save, say, show
from ops import packaging
from ops.local.embedded import ROOT, VENV

PAIRS = 31
BIGGEST = 8
MOST_BYTES = 15_000_000
MOST_RATIO = 1.3

_PYTHON = VENV / "bin" / "python"
_LOCK = ROOT / "ops" / "locks" / "dev.txt"
_BASE = "boto3, httpx"
_WORKER = "functions.worker"

# Only the import is timed, not the start of the interpreter. -I: nothing of the environment; -S: no site-packages.
# Processor time: the files are in the cache, so it is the clock's time less what other processes took.
_TIMED_IMPORT = (
    "import sys, time; sys.path.insert(0, sys.argv[1]); begin = time.process_time(); "
    "import {modules}; print(time.process_time() - begin)"
)
_IMPORT_TIME = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Contender:
    """Modules, and the one directory they are imported from."""

    name: str
    modules: str
    directory: Path

    def seconds(self) -> float:
        """The processor time of the import in a fresh interpreter."""
        return float(self._run())

    def shares(self) -> list[tuple[str, float]]:
        """Whose modules take how many milliseconds, the most first. Tracing it makes all of them slower."""
        own: Counter[str] = Counter()
        for line in self._run("-X", "importtime", errors=True).splitlines():
            if found := _IMPORT_TIME.match(line):
                package = found[2].partition(".")[0]
                own["standard library" if package in sys.stdlib_module_names else package] += int(found[1])
        return [(name, round(microseconds / 1000, 1)) for name, microseconds in own.most_common(BIGGEST)]

    def _run(self, *options: str, errors: bool = False) -> str:
        program = _TIMED_IMPORT.format(modules=self.modules)
        # -B: what is measured without compiled files stays without.
        command = [str(_PYTHON), "-I", "-S", "-B", *options, "-c", program, str(self.directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={})
        return done.stderr if errors else done.stdout


def main() -> None:
    """Measure, print the figures and write them."""
    sizes = {
        target.name: _size(packaging.build(target)) for target in (packaging.aws_target(), packaging.local_target())
    }
    with tempfile.TemporaryDirectory(prefix="imagebatch-bench-") as folder:
        imports = _imports(Path(folder))
    save("package", {"zipped": sizes, "import": imports})


def _size(directory: Path) -> dict[str, Any]:
    """Bytes of a package zipped, and of its biggest members: folders of its top, modules of its top."""
    zipped = packaging.zipped_size(directory)
    members: Counter[str] = Counter()
    with tempfile.TemporaryFile() as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            name = path.relative_to(directory)
            archive.write(path, name)
            members[name.parts[0]] += archive.getinfo(str(name)).compress_size
    unzipped = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    biggest = members.most_common(BIGGEST)
    show(
        f"{directory.name}: {zipped / 1e6:.2f} MB zipped (at most {MOST_BYTES / 1e6:.0f}), {unzipped / 1e6:.1f} MB not",
        ("member", "MB zipped"),
        [(name, f"{size / 1e6:.2f}") for name, size in biggest],
    )
    return {"bytes": zipped, "bytes_unzipped": unzipped, "biggest_members": dict(biggest)}


def _imports(scratch: Path) -> dict[str, Any]:
    compiled, plain = scratch / "compiled", scratch / "plain"
    pairs = []
    for place in (compiled, plain):
        worker = Contender(_WORKER, _WORKER, _copy(packaging.local_target().directory, place / "worker"))
        base = Contender(_BASE, _BASE, _copy(_base(), place / "base"))
        pairs.append((base, worker))
    for contender in pairs[0]:
        _compile(contender.directory)
    figures = {
        "compiled": _compare("with compiled files", *pairs[0]),
        "plain": _compare("without compiled files, as a cold start in AWS", *pairs[1]),
    }
    shares = pairs[0][1].shares()
    show("What the worker's import is spent on", ("modules of", "ms"), [(name, f"{ms:.1f}") for name, ms in shares])
    return {**figures, "worker_milliseconds_by_package": dict(shares)}


def _compare(how: str, base: Contender, worker: Contender) -> dict[str, Any]:
    """Import both, pair by pair, in changing order; the first pair warms the file cache and does not count."""
    times: dict[str, list[float]] = {base.name: [], worker.name: []}
    with console.status(f"Importing {how}"):
        for turn in range(PAIRS + 1):
            for contender in (base, worker) if turn % 2 else (worker, base):
                seconds = contender.seconds()
                if turn:
                    times[contender.name].append(seconds * 1000)
    spreads = {name: Spread(tuple(values)) for name, values in times.items()}
    ratios = [ours / theirs for ours, theirs in zip(times[worker.name], times[base.name], strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    show(
        f"Importing {how}, {PAIRS} pairs",
        ("import", "ms of processor time: median (min – max)"),
        [(name, spread.shown(0)) for name, spread in spreads.items()],
    )
    say(f"Ratio {ratio:.2f} (half of the pairs within {low:.2f} – {high:.2f}; at most {MOST_RATIO}).")
    return {
        "milliseconds": {name: spread.to_json(1) for name, spread in spreads.items()},
        "ratio": round(ratio, 3),
        "ratio_quartiles": [round(low, 3), round(high, 3)],
    }


def _base() -> Path:
    """A directory with boto3, httpx and what they need, in the locked versions; kept under build/."""
    lock = _LOCK.read_text()
    fingerprint = hashlib.sha256(lock.encode()).hexdigest()[:16]
    directory = packaging.BUILD / f"bench-boto3-httpx-{fingerprint}"
    if not directory.is_dir():
        fresh = directory.with_name(f"{directory.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--system-certs", "--target", str(fresh)]
        command += ["--python", str(_PYTHON), "--link-mode", "copy", "--only-binary", ":all:"]
        subprocess.run([*command, "--constraints", str(_LOCK), "boto3", "httpx"], check=True)
        fresh.rename(directory)
    return directory


def _copy(directory: Path, to: Path) -> Path:
    """A copy without compiled files: the package itself is written anew by every build."""
    return Path(shutil.copytree(directory, to, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")))


def _compile(directory: Path) -> None:
    subprocess.run([str(_PYTHON), "-m", "compileall", "-q", str(directory)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
