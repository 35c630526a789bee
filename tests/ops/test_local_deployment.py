import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from functions.core.catalog import parse_catalog
from ops.local import deployment
from ops.local.deployment import Deployment
from ops.local.errors import LocalError
from ops.local.instance import LocalInstance
from ops.local.sandbox import sandbox
from ops.local.session import EmbeddedSession
from ops.local.state import StateDirectory
from tests.infra.catalogs import account, model

FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
pathlib.Path('child').write_text(str(child.pid))
time.sleep(60)
"""


def fingerprint(state: StateDirectory, package: Path) -> str:
    return Deployment(
        state=state,
        session=EmbeddedSession("http://127.0.0.1:1"),
        endpoint_url="http://127.0.0.1:1",
        stack="imagebatch",
        package=package,
        context={},
    )._fingerprint()


@pytest.mark.parametrize("name", ["functions/worker.py", "functions/catalog.toml", "sitecustomize.py"])
def test_whatever_changes_in_a_package_that_was_given_is_deployed(tmp_path: Path, name: str) -> None:
    state, package = StateDirectory.make(tmp_path / "state"), tmp_path / "package"
    (package / "functions").mkdir(parents=True)
    before = fingerprint(state, package)

    (package / name).touch()

    assert fingerprint(state, package) != before


def test_dependencies_of_a_package_that_was_built_are_known_by_its_stamp(tmp_path: Path) -> None:
    state, package, stamp = StateDirectory.make(tmp_path / "state"), tmp_path / "package", tmp_path / "package.stamp"
    (package / "functions").mkdir(parents=True)
    stamp.write_text("boto3 1")
    before = fingerprint(state, package)

    (package / "boto3.py").touch()
    assert fingerprint(state, package) == before

    stamp.write_text("boto3 2")
    assert fingerprint(state, package) != before


def test_a_package_without_a_catalog_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"cannot be deployed: there is no catalog"):
        LocalInstance.start(tmp_path / "state", package=tmp_path / "package", current=False)

    assert not (tmp_path / "state").exists()


def test_the_sandbox_begins_with_the_plan_that_is_deployed_and_with_callbacks_held(tmp_path: Path) -> None:
    catalog = account("small", images_per_minute=7, concurrency=3) + model("other", account="small")
    state = StateDirectory.make(tmp_path / "state")

    sandbox(state, parse_catalog(catalog)).prepare()

    behaviour = json.loads((state.path / "sandbox.json").read_text())
    assert behaviour == {"plan": {"images_per_minute": 7, "concurrency": 3}, "hold_callbacks": True}


def runs(pid: int) -> bool:
    """Whether the process runs; one that ended but was not yet asked for its exit code does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_what_interrupts_the_cdk_ends_what_it_started_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
            time.sleep(0.01)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with (tmp_path / "log").open("wb") as log, pytest.raises(KeyboardInterrupt):
        deployment._run_group([sys.executable, "-c", FAMILY], tmp_path, dict(os.environ), log)

    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(child)
