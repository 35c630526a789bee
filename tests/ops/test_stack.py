from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ops.errors import NotFoundError
from ops.stack import describe, find_stack

OUTPUTS = {
    "InboxBucket": "in",
    "ImagesBucket": "pictures",
    "MetadataBucket": "meta",
    "JobsTable": "jobs",
    "BatchesTable": "batches",
    "ProviderSecrets": '{"wavespeed": "imagebatch/provider/wavespeed"}',
}


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
        return {"Stacks": [{"Outputs": listed}]}


def test_a_stack_is_known_by_its_outputs() -> None:
    stack = describe(Deployed(OUTPUTS), "imagebatch")

    assert (stack.inbox_bucket, stack.batches_table) == ("in", "batches")
    assert stack.provider_secrets == {"wavespeed": "imagebatch/provider/wavespeed"}


def test_a_stack_that_is_not_there_is_a_sentence_with_the_region() -> None:
    with pytest.raises(NotFoundError, match=r"no stack 'other' in region eu-central-1.*make deploy"):
        describe(Deployed(OUTPUTS), "other")


def test_a_stack_of_something_else_is_a_sentence() -> None:
    with pytest.raises(NotFoundError, match="InboxBucket"):
        describe(Deployed({}), "imagebatch")


def test_a_profile_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(NotFoundError, match="no AWS profile 'nobody'"):
        find_stack("imagebatch", profile="nobody", region=None, notice=pytest.fail)


def test_without_region_and_embedded_aws_the_ways_out_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")

    with pytest.raises(NotFoundError, match=r"--region.*imagebatch local up"):
        find_stack("imagebatch", profile=None, region=None, notice=pytest.fail)
