"""Finding the deployed stack: on the embedded AWS of this machine or in an AWS account, by its outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ProfileNotFound

from functions.adapters.dynamodb import DynamoJobStore, Table
from functions.adapters.s3 import S3ObjectStore
from ops.errors import NotFoundError
from ops.local.instance import LocalInstance
from ops.local.state import known_directories

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

DEFAULT_STACK = "imagebatch"

CONNECTIONS = 16
"""Connections of a client: as many as pictures are downloaded at a time."""

_MEAN_AN_ACCOUNT = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Environment variables by which a person or a build server names an AWS account."""

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 5},
    max_pool_connections=CONNECTIONS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A deployed stack. `account`: number of its AWS account.

    By model: `lane_queues` and `dead_letter_queues`, queue URLs, and `lane_mappings`, the ids of the event source
    mappings that feed the workers. `intake_mapping` feeds the splitter; `intake_queue`, `intake_dead_letter_queue` and
    `reports_queue` are queue URLs.

    `provider_secrets` and `webhook_secrets`: by provider account, the ids of the secrets with its API key and with what
    it signs its callbacks with.
    """

    session: boto3.Session
    name: str
    account: str
    inbox_bucket: str
    images_bucket: str
    metadata_bucket: str
    jobs_table: str
    batches_table: str
    lanes_table: str
    lane_queues: Mapping[str, str]
    dead_letter_queues: Mapping[str, str]
    lane_mappings: Mapping[str, str]
    intake_queue: str
    intake_dead_letter_queue: str
    intake_mapping: str
    reports_queue: str
    provider_secrets: Mapping[str, str]
    webhook_secrets: Mapping[str, str]

    def s3(self) -> S3Client:
        """The S3 client. Clients may be used from many threads."""
        return _s3(self.session)

    def dynamodb(self) -> DynamoDBClient:
        """The DynamoDB client."""
        return _dynamodb(self.session)

    def secrets_manager(self) -> SecretsManagerClient:
        """The Secrets Manager client."""
        return self.session.client("secretsmanager", config=_CONFIG)

    def sqs(self) -> SQSClient:
        """The SQS client."""
        return _sqs(self.session)

    def lambda_(self) -> LambdaClient:
        """The Lambda client."""
        return _lambda(self.session)

    def images(self) -> S3ObjectStore:
        """The bucket of pictures."""
        return S3ObjectStore(self.s3(), self.images_bucket)

    def jobs(self) -> DynamoJobStore:
        """The jobs table."""
        return DynamoJobStore(Table(self.dynamodb(), self.jobs_table, "job_id"))

    def lanes(self) -> Table:
        """The lanes table."""
        return Table(self.dynamodb(), self.lanes_table, "name")

    def metadata(self) -> S3ObjectStore:
        """The bucket of recipes and results."""
        return S3ObjectStore(self.s3(), self.metadata_bucket)


def find_stack(name: str, *, profile: str | None, region: str | None, notice: Callable[[str], None]) -> Stack:
    """The stack that was meant: in the AWS account that `profile` or `region` names, else on the embedded AWS if one
    runs, else in the account of the environment's or the ordinary AWS credentials.

    Args:
        notice: told in one line where the stack is.

    Raises:
        NotFoundError: when there is no such profile, region or stack; when the embedded AWS, which seems to be meant,
            is down: what was to cost nothing must not be paid for in an AWS account.
    """
    if profile is None and region is None:
        if instance := LocalInstance.find():
            notice(f"Using the embedded AWS at {instance.endpoint_url} (name a --profile for an AWS account).")
            return local_stack(instance, name)
        if (known := known_directories()) and not any(os.environ.get(variable) for variable in _MEAN_AN_ACCOUNT):
            raise NotFoundError(
                f"The embedded AWS in {known[0]} is not running: `imagebatch local up --state {known[0]}`, or name "
                "--profile or --region for an AWS account."
            )
    stack = _in_account(name, profile, region)
    said = f", profile {stack.session.profile_name}" if stack.session.profile_name != "default" else ""
    notice(f"Using the stack '{name}' in AWS account {stack.account}, region {stack.session.region_name}{said}.")
    return stack


def _in_account(name: str, profile: str | None, region: str | None) -> Stack:
    try:
        session = boto3.Session(profile_name=profile, region_name=region)
    except ProfileNotFound as error:
        named = error.kwargs["profile"]  # by --profile or by AWS_PROFILE
        raise NotFoundError(f"There is no AWS profile '{named}'; see `aws configure list-profiles`.") from error
    if session.region_name is None:
        raise NotFoundError(
            "No AWS region is set, and no embedded AWS is running. Name one with --region, or start the embedded AWS "
            "with `imagebatch local up`."
        )
    return describe(session, name)


def local_stack(instance: LocalInstance, name: str = DEFAULT_STACK) -> Stack:
    """The stack on a running embedded AWS."""
    return describe(instance.session(), name)


def describe(session: boto3.Session, name: str) -> Stack:
    """Read a stack's outputs.

    Raises:
        NotFoundError: when there is no such stack, or it is none of ours.
    """
    found = _find(session, name)
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    try:
        return Stack(
            session=session,
            name=name,
            account=found["StackId"].split(":")[4],  # arn:aws:cloudformation:region:account:stack/…
            inbox_bucket=outputs["InboxBucket"],
            images_bucket=outputs["ImagesBucket"],
            metadata_bucket=outputs["MetadataBucket"],
            jobs_table=outputs["JobsTable"],
            batches_table=outputs["BatchesTable"],
            lanes_table=outputs["LanesTable"],
            lane_queues=_by_model(outputs["Lanes"], "queue_url"),
            dead_letter_queues=_by_model(outputs["Lanes"], "dead_letter_queue_url"),
            lane_mappings=_by_model(outputs["Lanes"], "mapping"),
            intake_queue=outputs["IntakeQueueUrl"],
            intake_dead_letter_queue=outputs["IntakeDeadLetterQueueUrl"],
            intake_mapping=outputs["IntakeMapping"],
            reports_queue=outputs["ReportsQueueUrl"],
            provider_secrets=json.loads(outputs["ProviderSecrets"]),
            webhook_secrets=json.loads(outputs["WebhookSecrets"]),
        )
    except KeyError as error:
        raise NotFoundError(
            f"The stack '{name}' is not imagebatch, or its deployment has not ended: it has no output {error}. "
            "Deploy it with `make deploy`, or name another one with --stack."
        ) from error


def _by_model(lanes: str, what: str) -> Mapping[str, str]:
    return {model: lane[what] for model, lane in json.loads(lanes).items()}


def _find(session: boto3.Session, name: str) -> StackTypeDef:
    try:
        return session.client("cloudformation", config=_CONFIG).describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise NotFoundError(
            f"There is no stack '{name}' in region {session.region_name} of this account. Deploy it with `make deploy`,"
            " or name another one with --stack, --profile or --region."
        ) from error


@cache
def _s3(session: boto3.Session) -> S3Client:
    return session.client("s3", config=_CONFIG)


@cache
def _dynamodb(session: boto3.Session) -> DynamoDBClient:
    return session.client("dynamodb", config=_CONFIG)


@cache
def _sqs(session: boto3.Session) -> SQSClient:
    return session.client("sqs", config=_CONFIG)


@cache
def _lambda(session: boto3.Session) -> LambdaClient:
    return session.client("lambda", config=_CONFIG)
