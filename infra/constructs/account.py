"""A provider account: the key that its lanes share."""

from __future__ import annotations

from aws_cdk import SecretValue, Stack
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.nag import acknowledge


class ProviderAccount(Construct):
    """The secret that holds the API key of one provider account.

    Attributes:
        secret_id: name of the secret, `<stack>/provider/<account>`, where the operator puts the key.
        secret_arn: its ARN, for policies.
    """

    def __init__(self, scope: Construct, construct_id: str, *, account: str) -> None:
        """Make the secret, holding the word `unset`; a deploy does not touch it again."""
        super().__init__(scope, construct_id)
        self.secret_id = f"{Stack.of(self).stack_name}/provider/{account}"
        secret = secretsmanager.Secret(
            self,
            "Key",
            secret_name=self.secret_id,
            description=f"API key of the provider account '{account}'",
            # No secret: a value that says that there is none yet.
            secret_string_value=SecretValue.unsafe_plain_text("unset"),
        )
        self.secret_arn = secret.secret_arn
        acknowledge(secret, "SMG4", "Only the provider's own console issues its keys, so AWS cannot rotate them.")
