from pathlib import Path

import pytest

from ops.local import state as state_module
from ops.local.instance import LocalInstance, stop
from ops.local.state import Record, StateDirectory

RECORD = Record(
    endpoint_url="http://127.0.0.1:1",
    port=1,
    pid=2,
    sandbox_url=None,
    sandbox_port=None,
    sandbox_pid=None,
    stack="imagebatch",
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = StateDirectory.make(tmp_path / "it")
    assert state.read() is None

    state.write(RECORD)

    assert state.read() == RECORD


def test_the_folder_started_last_is_the_current_one(tmp_path: Path) -> None:
    assert state_module.current_directory() is None

    state_module.make_current(StateDirectory.make(tmp_path / "first"))
    state_module.make_current(StateDirectory.make(tmp_path / "second"))

    assert state_module.current_directory() == tmp_path / "second"


def test_the_environment_names_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_module.make_current(StateDirectory.make(tmp_path / "it"))
    monkeypatch.setenv("IMAGEBATCH_STATE", "/elsewhere")

    assert state_module.current_directory() == Path("/elsewhere")
    assert state_module.default_directory() == Path("/elsewhere")


def test_an_instance_that_does_not_run_is_not_found(tmp_path: Path) -> None:
    assert LocalInstance.find() is None
    assert LocalInstance.find(tmp_path) is None

    StateDirectory.make(tmp_path / "it").write(RECORD)  # as a crash leaves it

    assert LocalInstance.find(tmp_path / "it") is None


def test_stopping_what_does_not_run_says_so_and_makes_nothing(tmp_path: Path) -> None:
    assert not stop(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
