"""One synth for each way of deploying that the tests look at; a synth takes seconds."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.core.catalog import Catalog, parse_catalog
from infra.config import Config
from tests.infra.catalogs import account, model
from tests.infra.template import Template

_REPOSITORY = Path(__file__).parents[2]

Synthesize = Callable[..., Template]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Two lanes, one of which is called back, and two models that are off, one of which was called back.

    Each has an account of its own.
    """
    return parse_catalog(
        "".join(account(name) for name in ("wavespeed", "polled", "former", "unused"))
        + model("quick", account="polled", workers=8)
        + model("fine", account="wavespeed", mode="callback")
        + model("retired", account="former", mode="callback", enabled=False)
        + model("idle", account="unused", mode="sync", enabled=False)
    )


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Lambda package with next to nothing in it."""
    directory = tmp_path_factory.mktemp("package")
    (directory / "functions").mkdir()
    (directory / "functions" / "__init__.py").touch()
    return directory


@pytest.fixture(scope="session")
def context() -> dict[str, Any]:
    """The context of cdk.json, with construct paths in the template, as the CDK command line asks for."""
    document = json.loads((_REPOSITORY / "cdk.json").read_text(encoding="utf-8"))
    return {**document["context"], "aws:cdk:enable-path-metadata": True}


@pytest.fixture(scope="session")
def node() -> None:
    """The CDK's library is JavaScript, and runs in a Node found on the PATH."""
    if "JSII_NODE" not in os.environ and shutil.which("node") is None:
        pytest.fail("node is not on the PATH: run these tests with `make pytest`, which puts .venv/bin there", False)


@pytest.fixture(scope="session")
def synthesize(node: None, catalog: Catalog, context: dict[str, Any], tmp_path_factory: Any) -> Synthesize:
    """Synthesize the app as `python -m infra.app` does, and read the template."""

    def run(config: Config, extend: Callable[[Any], None] = lambda stack: None) -> Template:
        from aws_cdk import App  # starts a Node process, so not before a test needs it

        from infra.app import assemble

        out = tmp_path_factory.mktemp("cdk.out")
        app = App(context=context, outdir=str(out), analytics_reporting=False)
        extend(assemble(app, config, catalog))
        app.synth()
        document = json.loads((out / f"{config.stack}.template.json").read_text(encoding="utf-8"))
        return Template(document, config.stack)

    return run


@pytest.fixture(scope="session")
def template(synthesize: Synthesize, package: Path) -> Template:
    """The stack as `cdk deploy` without options makes it."""
    return synthesize(Config(package=package))


@pytest.fixture(scope="session")
def small_template(synthesize: Synthesize, package: Path) -> Template:
    """The stack with every option set to what is not its default."""
    return synthesize(
        Config(
            stack="trial",
            reserve=False,
            arch="x86_64",
            package=package,
            provider_urls={"wavespeed": "http://127.0.0.1:9999"},
            lease_seconds=30,
            chunk_rows=100,
            callbacks=False,
            api_url="https://images.example/{api}/v1",
            alarm_seconds=60,
            operator_email="ops@images.example",
            removal="destroy",
        )
    )
