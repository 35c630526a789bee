"""What differs between one deployment and another: the CDK context, read once and checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from functions.core.catalog import Catalog, CatalogError, parse_catalog
from functions.providers import PROVIDERS
from functions.providers.callbacks import CALLBACK_READERS

Architecture = Literal["arm64", "x86_64"]
Removal = Literal["retain", "destroy"]

_BASE_URL = re.compile(r"https?://(?!/)([^\s{}?#]|\{api\})+")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")

# What CloudWatch evaluates below a minute, and an hour: longer ones are evaluated otherwise, and guard nothing.
_SHORT_PERIODS = (10, 30)
_LONGEST_PERIOD = 3600


class ConfigError(Exception):
    """Raised when the context names something that cannot be deployed; says every problem at once."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The deployment options; each is a CDK context key (`-c reserve=false`).

    Attributes:
        stack: name of the CloudFormation stack, and the first part of the secrets' names.
        reserve: reserve each lane's concurrency. Off for accounts whose concurrency quota is small
            (a new account has 10, and Lambda refuses to leave fewer than 100 unreserved).
        arch: the processor the functions run on, and the one the package was built for.
        package: directory of the Lambda package.
        provider_urls: base URL by account of the catalog, in place of the catalog's (a sandbox, a gateway).
        lease_seconds: how long a worker owns a job without a heartbeat.
        chunk_rows: rows of a CSV in one chunk.
        callbacks: let models in callback mode ask for callbacks. Off where providers cannot reach the API: workers
            poll then.
        api_url: base URL under which the API is reached from outside (a custom domain, a gateway), `{api}` in it
            standing for the API's id; None is the API's own address.
        alarm_seconds: how long a lane must fail, twice in a row, before its workers are halved; twice that passes
            before they are halved again. AWS keeps our metrics by the minute: less is for the embedded AWS alone.
        operator_email: who is told what needs a person; None leaves the operator's topic without a subscription.
        removal: what `cdk destroy` does to pictures, metadata, jobs, batches and what was set for lanes.
    """

    stack: str = "imagebatch"
    reserve: bool = True
    arch: Architecture = "arm64"
    package: Path = Path("build/lambda-arm64")
    provider_urls: Mapping[str, str] = field(default_factory=dict)
    lease_seconds: int = 120
    chunk_rows: int = 5000
    callbacks: bool = True
    api_url: str | None = None
    alarm_seconds: int = 300
    operator_email: str | None = None
    removal: Removal = "retain"


def read_config(context: Callable[[str], Any]) -> Config:
    """Read the options from the CDK context (`app.node.try_get_context`); an absent key has its default.

    Values given on the command line arrive as text, those in cdk.json as JSON; both are understood.

    Raises:
        ConfigError: naming every key whose value cannot be used, and what it takes.
    """
    reader = _Reader(context)
    arch = reader.choice("arch", get_args(Architecture), Config.arch)
    config = Config(
        stack=reader.stack_name("stack", Config.stack),
        reserve=reader.boolean("reserve", Config.reserve),
        arch=arch,
        package=Path(reader.text("package", f"build/lambda-{arch}")),
        provider_urls=reader.urls("provider_urls"),
        lease_seconds=reader.positive("lease_seconds", Config.lease_seconds),
        chunk_rows=reader.positive("chunk_rows", Config.chunk_rows),
        callbacks=reader.boolean("callbacks", Config.callbacks),
        api_url=reader.base_url("api_url"),
        alarm_seconds=reader.alarm_seconds("alarm_seconds", Config.alarm_seconds),
        operator_email=reader.email("operator_email"),
        removal=reader.choice("removal", get_args(Removal), Config.removal),
    )
    if not reader.problems and not (config.package / "functions").is_dir():
        reader.problems.append(
            f"there is no Lambda package in {config.package}: run `make package` first, "
            "or name its directory with `-c package=DIR`"
        )
    if reader.problems:
        raise ConfigError("; ".join(reader.problems))
    return config


def read_catalog(package: Path) -> Catalog:
    """The catalog in a Lambda package: lanes follow from the one that their functions will read.

    Raises:
        CatalogError: when it is not there, cannot be used or asks for what no provider's code can do.
    """
    file = package / "functions" / "catalog.toml"
    try:
        catalog = parse_catalog(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CatalogError(f"there is no catalog in {file}") from error
    catalog.check_providers(known=PROVIDERS, calling_back=CALLBACK_READERS)
    return catalog


class _Reader:
    """Reads one key at a time and collects what is wrong."""

    def __init__(self, context: Callable[[str], Any]) -> None:
        self._context = context
        self.problems: list[str] = []

    def text(self, key: str, default: str) -> str:
        value = self._context(key)
        return default if value is None else str(value)

    def stack_name(self, key: str, default: str) -> str:
        value = self.text(key, default)
        if not _STACK_NAME.fullmatch(value):
            self._wrong(key, value, "a letter, then letters, digits and hyphens, 128 at most")
        return value

    def choice(self, key: str, choices: tuple[Any, ...], default: Any) -> Any:
        value = self.text(key, default)
        if value not in choices:
            self._wrong(key, value, " or ".join(choices))
        return value

    def boolean(self, key: str, default: bool) -> bool:
        value = self.text(key, str(default)).lower()
        if value not in ("true", "false"):
            self._wrong(key, value, "true or false")
        return value == "true"

    def positive(self, key: str, default: int) -> int:
        value = self.text(key, str(default))
        if not value.isascii() or not value.isdigit() or int(value) == 0:
            self._wrong(key, value, "a whole number above 0")
            return default
        return int(value)

    def alarm_seconds(self, key: str, default: int) -> int:
        """A period that CloudWatch has: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"""
        value = self.text(key, str(default))
        seconds = int(value) if value.isascii() and value.isdigit() else 0
        if seconds not in _SHORT_PERIODS and (seconds == 0 or seconds % 60 or seconds > _LONGEST_PERIOD):
            self._wrong(key, value, f"10, 30 or a multiple of 60 up to {_LONGEST_PERIOD} (seconds)")
            return default
        return seconds

    def email(self, key: str) -> str | None:
        value = self._context(key)
        if value is None:
            return None
        if not isinstance(value, str) or not _EMAIL.fullmatch(value):
            self._wrong(key, value, "one e-mail address, such as ops@images.example")
            return None
        return value

    def base_url(self, key: str) -> str | None:
        value = self._context(key)
        if value is None:
            return None
        if not isinstance(value, str) or not _BASE_URL.fullmatch(value):
            self._wrong(key, value, "a URL such as https://images.example, with {api} for the API's id")
            return None
        return value.rstrip("/")

    def urls(self, key: str) -> Mapping[str, str]:
        value = self._context(key)
        if value is None:
            return {}
        try:
            urls = json.loads(value) if isinstance(value, str) else value
        except json.JSONDecodeError:
            urls = None
        if not isinstance(urls, dict) or not all(
            isinstance(url, str) and url.startswith(("http://", "https://")) for url in urls.values()
        ):
            self._wrong(key, value, 'JSON such as {"wavespeed": "https://gateway.example"}')
            return {}
        return {str(account): url.rstrip("/") for account, url in urls.items()}

    def _wrong(self, key: str, value: object, takes: str) -> None:
        self.problems.append(f"context {key}={value!r} cannot be used: it takes {takes}")
