"""`imagebatch demo` around the embedded AWS, which is mocked; `make demo` runs the real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from functions.core.batches.records import Batch
from functions.core.jobs.records import State
from functions.core.keys import results_key
from ops.batches import find_batch
from ops.cli import app, demo
from ops.local.errors import LocalError
from ops.local.state import StateDirectory
from ops.stack import Stack


class FakeInstance:
    """An embedded AWS that is only said to run."""

    running = False
    stopped = 0
    fails = ""

    @classmethod
    def find(cls, _: Path) -> FakeInstance | None:
        return cls() if cls.running else None

    @classmethod
    def start(cls, _: Path, **__: Any) -> FakeInstance:
        if cls.fails:
            raise LocalError(cls.fails)
        return cls()

    def stop(self) -> None:
        type(self).stopped += 1


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> type[FakeInstance]:
    fresh = type("Instance", (FakeInstance,), {})
    monkeypatch.setattr(demo, "LocalInstance", fresh)
    monkeypatch.setattr(demo, "local_stack", lambda *_: stack)
    return fresh


@pytest.fixture
def run(
    instance: type[FakeInstance],
    stack: Stack,
    put_batch: Callable[..., None],
    published: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., Result]:
    """`run(failed=1)`: the demo, whose batch has one row and ends with those counters."""

    def run_demo(*options: str, **counters: int) -> Result:
        def follow(_: Stack, batch_id: str, **__: Any) -> Iterator[Batch | None]:
            results = published(batch_id, "sku", "prompt")
            state = State.FAILED if counters.get("failed") else State.SUCCESS
            results.row("MUG-1", "a mug", prompt="a mug", name="MUG-1", state=state)
            results.publish()
            put_batch(batch_id, rows=1, requested=1, jobs=1, results_key=results_key(batch_id), **counters)
            yield from (None, find_batch(stack, batch_id))

        monkeypatch.setattr(demo, "follow", follow)
        return CliRunner().invoke(app, ["demo", "--output", str(tmp_path / "out"), "--state", "state", *options])

    return run_demo


def test_the_csv_in_the_bucket_becomes_a_folder(run: Callable[..., Result], stack: Stack) -> None:
    result = run("--json", succeeded=1)

    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert Path(answer["page"]).is_file()
    assert (Path(answer["output"]) / "images/MUG-1.jpg").is_file()
    assert answer["seconds"]["first_picture"] >= answer["seconds"]["upload"] >= 0
    stored = stack.s3().get_object(Bucket="inbox", Key="products.csv")["Body"].read()
    assert stored == demo.EXAMPLE.read_bytes()


def test_it_stops_what_it_started(run: Callable[..., Result], instance: type[FakeInstance]) -> None:
    run(succeeded=1)

    assert instance.stopped == 1


def test_it_leaves_alone_what_was_running_before(run: Callable[..., Result], instance: type[FakeInstance]) -> None:
    instance.running = True

    run(succeeded=1)

    assert instance.stopped == 0


def test_a_second_demo_in_the_same_folder_is_refused_and_stops_nothing(
    run: Callable[..., Result], instance: type[FakeInstance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with StateDirectory.make(Path("state")).held("demo", otherwise=""):
        result = run(succeeded=1)

    assert result.exit_code == 1
    assert "Another demo is at work in state" in result.stderr
    assert instance.stopped == 0


def test_the_demo_is_for_no_aws_account(run: Callable[..., Result]) -> None:
    result = run("--region", "eu-west-1", succeeded=1)

    assert result.exit_code == 2
    assert "--region name an AWS account" in result.stderr


def test_a_row_without_a_picture_is_a_failure(run: Callable[..., Result], instance: type[FakeInstance]) -> None:
    result = run(failed=1)

    assert result.exit_code == 5
    assert "1 failed" in result.stderr
    assert "state/logs" in result.stderr
    assert instance.stopped == 1


def test_an_embedded_aws_that_does_not_start_is_a_sentence_with_the_logs(
    run: Callable[..., Result], instance: type[FakeInstance]
) -> None:
    instance.fails = "The embedded AWS does not start."

    result = run(succeeded=1)

    assert result.exit_code == 1
    assert "does not start. The logs are in state/logs" in result.stderr


def test_a_batch_that_stands_still_is_given_up(
    instance: type[FakeInstance], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "follow", lambda *_, **__: iter([None, None]))
    monkeypatch.setattr(demo, "_STUCK_SECONDS", -1.0)

    result = CliRunner().invoke(app, ["demo", "--output", str(tmp_path / "out"), "--state", "state"])

    assert result.exit_code == 1
    assert "Nothing has moved" in result.stderr
    assert instance.stopped == 1


def test_a_second_run_says_that_everything_was_paid_for() -> None:
    batch = Batch(**{**BATCH, "duplicates_prevented": 24, "requested": 24})

    assert "paid for by an earlier run: this one cost $0." in demo.outcome(demo.Run(batch, 0.5, 2.0), 4.0)


BATCH: dict[str, Any] = {
    "batch_id": "products-1",
    "listing": "closed",
    "state": "completed",
    "source": None,
    "recipe": "",
    "recipe_text": "",
    "chunk_rows": 5000,
    "created_at": "",
    "deadline_at": "",
    "updated_at": "",
    "rows": 24,
    "succeeded": 23,
}
