"""The deployment options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.config import Config, ConfigError, read_config


def test_an_empty_context_gives_the_defaults(package: Path) -> None:
    assert read_config({"package": str(package)}.get) == Config(package=package)


def test_text_of_the_command_line_and_values_of_cdk_json_mean_the_same(package: Path) -> None:
    typed: dict[str, Any] = {
        "package": str(package),
        "reserve": False,
        "lease_seconds": 30,
        "callbacks": False,
        "alarm_seconds": 60,
        "provider_urls": {"wavespeed": "http://127.0.0.1:9999/"},
    }
    text = {
        "package": str(package),
        "reserve": "false",
        "lease_seconds": "30",
        "callbacks": "false",
        "alarm_seconds": "60",
        "provider_urls": '{"wavespeed": "http://127.0.0.1:9999/"}',
    }
    config = read_config(typed.get)
    assert config == read_config(text.get)
    assert (config.reserve, config.lease_seconds, config.callbacks) == (False, 30, False)
    assert config.alarm_seconds == 60
    assert config.provider_urls == {"wavespeed": "http://127.0.0.1:9999"}


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://images.example/", "https://images.example"),
        (
            "http://127.0.0.1:4566/_aws/execute-api/{api}/$default",
            "http://127.0.0.1:4566/_aws/execute-api/{api}/$default",
        ),
    ],
)
def test_the_apis_address_ends_without_a_slash_and_may_hold_its_id(package: Path, text: str, url: str) -> None:
    assert read_config({"package": str(package), "api_url": text}.get).api_url == url


@pytest.mark.parametrize("seconds", [10, 30, 60, 300, 3600])
def test_an_alarm_has_a_period_that_cloudwatch_has(package: Path, seconds: int) -> None:
    assert read_config({"package": str(package), "alarm_seconds": seconds}.get).alarm_seconds == seconds


def test_the_operators_address_is_taken_as_it_is(package: Path) -> None:
    config = read_config({"package": str(package), "operator_email": "ops+images@images.example"}.get)
    assert config.operator_email == "ops+images@images.example"


def test_the_package_is_the_one_built_for_the_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build" / "lambda-x86_64" / "functions").mkdir(parents=True)
    assert read_config({"arch": "x86_64"}.get).package == Path("build/lambda-x86_64")


def test_a_missing_package_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run `make package` first"):
        read_config({"package": str(tmp_path / "nowhere")}.get)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stack", "1st"),
        ("stack", "under_score"),
        ("reserve", "no"),
        ("arch", "riscv"),
        ("provider_urls", "wavespeed=http://127.0.0.1"),
        ("provider_urls", '{"wavespeed": "file:///etc/passwd"}'),
        ("provider_urls", '["http://127.0.0.1"]'),
        ("lease_seconds", "0"),
        ("lease_seconds", "-5"),
        ("chunk_rows", "1e3"),
        ("chunk_rows", "³"),
        ("removal", "snapshot"),
        ("callbacks", "none"),
        ("alarm_seconds", "0"),
        ("alarm_seconds", "20"),
        ("alarm_seconds", "90"),
        ("alarm_seconds", "3660"),
        ("alarm_seconds", "5m"),
        ("operator_email", ""),
        ("operator_email", "ops"),
        ("operator_email", "ops@images"),
        ("operator_email", "a@images.example, b@images.example"),
        ("api_url", ""),
        ("api_url", "images.example"),
        ("api_url", "ftp://images.example"),
        ("api_url", "https://"),
        ("api_url", "https:///v1"),
        ("api_url", "https://images.example/?stage=v1"),
        ("api_url", "https://images.example/{id}"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_key(package: Path, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"context {key}="):
        read_config({"package": str(package), key: value}.get)


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        read_config({"reserve": "perhaps", "removal": "never"}.get)
    assert "reserve" in str(raised.value)
    assert "removal" in str(raised.value)
