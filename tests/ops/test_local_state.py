import shutil
import sys
from pathlib import Path

import pytest

from ops.local import state as state_module
from ops.local.embedded import embedded_aws
from ops.local.errors import LocalError
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


@pytest.mark.parametrize(
    "text",
    ["", '{"endpoint_url": "http://127.0', "[]", '{"name": "of another program"}', '{"port": "any"}', b"\xff\xfe"],
)
def test_a_damaged_record_is_as_none(tmp_path: Path, text: str | bytes) -> None:
    state = StateDirectory.make(tmp_path / "it")
    (state.path / "local.json").write_bytes(text if isinstance(text, bytes) else text.encode())

    assert state.read() is None
    assert LocalInstance.find(state.path) is None
    assert not stop(state.path)


def started(path: Path) -> StateDirectory:
    state = StateDirectory.make(path)
    state_module.remember(state)
    state.write(RECORD)
    return state


def test_the_folder_started_last_is_the_first_one_looked_at(tmp_path: Path) -> None:
    assert state_module.known_directories() == []

    first, second = started(tmp_path / "first"), started(tmp_path / "second")
    assert state_module.known_directories() == [second.path, first.path]

    started(tmp_path / "first")
    assert state_module.known_directories() == [first.path, second.path]


def test_a_folder_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    first, second = started(tmp_path / "first"), started(tmp_path / "second")
    shutil.rmtree(second.path)

    assert state_module.known_directories() == [first.path]


def test_the_one_that_runs_is_found_though_another_was_started_and_stopped_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = started(tmp_path / "first"), started(tmp_path / "second")
    runs = embedded_aws(first).daemon
    runs.start([sys.executable, "-c", "import time; time.sleep(60)"], environment={}, directory=tmp_path)
    try:
        found = LocalInstance.find()
    finally:
        runs.stop()

    assert found is not None
    assert found.state == first
    assert not stop(second.path)


def test_a_home_that_cannot_be_written_is_a_sentence_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDirectory.make(tmp_path / "it")
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a file"))

    with pytest.raises(LocalError, match=f"IMAGEBATCH_STATE={state.path}"):
        state_module.remember(state)

    monkeypatch.setenv("IMAGEBATCH_STATE", str(state.path))
    state_module.remember(state)
    assert state_module.known_directories() == [state.path]


def test_a_lock_that_another_command_holds_is_refused(tmp_path: Path) -> None:
    state = StateDirectory.make(tmp_path / "it")

    with state.held("demo", otherwise="no"), pytest.raises(LocalError, match="no"), state.held("demo", "no"):
        pytest.fail("it was held twice")
    with state.held("demo", otherwise="no"):
        pass


def test_the_environment_names_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started(tmp_path / "it")
    monkeypatch.setenv("IMAGEBATCH_STATE", "/elsewhere")

    assert state_module.known_directories() == [Path("/elsewhere")]
    assert state_module.default_directory() == Path("/elsewhere")


def test_an_instance_that_does_not_run_is_not_found(tmp_path: Path) -> None:
    assert LocalInstance.find() is None
    assert LocalInstance.find(tmp_path) is None

    StateDirectory.make(tmp_path / "it").write(RECORD)  # as a crash leaves it

    assert LocalInstance.find(tmp_path / "it") is None


def test_stopping_what_does_not_run_says_so_and_makes_nothing(tmp_path: Path) -> None:
    assert not stop(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
