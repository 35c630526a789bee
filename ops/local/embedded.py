"""ministack, the embedded AWS: how it is started and with what environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ops.local.daemon import Daemon
from ops.local.service import HOST, Service
from ops.local.state import StateDirectory

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv-embedded-aws"
PROGRAM = Path(__file__).with_name("embedded_main.py")

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""The dummy credentials that the embedded AWS takes; its account is 000000000000."""

# A laptop may reach a provider through a proxy alone, and know its certificates by a file of its own.
_TO_REACH_A_PROVIDER = ("HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")


def embedded_aws(state: StateDirectory) -> Service:
    """The ministack process of ``state``."""
    return Service(
        daemon=Daemon("the embedded AWS", lock=state.lock("aws"), log=state.log("aws")),
        health="/_ministack/ready",
        command=lambda _port: [str(VENV / "bin" / "python"), str(PROGRAM)],
        environment=lambda port: _environment(state, port),
        directory=state.path,
        saves_to=state.path / "aws",
        prepare=lambda: _empty_scratch(state),
    )


def _empty_scratch(state: StateDirectory) -> None:
    """Remove what an instance that was killed left there: the unpacked code of its Lambdas."""
    for name in ("tmp", "home"):
        shutil.rmtree(state.path / name, ignore_errors=True)
        (state.path / name).mkdir()


def _environment(state: StateDirectory, port: int) -> dict[str, str]:
    """All that ministack gets. Its Lambdas inherit every bit of it, so nothing of the person's shell is in it."""
    kept = {name: os.environ[name] for name in _TO_REACH_A_PROVIDER if name in os.environ}
    own = {
        "PATH": f"{VENV / 'bin'}:{os.defpath}",
        "HOME": str(state.path / "home"),
        "TMPDIR": str(state.path / "tmp"),
        "LANG": "C.UTF-8",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state.path / "aws"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state.path / "aws" / "s3"),
        "LAMBDA_EXECUTOR": "local",  # processes of this machine, no Docker
        "IOT_MTLS_ENABLED": "0",  # these two would open ports that nobody asked for
        "SFTP_ENABLED": "0",
    }
    return kept | CREDENTIALS | own
