"""The app: pure to synthesize, checked by cdk-nag and cfn-lint, and clear when it cannot go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.config import Config, read_catalog
from tests.infra.catalogs import account, model
from tests.infra.conftest import Synthesize
from tests.infra.template import Template


def test_without_a_package_the_app_ends_with_a_sentence(
    node: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.app import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^imagebatch: there is no Lambda package in .*make package"):
        main()


def test_the_lanes_are_those_of_the_catalog_in_the_package(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    catalog = account("wavespeed") + model("other", account="wavespeed")
    (tmp_path / "functions" / "catalog.toml").write_text(catalog, encoding="utf-8")

    assert [model.name for model in read_catalog(tmp_path).enabled_models] == ["other"]


def test_a_model_whose_callbacks_nothing_reads_ends_the_app_with_a_sentence(
    node: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra import config
    from infra.app import main

    functions = tmp_path / "build" / "lambda-arm64" / "functions"
    functions.mkdir(parents=True)
    catalog = account("wavespeed") + model("fine", account="wavespeed", mode="callback")
    (functions / "catalog.toml").write_text(catalog, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "CALLBACK_READERS", {})
    with pytest.raises(SystemExit, match=r"^imagebatch: .*models\.fine\.mode is 'callback'.*make it 'poll'"):
        main()


def test_a_package_without_a_catalog_ends_the_app_with_a_sentence(
    node: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.app import main

    (tmp_path / "build" / "lambda-arm64" / "functions").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^imagebatch: there is no catalog in .*catalog\.toml"):
        main()


def test_a_finding_of_cdk_nag_ends_the_synth(synthesize: Synthesize, package: Path) -> None:
    def add_open_queue(stack: Any) -> None:
        from aws_cdk import aws_sqs as sqs

        sqs.Queue(stack, "Open")

    with pytest.raises(RuntimeError, match=r"ValidationFailed: .*\(AwsSolutions\)"):
        synthesize(Config(package=package), add_open_queue)


@pytest.mark.parametrize("name", ["template", "small_template"])
def test_cfn_lint_finds_nothing(name: str, request: pytest.FixtureRequest) -> None:
    from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]  # it has no types

    template: Template = request.getfixturevalue(name)
    # W3005: the CDK makes a function wait for its role's policy too, by naming both; it needs that.
    config = ManualArgs(regions=["us-east-1", "eu-central-1"], ignore_checks=["W3005"])
    assert lint(json.dumps(template.body), config=config) == []


def test_synthesizing_twice_gives_the_same_template(synthesize: Synthesize, package: Path, template: Template) -> None:
    assert synthesize(Config(package=package)).body == template.body


def test_nothing_is_deployed_but_the_stacks_own_functions(template: Template) -> None:
    """No custom resource brings a Lambda of its own."""
    assert {properties["Handler"] for properties in template.all("AWS::Lambda::Function").values()} == {
        f"functions.{name}.handler" for name in ("splitter", "worker", "completion", "tracker", "reporter", "governor")
    }
