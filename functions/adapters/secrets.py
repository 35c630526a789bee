"""Provider keys, from Secrets Manager. Action: GetSecretValue."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def read_secret(client: SecretsManagerClient, secret_id: str) -> str:
    """The text of a secret."""
    return client.get_secret_value(SecretId=secret_id)["SecretString"].strip()
