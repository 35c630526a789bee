"""A provider account: the key that its lanes share, and the secret that its callbacks are signed with."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aws_cdk import SecretValue, Stack
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.nag import acknowledge


class ProviderAccount(Construct):
    """The secrets of one provider account; the operator puts their values there.

    Attributes:
        secret_id: name of the secret `<stack>/provider/<account>`, the API key.
        secret_arn: its ARN, for policies.
        webhook_secret_id: name of the secret `<stack>/webhook/<account>`, by which the provider signs its callbacks.
        webhook_secret_arn: its ARN, for policies.
    """

    def __init__(self, scope: Construct, construct_id: str, *, account: str) -> None:
        """Make the secrets, holding the word `unset`; a deploy does not touch them again."""
        super().__init__(scope, construct_id)
        stack = Stack.of(self).stack_name
        self.secret_id = f"{stack}/provider/{account}"
        self.secret_arn = self._secret("Key", self.secret_id, f"API key of the provider account '{account}'")
        self.webhook_secret_id = f"{stack}/webhook/{account}"
        self.webhook_secret_arn = self._secret(
            "WebhookSecret",
            self.webhook_secret_id,
            f"Signing secret of the callbacks of the provider account '{account}'",
        )
        acknowledge(self, "SMG4", "Only the provider's own console issues them, so AWS cannot rotate them.")

    def _secret(self, construct_id: str, name: str, description: str) -> str:
        secret = secretsmanager.Secret(
            self,
            construct_id,
            secret_name=name,
            description=description,
            # No secret: a value that says that there is none yet.
            secret_string_value=SecretValue.unsafe_plain_text("unset"),
        )
        return secret.secret_arn


def key_ids(accounts: Mapping[str, ProviderAccount]) -> str:
    """JSON: the id of the secret with the API key, by account."""
    return json.dumps({name: account.secret_id for name, account in accounts.items()})


def webhook_secret_ids(accounts: Mapping[str, ProviderAccount]) -> str:
    """JSON: the id of the secret that callbacks are signed with, by account."""
    return json.dumps({name: account.webhook_secret_id for name, account in accounts.items()})
