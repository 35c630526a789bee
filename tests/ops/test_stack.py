import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ops.errors import NotFoundError
from ops.local.instance import LocalInstance
from ops.local.state import Record, StateDirectory, remember
from ops.stack import Stack, describe, find_stack

OUTPUTS = {
    "InboxBucket": "in",
    "ImagesBucket": "pictures",
    "MetadataBucket": "meta",
    "JobsTable": "jobs",
    "BatchesTable": "batches",
    "LanesTable": "lanes",
    "Lanes": json.dumps(
        {
            "flux-schnell": {
                "queue_url": "https://sqs.example/jobs",
                "dead_letter_queue_url": "https://sqs.example/dead",
                "mapping": "5d6e",
            }
        }
    ),
    "IntakeQueueUrl": "https://sqs.example/intake",
    "IntakeDeadLetterQueueUrl": "https://sqs.example/intake-dead",
    "IntakeMapping": "1a2b",
    "ReportsQueueUrl": "https://sqs.example/reports",
    "ProviderSecrets": '{"wavespeed": "imagebatch/provider/wavespeed"}',
    "WebhookSecrets": '{"wavespeed": "imagebatch/webhook/wavespeed"}',
}


ARN = "arn:aws:cloudformation:eu-central-1:123456789012:stack/imagebatch/5a1e"


class Deployed(boto3.Session):
    """A session of an account whose CloudFormation knows one stack."""

    def __init__(self, outputs: dict[str, str]) -> None:
        super().__init__(region_name="eu-central-1")
        self.outputs = outputs

    def client(self, *_: Any, **__: Any) -> Any:
        return self

    def describe_stacks(self, StackName: str) -> Any:  # noqa: N803  # as AWS calls it
        if StackName != "imagebatch":
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        listed = [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()]
        return {"Stacks": [{"StackId": ARN, "Outputs": listed}]}


def test_a_stack_is_known_by_its_outputs() -> None:
    stack = describe(Deployed(OUTPUTS), "imagebatch")

    assert (stack.account, stack.inbox_bucket, stack.batches_table) == ("123456789012", "in", "batches")
    assert stack.lane_queues == {"flux-schnell": "https://sqs.example/jobs"}
    assert stack.dead_letter_queues == {"flux-schnell": "https://sqs.example/dead"}
    assert stack.lane_mappings == {"flux-schnell": "5d6e"}
    assert (stack.lanes_table, stack.intake_mapping) == ("lanes", "1a2b")
    assert stack.provider_secrets == {"wavespeed": "imagebatch/provider/wavespeed"}
    assert stack.webhook_secrets == {"wavespeed": "imagebatch/webhook/wavespeed"}


def test_a_stack_that_is_not_there_is_a_sentence_with_the_region() -> None:
    with pytest.raises(NotFoundError, match=r"no stack 'other' in region eu-central-1.*make deploy"):
        describe(Deployed(OUTPUTS), "other")


def test_a_stack_of_something_else_is_a_sentence() -> None:
    with pytest.raises(NotFoundError, match="InboxBucket"):
        describe(Deployed({}), "imagebatch")


def test_a_profile_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(NotFoundError, match="no AWS profile 'nobody'"):
        find_stack("imagebatch", profile="nobody", region=None, notice=pytest.fail)


def test_a_profile_that_the_environment_names_in_vain_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")

    with pytest.raises(NotFoundError, match="no AWS profile 'nobody'"):
        find_stack("imagebatch", profile=None, region=None, notice=pytest.fail)


def test_without_region_and_embedded_aws_the_ways_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    with pytest.raises(NotFoundError, match=r"--region.*imagebatch local up"):
        find_stack("imagebatch", profile=None, region=None, notice=pytest.fail)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS account with the stack in it, which the ordinary credentials open; none in the environment."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    session = Deployed(OUTPUTS)
    monkeypatch.setattr(boto3, "Session", lambda **_: session)


@pytest.fixture
def down(tmp_path: Path) -> StateDirectory:
    """An embedded AWS that was started and does not run."""
    state = StateDirectory.make(tmp_path / "state")
    remember(state)
    record = Record(
        endpoint_url="http://127.0.0.1:1",
        port=1,
        pid=None,
        sandbox_url=None,
        sandbox_port=None,
        sandbox_pid=None,
        stack="imagebatch",
    )
    state.write(record)
    return state


def find(said: list[str], *, profile: str | None = None, region: str | None = None) -> Stack:
    return find_stack("imagebatch", profile=profile, region=region, notice=said.append)


@pytest.mark.usefixtures("account")
def test_an_aws_account_is_named_before_anything_is_paid_for_there() -> None:
    said: list[str] = []

    find(said)

    assert said == ["Using the stack 'imagebatch' in AWS account 123456789012, region eu-central-1."]


@pytest.mark.usefixtures("account")
def test_an_account_does_not_stand_in_for_an_embedded_aws_that_is_down(down: StateDirectory) -> None:
    with pytest.raises(NotFoundError, match=rf"{down.path} is not running: `imagebatch local up.*--profile"):
        find([])


@pytest.mark.usefixtures("account", "down")
@pytest.mark.parametrize("options", [{"profile": "shop"}, {"region": "eu-central-1"}])
def test_an_account_that_is_named_is_used_though_an_embedded_aws_is_down(options: dict[str, str]) -> None:
    said: list[str] = []

    assert find(said, **options).account == "123456789012"
    assert "123456789012" in said[0]


@pytest.mark.usefixtures("account", "down")
@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_ACCESS_KEY_ID"])
def test_an_account_that_the_environment_names_is_used_too(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "any")

    assert find([]).account == "123456789012"


@pytest.mark.usefixtures("account")
def test_a_region_means_an_account_also_while_an_embedded_aws_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalInstance, "find", lambda *_: pytest.fail("looked for an embedded AWS"))

    assert find([], region="eu-central-1").account == "123456789012"
