"""Where the functions reach each provider, and with which secrets: the sandbox, another address, or the real thing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3

from functions.core.catalog import Account, Catalog, load_catalog
from ops.local.errors import LocalError
from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

SANDBOX_KEY = "key-of-the-sandbox"
"""The sandbox takes any key unless told otherwise. It is a word of its own: a test sees that no log shows it."""

UNSET = "unset"
"""What the stack puts into a secret that nobody has stored yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """What was asked for: addresses by provider name, and whether the real keys are used.

    An address holds for every account at its provider. A provider without one is reached at the sandbox, or with
    ``live`` where the catalog says. The accounts are those of ``catalog``, the one that is deployed.
    """

    urls: Mapping[str, str] = field(default_factory=dict)
    live: bool = False
    catalog: Catalog = field(default_factory=load_catalog)

    def __post_init__(self) -> None:
        """Refuse names that are in no catalog entry, addresses that are none, and a missing key of who is paid.

        Raises:
            LocalError: naming what is wrong.
        """
        known = {account.provider for account in self.accounts()}
        for name, url in self.urls.items():
            if name not in known:
                raise LocalError(f"There is no provider {name!r} in the catalog; there is: {', '.join(sorted(known))}.")
            if not url.startswith(("http://", "https://")):
                raise LocalError(f"{url!r} is no address; give --provider {name}=https://…")
        if self.live:
            for account in dict.fromkeys(model.account for model in self.catalog.enabled_models):
                if not os.environ.get(key_variable(account)):
                    raise LocalError(
                        f"--live pays for pictures with your key: put it into {key_variable(account)} and try again."
                    )

    def accounts(self) -> list[Account]:
        """The accounts that the stack has secrets of, by name."""
        return sorted(self.catalog.accounts_in_use, key=lambda account: account.name)

    def needs_sandbox(self) -> bool:
        """Whether any provider is reached at the sandbox."""
        return any(self._is_sandbox(account) for account in self.accounts())

    def can_call_back(self) -> bool:
        """Whether every provider is on this machine, and so can reach the API on its loopback interface."""
        return not self.live and all(_is_loopback(url) for url in self.urls.values())

    def base_urls(self, sandbox_url: str | None) -> dict[str, str]:
        """Address by account name; one that is missing is reached where the catalog says."""
        urls = {account.name: self.urls.get(account.provider, sandbox_url) for account in self.accounts()}
        return {name: url.rstrip("/") for name, url in urls.items() if url is not None}

    def context(self, sandbox_url: str | None) -> dict[str, str]:
        """The CDK context that says so; see :class:`infra.config.Config`."""
        return {
            "provider_urls": json.dumps(self.base_urls(sandbox_url), sort_keys=True),
            "callbacks": json.dumps(self.can_call_back()),
        }

    def store_secrets(self, session: boto3.Session, outputs: Mapping[str, str]) -> None:
        """Put each account's key and webhook secret into its secret, if it is not what is there.

        Args:
            session: of the AWS that the stack is on.
            outputs: the stack's; nothing is stored where a secret is not among them, as before the first deploy.
        """
        client = session.client("secretsmanager")
        keys, webhooks = (json.loads(outputs.get(name, "{}")) for name in ("ProviderSecrets", "WebhookSecrets"))
        for account in self.accounts():
            if secret := keys.get(account.name):
                _store(client, secret, self._key(account, _value(client, secret)))
            if secret := webhooks.get(account.name):
                _store(client, secret, self._webhook_secret(account, _value(client, secret)))

    def _key(self, account: Account, stored: str) -> str:
        if not self.live:
            return SANDBOX_KEY
        # What is stored stays: late callbacks of an account that buys nothing any more need its key too.
        return os.environ.get(key_variable(account)) or (UNSET if stored == SANDBOX_KEY else stored)

    def _webhook_secret(self, account: Account, stored: str) -> str:
        if self._is_sandbox(account):
            return DEFAULT_WEBHOOK_SECRET
        given = os.environ.get(webhook_variable(account)) if self.live else None
        # Everybody knows what the sandbox signs with: from a real provider it would prove nothing.
        return given or (UNSET if stored == DEFAULT_WEBHOOK_SECRET else stored)

    def _is_sandbox(self, account: Account) -> bool:
        return not self.live and account.provider not in self.urls


def key_variable(account: Account) -> str:
    """The environment variable that holds an account's key, as ``WAVESPEED_API_KEY``."""
    return f"{_in_capitals(account)}_API_KEY"


def webhook_variable(account: Account) -> str:
    """The environment variable that holds an account's webhook secret, as ``WAVESPEED_WEBHOOK_SECRET``."""
    return f"{_in_capitals(account)}_WEBHOOK_SECRET"


def _in_capitals(account: Account) -> str:
    return account.name.upper().replace("-", "_")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _value(client: SecretsManagerClient, secret: str) -> str:
    return client.get_secret_value(SecretId=secret).get("SecretString", "")


def _store(client: SecretsManagerClient, secret: str, value: str) -> None:
    if _value(client, secret) != value:
        client.put_secret_value(SecretId=secret, SecretString=value)
