"""The real stack on the embedded AWS, put there by the real CDK command line."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from ops.local.embedded import CREDENTIALS, ROOT
from ops.local.errors import LocalError
from ops.local.state import StateDirectory

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

CDK = ROOT / "node_modules" / ".bin" / "cdk"
_INPUTS = ("infra", "cdk.json", "package-lock.json", "ops/locks/dev.txt")
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A stack and the CDK context it is deployed with.

    Attributes:
        package: directory of the Lambda package, which fits this machine.
        context: CDK context besides package and processor; values as ``cdk -c`` takes them.
    """

    state: StateDirectory
    session: boto3.Session
    endpoint_url: str
    stack: str
    package: Path
    context: Mapping[str, str]

    def bootstrap(self) -> None:
        """Make what the CDK needs in an account (bucket for assets, roles), unless it is there."""
        if _describe(self.session, "CDKToolkit") is None:
            # Not where cdk.json is: the CDK would run the app too, which bootstrapping has no use for.
            self._cdk("bootstrap", "aws://000000000000/us-east-1", directory=self.state.path)

    def deploy(self) -> None:
        """Deploy the stack, unless nothing that it is made of has changed since the last time.

        Raises:
            LocalError: the CDK fails; with the end of what it said.
        """
        stamp = self.state.path / "deployed"
        fingerprint = self._fingerprint()
        found = _describe(self.session, self.stack)
        settled = found is not None and found["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        if settled and stamp.exists() and stamp.read_text() == fingerprint:
            return
        stamp.unlink(missing_ok=True)
        assembly = self.state.path / "cdk.out"
        self._cdk("deploy", "--require-approval", "never", "--output", str(assembly), *self._context_options())
        stamp.write_text(fingerprint)

    def _context_options(self) -> list[str]:
        machine = platform.machine().lower()
        if machine not in _ARCHITECTURES:
            raise LocalError(f"Lambda has no processor like this machine's ({machine}).")
        context = {
            "stack": self.stack,
            "arch": _ARCHITECTURES[machine],
            "package": str(self.package),
            **self.context,
        }
        return [option for name, value in sorted(context.items()) for option in ("-c", f"{name}={value}")]

    def _fingerprint(self) -> str:
        """Hash of all that the deployed stack follows from: context, infra, the package, the CDK's version."""
        digest = hashlib.sha256(json.dumps(self._context_options()).encode())
        # The dependencies in a package that was built here follow from its lock, which its stamp names.
        stamp = self.package.with_suffix(".stamp")
        package = (self.package / "functions", stamp) if stamp.exists() else (self.package,)
        for file in _files([*(ROOT / name for name in _INPUTS), *package]):
            digest.update(f"{file}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def _cdk(self, *arguments: str, directory: Path = ROOT) -> None:
        log = self.state.log("cdk")
        command = [str(CDK), *arguments, "--ci", "--no-color", "--no-notices"]
        with log.open("ab") as out:
            out.write(f"\n$ {' '.join(['cdk', *arguments])}\n".encode())
            out.flush()
            start = out.tell()
            try:
                exit_code = _run_group(command, directory, self._environment(), out)
            except FileNotFoundError as error:
                raise LocalError(f"{CDK} is not there; `make setup` installs it.") from error
        if exit_code:
            said = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
            raise LocalError(
                "\n".join([f"`cdk {arguments[0]}` failed; all it said is in {log}. The end:", *said[-20:]])
            )

    def _environment(self) -> dict[str, str]:
        return CREDENTIALS | {
            # Nothing of the person's own AWS set-up may be read, and no metadata service asked.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            # The CDK keeps a cache and a version check in the home directory; the person's own is not for that.
            "HOME": str(self.state.path / "home"),
            "TMPDIR": str(self.state.path / "tmp"),
            "LANG": "C.UTF-8",
            # Unpacked by `make setup`; without it every new state folder would unpack the CDK library's 200 MB.
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(ROOT / ".venv" / "jsii"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
        }


def stack_outputs(session: boto3.Session, stack: str) -> dict[str, str]:
    """A stack's outputs, empty if it is not deployed."""
    found = _describe(session, stack)
    return {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])} if found else {}


def _run_group(command: Sequence[str], directory: Path, environment: Mapping[str, str], output: IO[bytes]) -> int:
    """Run a program in a process group of its own; its exit code. What ends the wait ends the whole group."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    try:
        return process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # it ended meanwhile (macOS answers with the second)
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _describe(session: boto3.Session, stack: str) -> StackTypeDef | None:
    try:
        return session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += [path] if path.is_file() else path.rglob("*")
    return sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)
