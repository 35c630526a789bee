import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.local import deployment

FAMILY = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
pathlib.Path('child').write_text(str(child.pid))
time.sleep(60)
"""


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
