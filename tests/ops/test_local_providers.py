import json

import boto3
import pytest
from moto import mock_aws

from functions.core.catalog import Account
from ops.local import providers as providers_module
from ops.local.errors import LocalError
from ops.local.providers import SANDBOX_KEY, Providers

SANDBOX = "http://127.0.0.1:9000"
ACCOUNTS = {"fal-shop": "fal", "fal-press": "fal", "wavespeed": "wavespeed"}
SECRETS = json.dumps({"wavespeed": "imagebatch/provider/wavespeed"})


def test_providers_are_reached_at_the_sandbox_unless_told_otherwise() -> None:
    providers = Providers()

    assert providers.needs_sandbox()
    assert providers.base_urls(SANDBOX) == {"wavespeed": SANDBOX}


def test_a_provider_with_an_address_of_its_own_needs_no_sandbox() -> None:
    providers = Providers(urls={"wavespeed": "https://gateway.example/"})

    assert not providers.needs_sandbox()
    assert providers.base_urls(None) == {"wavespeed": "https://gateway.example"}


def test_addresses_are_known_by_account_and_asked_for_by_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = [Account(name, provider, "https://a", "p", 1, 1) for name, provider in ACCOUNTS.items()]
    monkeypatch.setattr(providers_module, "_accounts", lambda: accounts)

    providers = Providers(urls={"fal": "https://gateway.example/"})

    assert providers.base_urls(SANDBOX) == {
        "fal-shop": "https://gateway.example",
        "fal-press": "https://gateway.example",
        "wavespeed": SANDBOX,
    }


def test_live_providers_are_reached_where_the_catalog_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "real")
    providers = Providers(live=True)

    assert not providers.needs_sandbox()
    assert providers.base_urls(None) == {}


def test_live_without_a_key_names_the_variable_to_set() -> None:
    with pytest.raises(LocalError, match="WAVESPEED_API_KEY"):
        Providers(live=True)


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LocalError, match=r"no provider 'wavespede'.*: wavespeed"):
        Providers(urls={"wavespede": SANDBOX})


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(LocalError, match="is no address"):
        Providers(urls={"wavespeed": "localhost:9000"})


@pytest.mark.parametrize(("live", "key"), [(False, SANDBOX_KEY), (True, "real")])
def test_the_key_lies_in_the_secret_and_is_written_once(live: bool, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "real")
    with mock_aws():
        session = boto3.Session()
        client = session.client("secretsmanager")
        client.create_secret(Name="imagebatch/provider/wavespeed", SecretString="unset")

        Providers(live=live).store_keys(session, SECRETS)
        first = client.get_secret_value(SecretId="imagebatch/provider/wavespeed")
        Providers(live=live).store_keys(session, SECRETS)
        second = client.get_secret_value(SecretId="imagebatch/provider/wavespeed")

    assert first["SecretString"] == key
    assert first["VersionId"] == second["VersionId"]
