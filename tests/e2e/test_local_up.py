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
from ops.local.metrics import metrics_bridge
from ops.local.providers import SANDBOX_KEY
from ops.local.sandbox import sandbox
from ops.local.state import StateDirectory
from tests.fakes.sandbox import Sandbox

COMMAND = [sys.executable, "-c", "from ops.cli import app; app()"]


def imagebatch(*arguments: str) -> str:
    return subprocess.run([*COMMAND, *arguments], check=True, capture_output=True, text=True).stdout


def daemons(directory: Path) -> list[Daemon]:
    state = StateDirectory(directory)
    return [embedded_aws(state).daemon, sandbox(state).daemon, metrics_bridge(state)]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_stack_and_what_was_paid_for_are_there_after_down_and_up(tmp_path: Path) -> None:
    directory, file, out = tmp_path / "state", tmp_path / "mugs.csv", tmp_path / "out"
    file.write_text("sku,prompt,width,height\nA,a mug,256,256\nB,a cup,256,256\nC,a jug,256,256\n")
    up = ("local", "up", "--state", str(directory), "--json")
    try:
        first = json.loads(imagebatch(*up))
        instance = LocalInstance.find()
        assert instance is not None
        assert instance.record.port == first["port"]
        outputs = instance.outputs()
        paid = json.loads(imagebatch("submit", str(file), "--wait", "--json"))
        assert (paid["state"], paid["succeeded"], paid["cost_usd"]) == ("completed", 3, 0.009)

        imagebatch("local", "down")
        assert LocalInstance.find() is None

        second = json.loads(imagebatch(*up))
        assert (second["port"], second["sandbox_port"]) == (first["port"], first["sandbox_port"])
        assert second["pid"] != first["pid"]
        again = LocalInstance.find()
        assert again is not None
        assert again.outputs() == outputs
        assert (directory / "logs" / "cdk.log").read_text().count("$ cdk deploy") == 1
        free = json.loads(imagebatch("submit", str(file), "--wait", "--json"))
        assert (free["state"], free["succeeded"], free["cost_usd"]) == ("completed", 3, 0)
        assert free["duplicates_prevented"] == 3
        imagebatch("results", free["batch_id"], "--output", str(out))
        assert sorted(path.name for path in (out / "images").iterdir()) == ["A.jpg", "B.jpg", "C.jpg"]
        assert Sandbox(second["sandbox_url"]).ledger()["summary"]["charged"] == 3
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

    assert value["SecretString"] == SANDBOX_KEY


def test_ctrl_c_stops_what_was_started(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    command = [*COMMAND, "local", "up", "--state", str(directory)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: daemons(directory)[0].pid() is not None or process.poll() is not None)
        assert process.poll() is None, process.stderr and process.stderr.read()

        process.send_signal(signal.SIGINT)

        assert process.wait(timeout=30) != 0
    assert [daemon.pid() for daemon in daemons(directory)] == [None, None, None]


def test_a_failed_deploy_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    directory = tmp_path / "state"

    with pytest.raises(LocalError, match=r"(?s)`cdk deploy` failed.*lease_seconds"):
        LocalInstance.start(directory, context={"lease_seconds": "soon"}, current=False)

    assert [daemon.pid() for daemon in daemons(directory)] == [None, None, None]


def test_the_aws_cli_finds_the_buckets(deployed: LocalInstance, aws_cli: Callable[..., str]) -> None:
    assert deployed.outputs()["InboxBucket"] in aws_cli("s3", "ls")
