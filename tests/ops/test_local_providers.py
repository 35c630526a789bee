from collections.abc import Callable, Iterator, Mapping

import boto3
import pytest
from moto import mock_aws

from functions.core.catalog import Catalog, parse_catalog
from ops.local.errors import LocalError
from ops.local.providers import SANDBOX_KEY, Providers
from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET
from tests.infra.catalogs import account, model

SANDBOX = "http://127.0.0.1:9000"
OUTPUTS = {
    "ProviderSecrets": '{"wavespeed": "imagebatch/provider/wavespeed"}',
    "WebhookSecrets": '{"wavespeed": "imagebatch/webhook/wavespeed"}',
}


def catalog(accounts: Mapping[str, str], *, disabled: str = "", mode: str = "poll") -> Catalog:
    """A catalog with a model at each account; `accounts` gives their providers."""
    return parse_catalog(
        "".join(
            account(name, provider=provider) + model(f"at-{name}", account=name, mode=mode, enabled=name != disabled)
            for name, provider in accounts.items()
        )
    )


@pytest.fixture
def stored() -> Iterator[Callable[[], dict[str, tuple[str, str]]]]:
    """The stack's secrets on a mocked AWS, as a deploy leaves them; called, what lies in them: value and version."""
    with mock_aws():
        client = boto3.Session().client("secretsmanager")
        names = ("imagebatch/provider/wavespeed", "imagebatch/webhook/wavespeed")
        for name in names:
            client.create_secret(Name=name, SecretString="unset")

        def read() -> dict[str, tuple[str, str]]:
            values = {name.split("/")[1]: client.get_secret_value(SecretId=name) for name in names}
            return {kind: (value["SecretString"], value["VersionId"]) for kind, value in values.items()}

        yield read


Stored = Callable[[], dict[str, tuple[str, str]]]


def values(stored: Stored) -> tuple[str, str]:
    """The API key and the webhook secret."""
    return stored()["provider"][0], stored()["webhook"][0]


def test_providers_are_reached_at_the_sandbox_unless_told_otherwise() -> None:
    providers = Providers()

    assert providers.needs_sandbox()
    assert providers.base_urls(SANDBOX) == {"wavespeed": SANDBOX}


def test_a_provider_with_an_address_of_its_own_needs_no_sandbox() -> None:
    providers = Providers(urls={"wavespeed": "https://gateway.example/"})

    assert not providers.needs_sandbox()
    assert providers.base_urls(None) == {"wavespeed": "https://gateway.example"}


def test_addresses_are_known_by_account_and_asked_for_by_provider() -> None:
    accounts = {"fal-shop": "fal", "fal-press": "fal", "wavespeed": "wavespeed"}

    providers = Providers(urls={"fal": "https://gateway.example/"}, catalog=catalog(accounts))

    assert providers.base_urls(SANDBOX) == {
        "fal-shop": "https://gateway.example",
        "fal-press": "https://gateway.example",
        "wavespeed": SANDBOX,
    }


def test_an_account_that_no_enabled_model_uses_has_no_address() -> None:
    providers = Providers(catalog=catalog({"fal": "fal", "wavespeed": "wavespeed"}, disabled="fal"))

    assert providers.base_urls(SANDBOX) == {"wavespeed": SANDBOX}


def test_who_may_still_call_back_is_asked_at_the_sandbox_and_never_where_it_costs(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is off, so its key is not asked for; what the sandbox takes is not shown to the real provider."""
    late = catalog({"wavespeed": "wavespeed", "fal": "fal"}, disabled="wavespeed", mode="callback")
    Providers(catalog=late).store_secrets(boto3.Session(), OUTPUTS)
    assert Providers(catalog=late).base_urls(SANDBOX) == {"fal": SANDBOX, "wavespeed": SANDBOX}
    assert values(stored) == (SANDBOX_KEY, DEFAULT_WEBHOOK_SECRET)

    monkeypatch.setenv("FAL_API_KEY", "real")
    monkeypatch.delenv("WAVESPEED_API_KEY", raising=False)
    Providers(live=True, catalog=late).store_secrets(boto3.Session(), OUTPUTS)

    assert values(stored) == ("unset", "unset")


def test_a_stored_key_of_who_buys_nothing_any_more_is_kept_for_late_callbacks(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = catalog({"wavespeed": "wavespeed", "fal": "fal"}, disabled="wavespeed", mode="callback")
    monkeypatch.setenv("FAL_API_KEY", "real")
    monkeypatch.setenv("WAVESPEED_API_KEY", "real-too")
    Providers(live=True, catalog=late).store_secrets(boto3.Session(), OUTPUTS)

    monkeypatch.delenv("WAVESPEED_API_KEY")
    Providers(live=True, catalog=late).store_secrets(boto3.Session(), OUTPUTS)

    assert values(stored) == ("real-too", "unset")


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


@pytest.mark.parametrize(
    ("urls", "callbacks"),
    [
        ({}, "true"),
        ({"wavespeed": "http://127.0.0.1:9000"}, "true"),
        ({"wavespeed": "http://[::1]:9000"}, "true"),
        ({"wavespeed": "http://localhost:9000"}, "true"),
        ({"wavespeed": "http://localhost.example:9000"}, "false"),
        ({"wavespeed": "http://10.0.0.7:9000"}, "false"),
        ({"wavespeed": "https://gateway.example"}, "false"),
    ],
)
def test_only_what_runs_on_this_machine_is_asked_to_call_back(urls: dict[str, str], callbacks: str) -> None:
    assert Providers(urls=urls).context(SANDBOX)["callbacks"] == callbacks


def test_live_providers_are_not_asked_to_call_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "real")

    assert Providers(live=True).context(None)["callbacks"] == "false"


@pytest.mark.parametrize(
    ("live", "expected"), [(False, (SANDBOX_KEY, DEFAULT_WEBHOOK_SECRET)), (True, ("real", "whsec_real"))]
)
def test_what_a_provider_knows_us_by_lies_in_its_secrets_and_is_written_once(
    stored: Stored, live: bool, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "real")
    monkeypatch.setenv("WAVESPEED_WEBHOOK_SECRET", "whsec_real")
    Providers(live=live).store_secrets(boto3.Session(), OUTPUTS)
    first = stored()

    Providers(live=live).store_secrets(boto3.Session(), OUTPUTS)

    assert values(stored) == expected
    assert stored() == first


def test_a_live_provider_without_a_webhook_secret_is_not_believed_what_the_sandbox_signs(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "real")
    monkeypatch.delenv("WAVESPEED_WEBHOOK_SECRET", raising=False)
    Providers().store_secrets(boto3.Session(), OUTPUTS)

    Providers(live=True).store_secrets(boto3.Session(), OUTPUTS)

    assert values(stored) == ("real", "unset")


def test_a_webhook_secret_of_a_provider_elsewhere_is_left_as_it_is(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVESPEED_WEBHOOK_SECRET", "whsec_real")
    boto3.Session().client("secretsmanager").put_secret_value(
        SecretId="imagebatch/webhook/wavespeed", SecretString="whsec_by-hand"
    )

    Providers(urls={"wavespeed": "https://gateway.example"}).store_secrets(boto3.Session(), OUTPUTS)

    assert values(stored) == (SANDBOX_KEY, "whsec_by-hand")


def test_before_the_first_deploy_there_is_nothing_to_store_in(stored: Stored) -> None:
    Providers().store_secrets(boto3.Session(), {})

    assert values(stored) == ("unset", "unset")
