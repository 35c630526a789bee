"""The Lambda package: a directory with ``functions/`` and its third-party dependencies, ready for a CDK asset.

Two targets: ``aws`` (arm64, the runtime's Python) and ``local`` (this machine, the Python of the embedded AWS, which
runs the functions with its own interpreter whatever the template says). No Docker: wheels are chosen for the target.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uv

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "ops" / "locks" / "lambda.txt"
BUILD = ROOT / "build"

SERVICES = ("cloudwatch", "dynamodb", "lambda", "s3", "secretsmanager", "sns", "sqs")
"""The AWS services that functions/adapters make clients of; the description of every other one is left out."""

UNUSED = (
    "bin",  # console scripts
    "certifi/tests",
    "botocore/data/*/*/examples-1.json",
    "PIL/_avif.*",  # 4 MB of a codec for a format that is neither asked for nor accepted
    "pillow.libs/libavif-*",
    "*.dist-info/[!M]*",  # keeps METADATA, which importlib.metadata reads versions from
)
"""Glob patterns, relative to the package, of what no function reads."""


class PackagingError(Exception):
    """Raised when the package cannot be built; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a package runs: its directory under ``build/`` and what wheels fit there.

    :param options: of ``uv pip install``, choosing platform and Python version.
    """

    name: str
    directory: Path
    options: tuple[str, ...]


def aws_target() -> Target:
    """Lambda's python3.13 on arm64. Amazon Linux 2023 has glibc 2.34, so manylinux_2_28 wheels load.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
    """
    options = ("--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.13")
    return Target(name="aws", directory=BUILD / "lambda-arm64", options=options)


def local_target(python: Path = ROOT / ".venv-embedded-aws" / "bin" / "python") -> Target:
    """This machine and ``python``, the interpreter that will run the functions."""
    return Target(name="local", directory=BUILD / "lambda-local", options=("--python", str(python)))


def build(target: Target) -> Path:
    """Make the package of ``target`` and return its directory.

    Dependencies are installed anew only when the lock or the trimming changed; our own code is copied each time. The
    content depends on nothing else, so an unchanged package keeps its CDK asset hash.
    """
    BUILD.mkdir(exist_ok=True)
    with _exclusive(BUILD / f"{target.directory.name}.lock"):
        stamp = BUILD / f"{target.directory.name}.stamp"
        fingerprint = _dependencies_fingerprint(target)
        if not target.directory.is_dir() or not stamp.exists() or stamp.read_text() != fingerprint:
            stamp.unlink(missing_ok=True)
            _install_dependencies(target)
            _compile(target, target.directory)
            stamp.write_text(fingerprint)
        _copy_code(target.directory / "functions")
        _compile(target, target.directory / "functions")
    return target.directory


def variant(directory: Path, catalog: str) -> Path:
    """A copy of this machine's package with another catalog, for benchmarks and tests; its directory."""
    shutil.copytree(build(local_target()), directory, symlinks=True)
    (directory / "functions" / "catalog.toml").write_text(catalog, encoding="utf-8")
    return directory


def zipped_size(directory: Path) -> int:
    """Bytes of ``directory`` as Lambda gets it: a deflated zip."""
    archive = BUILD / f"{directory.name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(path for path in directory.rglob("*") if path.is_file()):
            out.write(file, file.relative_to(directory))
    size = archive.stat().st_size
    archive.unlink()
    return size


def _dependencies_fingerprint(target: Target) -> str:
    interpreter = ""
    if target.name == "local":
        command = [target.options[1], "-c", "import platform, sys; print(sys.version, platform.machine())"]
        try:
            interpreter = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise PackagingError(f"{target.options[1]} does not run ({error}); `make setup` makes it.") from error
    parts = (LOCK.read_text(), repr(target.options), interpreter, Path(__file__).read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _install_dependencies(target: Target) -> None:
    fresh = target.directory.with_name(target.directory.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--target", str(fresh)]
    # Behind a company proxy the machine's own certificates count. What is trimmed must not be shared with uv's cache.
    command += ["--system-certs", "--link-mode", "copy"]
    command += ["--only-binary", ":all:", "--require-hashes", *target.options, "-r", str(LOCK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackagingError(f"uv could not install the functions' dependencies for {target.name}:\n{done.stderr}")
    trim(fresh)
    shutil.rmtree(target.directory, ignore_errors=True)
    fresh.rename(target.directory)


def trim(package: Path) -> None:
    """Remove from ``package`` what no function reads: see :data:`UNUSED` and :data:`SERVICES`."""
    unused = [path for pattern in UNUSED for path in package.glob(pattern)]
    unused += list(package.rglob("__pycache__"))
    unused += [path for path in (package / "botocore" / "data").glob("*/") if path.name not in SERVICES]
    for path in unused:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _compile(target: Target, directory: Path) -> None:
    """Compile for the interpreter that will run it, where it is at hand: a function starts in half the time.

    The compiled files name the hash of their source and not its time, so they too depend on nothing else.
    """
    if target.name == "local":
        options = ("-q", "-s", str(target.directory), "--invalidation-mode", "checked-hash")
        command = [target.options[1], "-m", "compileall", *options, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PackagingError(f"The functions could not be compiled:\n{done.stdout}{done.stderr}")


def _copy_code(destination: Path) -> None:
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(ROOT / "functions", destination, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Only one builder at a time, over all processes of this checkout."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """``python -m ops.packaging --target aws|local …``."""
    parser = argparse.ArgumentParser(prog="python -m ops.packaging", description="Build the Lambda package.")
    parser.add_argument("--target", action="append", choices=("aws", "local"), required=True)
    for name in parser.parse_args().target:
        try:
            directory = build(aws_target() if name == "aws" else local_target())
        except PackagingError as error:
            sys.exit(str(error))
        size = zipped_size(directory) / 1e6
        sys.stdout.write(f"{os.path.relpath(directory)}: {size:.1f} MB zipped\n")


if __name__ == "__main__":
    main()
