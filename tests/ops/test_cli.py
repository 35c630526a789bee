"""The command as it is typed, on a mocked AWS."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from botocore.exceptions import NoCredentialsError
from typer.testing import CliRunner, Result

from functions.core.keys import results_key
from ops.cli import app, frame, key, waiting
from ops.cli.frame import stack_options_first
from ops.local.errors import LocalError
from ops.local.instance import LocalInstance
from ops.stack import Stack

PutBatch = Callable[..., None]
Run = Callable[..., Result]

SECRETS = ("imagebatch/provider/wavespeed", "imagebatch/webhook/wavespeed")


def csv_file(folder: Path) -> Path:
    (folder / "products.csv").write_text("sku,prompt\nMUG-1,a mug\n")
    return folder / "products.csv"


def test_submit_prints_the_batch_id(run: Run, tmp_path: Path) -> None:
    result = run("submit", csv_file(tmp_path), "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["batch_id"].startswith("products-")
    assert run("submit", csv_file(tmp_path)).stdout.startswith("products-")


def test_submit_refuses_a_file_that_is_no_table(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"%PDF-1.7")

    result = run("submit", tmp_path / "a.csv", "--json")

    assert (result.exit_code, result.stdout) == (4, "")
    assert "PDF" in result.stderr


@pytest.mark.parametrize(
    ("attributes", "exit_code"),
    [
        ({"state": "completed", "rows": 1, "jobs": 1, "succeeded": 1}, 0),
        ({"state": "completed", "rows": 1, "jobs": 1, "failed": 1}, 5),
        ({"state": "running", "rows": 1, "jobs": 1, "held": 1}, 5),
        ({"state": "rejected", "reason": "Line 1: it is empty."}, 4),
    ],
)
def test_watching_ends_with_the_outcome_of_the_batch(
    run: Run, put_batch: PutBatch, attributes: dict[str, Any], exit_code: int
) -> None:
    put_batch("products-aaa", **attributes)

    result = run("status", "products-aaa", "--watch", "--json")

    assert result.exit_code == exit_code
    assert json.loads(result.stdout)["state"] == attributes["state"]
    assert attributes.get("reason", "") in result.stderr


def test_held_jobs_are_told_with_the_command_that_decides_about_them(run: Run, put_batch: PutBatch) -> None:
    put_batch("products-aaa", state="running", rows=3, jobs=3, succeeded=1, held=2)

    command = "imagebatch held list --batch products-aaa"
    assert f"2; see why and decide: {command}" in run("status", "products").stdout
    assert command in run("status", "products", "--watch").stderr


def test_repaid_calls_are_told_where_there_are_any(run: Run, put_batch: PutBatch) -> None:
    put_batch("products-aaa", jobs=3, succeeded=3)
    put_batch("posters-bbb", jobs=3, succeeded=3, repaid=2)

    assert "Repaid" not in run("status", "products").stdout
    assert "2; submitted again although an earlier call may have been paid for" in run("status", "posters").stdout
    assert json.loads(run("status", "posters", "--json").stdout)["repaid"] == 2


def test_status_of_a_failed_batch_is_an_answer_and_no_failure(run: Run, put_batch: PutBatch) -> None:
    put_batch("products-aaa", jobs=1, failed=1)

    assert run("status", "products-aaa").exit_code == 0


def test_the_cost_is_a_json_number(run: Run, put_batch: PutBatch) -> None:
    put_batch("products-aaa", cost_usd=Decimal("0.003"))

    assert json.loads(run("status", "products-aaa", "--json").stdout)["cost_usd"] == 0.003


def test_status_shows_what_is_wrong_with_rows_as_text(
    run: Run, put_batch: PutBatch, put_part: Callable[[str, list[tuple[int, int, str, str]]], None]
) -> None:
    put_batch("products-aaa", rows=9, invalid_rows=1)
    put_part("products-aaa", [(3, 4, "width", "'[red]-5' is no size")])

    shown = run("status", "products-aaa").stdout

    assert "'[red]-5' is no size" in shown
    assert json.loads(run("status", "products-aaa", "--json").stdout)["problems"] == [
        {"row": 3, "line": 4, "column": "width", "message": "'[red]-5' is no size"}
    ]


def test_status_lists_recent_batches(run: Run, put_batch: PutBatch) -> None:
    assert "no batches yet" in run("status").stderr

    put_batch("products-aaa")

    assert "products-aaa" in run("status").stdout
    assert [batch["batch_id"] for batch in json.loads(run("status", "--json").stdout)["batches"]] == ["products-aaa"]


def test_an_unknown_batch_ends_with_3(run: Run) -> None:
    result = run("status", "nothing", "--json")

    assert (result.exit_code, result.stdout) == (3, "")


def test_results_of_a_running_batch_are_not_there_yet(run: Run, put_batch: PutBatch, tmp_path: Path) -> None:
    put_batch("products-aaa", state="running", jobs=5, succeeded=2, running=3)

    result = run("results", "products-aaa", "--output", tmp_path / "out")

    assert result.exit_code == 6
    assert "2 of 5 pictures" in result.stderr
    assert not (tmp_path / "out").exists()


def test_results_of_a_rejected_batch_are_never_there(run: Run, put_batch: PutBatch, tmp_path: Path) -> None:
    put_batch("products-aaa", state="rejected", reason="The file is empty.")

    result = run("results", "products-aaa", "--output", tmp_path / "out")

    assert result.exit_code == 4
    assert "The file is empty." in result.stderr


@pytest.mark.parametrize("state", ["completed", "running"])
def test_published_results_are_fetched_also_of_a_late_batch(
    run: Run, put_batch: PutBatch, published: Any, tmp_path: Path, state: str
) -> None:
    results = published("products-aaa", "sku", "prompt")
    results.row("MUG-1", "a mug", prompt="a mug", name="MUG-1")
    results.publish()
    put_batch("products-aaa", state=state, rows=1, jobs=1, succeeded=1, results_key=results_key("products-aaa"))

    result = run("results", "products", "--output", tmp_path / "out", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["pictures"] == 1
    assert (tmp_path / "out/images/MUG-1.jpg").exists()
    assert (tmp_path / "out/index.html").exists()


def test_recipes_are_put_shown_listed_and_removed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "catalogue.toml").write_text('template = "photo of {Title}"\n')

    assert json.loads(run("recipe", "put", tmp_path / "catalogue.toml", "--json").stdout) == {"name": "catalogue"}
    assert run("recipe", "list").stdout == "catalogue\n"
    assert run("recipe", "show", "catalogue").stdout == 'template = "photo of {Title}"\n'
    assert run("recipe", "remove", "catalogue").exit_code == 0
    assert run("recipe", "show", "catalogue").exit_code == 3


def test_a_key_comes_from_a_pipe_and_is_never_shown(run: Run, stack: Stack) -> None:
    result = run("key", "set", "wavespeed", input="sk-canary-123\n")

    assert result.exit_code == 0
    assert "canary" not in result.output
    stored = stack.secrets_manager().get_secret_value(SecretId="imagebatch/provider/wavespeed")
    assert stored["SecretString"] == "sk-canary-123"


def test_a_webhook_secret_lies_apart_from_the_key(run: Run, stack: Stack) -> None:
    result = run("key", "set", "wavespeed", "--webhook", input="whsec_canary-123\n")

    assert result.exit_code == 0
    assert "canary" not in result.output
    stored = {name: stack.secrets_manager().get_secret_value(SecretId=name)["SecretString"] for name in SECRETS}
    assert stored == {"imagebatch/provider/wavespeed": "unset", "imagebatch/webhook/wavespeed": "whsec_canary-123"}


@pytest.mark.parametrize(
    ("options", "text"), [((), "Key of wavespeed"), (("--webhook",), "Webhook secret of wavespeed")]
)
def test_a_key_is_asked_for_without_being_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], text: str
) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(text: str, **options: Any) -> str:
        asked.append({"text": text, **options})
        return "sk-1"

    monkeypatch.setattr(key, "is_interactive", lambda: True)
    monkeypatch.setattr(typer, "prompt", prompt)

    assert run("key", "set", "wavespeed", *options).exit_code == 0
    assert asked == [{"text": text, "hide_input": True, "err": True}]


@pytest.mark.parametrize("options", [(), ("--webhook",)])
@pytest.mark.parametrize("text", ["", "  \n", "two words", "a\x00b"])
def test_what_is_no_key_is_not_stored(run: Run, stack: Stack, text: str, options: tuple[str, ...]) -> None:
    assert run("key", "set", "wavespeed", *options, input=text).exit_code == 2
    for name in SECRETS:
        assert stack.secrets_manager().get_secret_value(SecretId=name)["SecretString"] == "unset"


@pytest.mark.parametrize("options", [(), ("--webhook",)])
def test_an_unknown_account_names_those_there_are(run: Run, options: tuple[str, ...]) -> None:
    result = run("key", "set", "fal", *options, input="k")

    assert result.exit_code == 3
    assert "wavespeed" in result.stderr


def test_no_credentials_are_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Stack:
        raise NoCredentialsError

    monkeypatch.setattr(frame, "find_stack", fail)

    result = run("status")

    assert result.exit_code == 3
    assert "There are no AWS credentials" in result.stderr


def test_the_stacks_options_may_stand_after_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, stack: Stack
) -> None:
    asked: list[Any] = []

    def find(name: str, *, profile: str | None, region: str | None, notice: object) -> Stack:
        asked.append((name, profile, region))
        return stack

    monkeypatch.setattr(frame, "find_stack", find)

    run("status", "--stack", "other", "--region=eu-west-1")
    run("--profile", "shop", "recipe", "list")

    assert asked == [("other", None, "eu-west-1"), ("imagebatch", "shop", None)]


@pytest.mark.parametrize("option", ["--profile", "--region"])
def test_local_commands_are_for_no_aws_account(run: Run, option: str) -> None:
    for command in ("up", "down"):
        result = run(option, "any", "local", command)

        assert result.exit_code == 2
        assert "name an AWS account" in result.stderr


def test_local_up_puts_the_stack_that_was_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def start(_: Path, *, stack: str, **__: Any) -> Any:
        asked.append(stack)
        raise LocalError("far enough")

    monkeypatch.setattr(LocalInstance, "start", start)

    run("--stack", "trial", "local", "up", "--state", tmp_path)

    assert asked == ["trial"]


@pytest.mark.parametrize("port", [0, 99999999])
def test_a_port_that_is_none_is_refused(run: Run, port: int) -> None:
    result = run("local", "up", "--port", port)

    assert result.exit_code == 2
    assert "--port" in result.stderr


def test_a_file_name_gives_the_terminal_no_orders(
    run: Run, put_batch: PutBatch, put_part: Callable[[str, list[tuple[int, int, str, str]]], None]
) -> None:
    put_batch(
        "products-aaa",
        source={"bucket": "inbox", "key": "a\x1b]0;owned\x07\x9b2J.csv", "version": "v1"},
        rows=9,
        invalid_rows=1,
    )
    put_part("products-aaa", [(3, 4, "wid\x1b[31mth", "\x1b[2Jno\x00 size\x7f")])

    shown = run("status", "products-aaa").stdout

    assert "a]0;owned2J.csv" in shown
    assert "wid[31mth" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\x00", "\x7f"}
    assert "\x1b" not in run("status", "\x1b[2Jnone").stderr


def test_sigterm_ends_a_command_as_ctrl_c_does(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[str] = []

    def find(*_: Any, **__: Any) -> Stack:
        try:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(30)
        finally:
            signal.raise_signal(signal.SIGTERM)  # a second one does not interrupt the clearing up
            undone.append("all")
        raise AssertionError

    monkeypatch.setattr(frame, "find_stack", find)

    assert run("status").exit_code == 128 + signal.SIGTERM
    assert undone == ["all"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_arguments_after_two_dashes_are_left_alone() -> None:
    assert stack_options_first(["status", "--", "--stack", "x"]) == ["status", "--", "--stack", "x"]
    assert stack_options_first(["status", "--stack"]) == ["status", "--stack"]


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert result.exit_code == 0
    assert result.stdout.startswith("imagebatch ")


def test_help_documents_the_exit_codes() -> None:
    help_text = CliRunner().invoke(app, ["--help"]).stdout

    for line in ("0  done", "4  the batch was rejected", "6  the batch is still running"):
        assert line in help_text


def test_ctrl_c_stops_the_watching_and_not_the_batch(
    run: Run, put_batch: PutBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    put_batch("products-aaa", state="running", jobs=1, running=1)
    monkeypatch.setattr(waiting, "follow", interrupted)

    result = run("status", "products-aaa", "--watch")

    assert result.exit_code == 130
    assert "The batch goes on" in result.stderr
