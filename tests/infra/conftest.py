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
from tests.infra.template import Template

_REPOSITORY = Path(__file__).parents[2]

CATALOG = """
[accounts.wavespeed]
provider = "wavespeed"
base_url = "https://api.wavespeed.ai"
plan = "silver"
plans.silver = { images_per_minute = 500, concurrency = 300 }

[accounts.unused]
provider = "wavespeed"
base_url = "https://api.wavespeed.ai"
plan = "bronze"
plans.bronze = { images_per_minute = 2, concurrency = 2 }
"""

MODEL = """
[models.{name}]
account = "{account}"
provider_model = "vendor/{name}"
price_usd = "0.003"
enabled = {enabled}
workers = {workers}
timeout_seconds = 60
mode = "{mode}"
min_side = 256
max_side = 1536
formats = ["jpeg"]
parameters = ["width", "height"]
"""

Synthesize = Callable[..., Template]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """Two lanes of one account, one of which is called back, and a model that is off, the only one of its account."""
    return parse_catalog(
        CATALOG
        + MODEL.format(name="quick", account="wavespeed", enabled="true", workers=8, mode="poll")
        + MODEL.format(name="fine", account="wavespeed", enabled="true", workers=2, mode="callback")
        + MODEL.format(name="idle", account="unused", enabled="false", workers=4, mode="sync")
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
            removal="destroy",
        )
    )
