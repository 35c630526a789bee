"""Clients of AWS, made when they are first needed and kept for the life of the process.

Time-outs are short and retries few: a call that hangs must not outlive the lease of the job it is for. Retrying is
safe: a write here is conditional, lands on a key that names its content, or (slots) wastes a little when repeated.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.session import Session, get_session

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

CONNECTIONS = 32
"""Connections of a client: as many as there are threads that may call it at a time."""

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=15,
    retries={"mode": "standard", "total_max_attempts": 4},
    max_pool_connections=CONNECTIONS,
)


@cache
def dynamodb() -> DynamoDBClient:
    """The DynamoDB client."""
    client: DynamoDBClient = _client("dynamodb")
    return client


@cache
def s3() -> S3Client:
    """The S3 client."""
    client: S3Client = _client("s3")
    return client


@cache
def sqs() -> SQSClient:
    """The SQS client."""
    client: SQSClient = _client("sqs")
    return client


@cache
def secrets_manager() -> SecretsManagerClient:
    """The Secrets Manager client."""
    client: SecretsManagerClient = _client("secretsmanager")
    return client


@cache
def lambda_() -> LambdaClient:
    """The Lambda client."""
    client: LambdaClient = _client("lambda")
    return client


@cache
def cloudwatch() -> Any:
    """The CloudWatch client."""
    return _client("cloudwatch")


@cache
def sns() -> Any:
    """The SNS client."""
    return _client("sns")


@cache
def _session() -> Session:
    return get_session()


def _client(service: str) -> Any:
    return _session().create_client(service, config=_CONFIG)
