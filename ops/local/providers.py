"""Where the functions reach each provider, and with which key: the sandbox, another address, or the real thing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import boto3

from functions.core.catalog import Account, load_catalog
from ops.local.errors import LocalError

SANDBOX_KEY = "key-of-the-sandbox"
"""The sandbox takes any key unless told otherwise. It is a word of its own: a test sees that no log shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """What was asked for: addresses by provider name, and whether the real keys are used.

    An address holds for every account at its provider. A provider without one is reached at the sandbox, or with
    ``live`` where the catalog says.
    """

    urls: Mapping[str, str] = field(default_factory=dict)
    live: bool = False

    def __post_init__(self) -> None:
        """Refuse names that are in no catalog entry, addresses that are none, and a missing key.

        Raises:
            LocalError: naming what is wrong.
        """
        known = {account.provider for account in _accounts()}
        for name, url in self.urls.items():
            if name not in known:
                raise LocalError(f"There is no provider {name!r} in the catalog; there is: {', '.join(sorted(known))}.")
            if not url.startswith(("http://", "https://")):
                raise LocalError(f"{url!r} is no address; give --provider {name}=https://…")
        if self.live:
            for account in _accounts():
                if not os.environ.get(key_variable(account)):
                    raise LocalError(
                        f"--live pays for pictures with your key: put it into {key_variable(account)} and try again."
                    )

    def needs_sandbox(self) -> bool:
        """Whether any provider is reached at the sandbox."""
        return not self.live and any(account.provider not in self.urls for account in _accounts())

    def base_urls(self, sandbox_url: str | None) -> dict[str, str]:
        """Address by account name; one that is missing is reached where the catalog says."""
        urls = {account.name: self.urls.get(account.provider, sandbox_url) for account in _accounts()}
        return {name: url.rstrip("/") for name, url in urls.items() if url is not None}

    def context(self, sandbox_url: str | None) -> dict[str, str]:
        """The CDK context that says so; see :class:`infra.config.Config`."""
        return {"provider_urls": json.dumps(self.base_urls(sandbox_url), sort_keys=True)}

    def store_keys(self, session: boto3.Session, provider_secrets: str) -> None:
        """Put each account's key into its secret, if it is not what is there.

        Args:
            session: of the AWS that the stack is on.
            provider_secrets: the stack's output of that name: JSON, secret id by account.
        """
        client = session.client("secretsmanager")
        for name, secret in json.loads(provider_secrets).items():
            key = os.environ[key_variable(load_catalog().accounts[name])] if self.live else SANDBOX_KEY
            if client.get_secret_value(SecretId=secret).get("SecretString") != key:
                client.put_secret_value(SecretId=secret, SecretString=key)


def key_variable(account: Account) -> str:
    """The environment variable that holds an account's key, as ``WAVESPEED_API_KEY``."""
    return f"{account.name.upper().replace('-', '_')}_API_KEY"


def _accounts() -> list[Account]:
    """The accounts that an enabled model is bought through."""
    catalog = load_catalog()
    return [catalog.accounts[name] for name in sorted({m.account.name for m in catalog.models.values() if m.enabled})]
