import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ops.local.daemon import Daemon
from ops.local.embedded import embedded_aws
from ops.local.errors import LocalError
from ops.local.instance import LocalInstance
from ops.local.sandbox import sandbox
from ops.local.state import StateDirectory

COMMAND = [sys.executable, "-c", "from ops.cli import app; app()"]


def imagebatch(*arguments: str) -> str:
    return subprocess.run([*COMMAND, *arguments], check=True, capture_output=True, text=True).stdout


def daemons(directory: Path) -> list[Daemon]:
    state = StateDirectory(directory)
    return [embedded_aws(state).daemon, sandbox(state).daemon]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_stack_and_its_data_are_there_after_down_and_up(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    first = json.loads(imagebatch("local", "up", "--state", str(directory), "--json"))
    instance = LocalInstance.find()
    assert instance is not None
    assert instance.record.port == first["port"]
    outputs = instance.outputs()
    instance.session().client("s3").put_object(Bucket=outputs["ImagesBucket"], Key="paid.jpg", Body=b"a picture")

    imagebatch("local", "down")
    assert LocalInstance.find() is None

    second = json.loads(imagebatch("local", "up", "--state", str(directory), "--json"))
    try:
        assert (second["port"], second["sandbox_port"]) == (first["port"], first["sandbox_port"])
        assert second["pid"] != first["pid"]
        again = LocalInstance.find()
        assert again is not None
        assert again.outputs() == outputs
        stored = again.session().client("s3").get_object(Bucket=outputs["ImagesBucket"], Key="paid.jpg")
        assert stored["Body"].read() == b"a picture"
        assert (directory / "logs" / "cdk.log").read_text().count("$ cdk deploy") == 1
    finally:
        imagebatch("local", "down")


def test_starting_what_runs_keeps_its_processes_and_deploys_only_changes(
    deployed: LocalInstance, deployed_context: Mapping[str, str]
) -> None:
    log = deployed.state.log("cdk")
    before = log.read_text()

    same = LocalInstance.start(deployed.state.path, context=deployed_context, current=False)

    assert same.record == deployed.record
    assert log.read_text() == before


def test_the_providers_key_is_in_its_secret(deployed: LocalInstance) -> None:
    secret = json.loads(deployed.outputs()["ProviderSecrets"])["wavespeed"]
    value = deployed.session().client("secretsmanager").get_secret_value(SecretId=secret)

    assert value["SecretString"] == "sandbox"


def test_ctrl_c_stops_what_was_started(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    command = [*COMMAND, "local", "up", "--state", str(directory)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: daemons(directory)[0].pid() is not None or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read()

        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=30) != 0
    assert [daemon.pid() for daemon in daemons(directory)] == [None, None]


def test_a_failed_deploy_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    directory = tmp_path / "state"

    with pytest.raises(LocalError, match=r"(?s)`cdk deploy` failed.*lease_seconds"):
        LocalInstance.start(directory, context={"lease_seconds": "soon"}, current=False)

    assert [daemon.pid() for daemon in daemons(directory)] == [None, None]


def test_the_aws_cli_finds_the_buckets(deployed: LocalInstance, aws_cli: Callable[..., str]) -> None:
    assert deployed.outputs()["InboxBucket"] in aws_cli("s3", "ls")
