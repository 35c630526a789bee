"""What an AWS request is called, by what is on the wire."""

import json
from typing import Any

import pytest

from bench.usage_tables import item_size
from bench.wire import Call, name_call


def json_call(target: str, body: dict[str, Any]) -> Call:
    return name_call("POST", "/", {"x-amz-target": target}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("target", "body", "call"),
    [
        ("DynamoDB_20120810.UpdateItem", {"TableName": "t"}, Call("DynamoDB", "UpdateItem", "t")),
        (
            "DynamoDB_20120810.BatchExecuteStatement",
            {"Statements": [{"Statement": """INSERT INTO "t" VALUE {'a': ?}"""}] * 3},
            Call("DynamoDB", "BatchExecuteStatement", "t", 3),
        ),
        (
            "DynamoDB_20120810.BatchGetItem",
            {"RequestItems": {"t": {"Keys": [{}, {}]}}},
            Call("DynamoDB", "BatchGetItem", "t", 2),
        ),
        (
            "DynamoDB_20120810.TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "t"}}, {"Update": {"TableName": "t"}}]},
            Call("DynamoDB", "TransactWriteItems", "t", 2),
        ),
        (
            "AmazonSQS.SendMessageBatch",
            {"QueueUrl": "http://127.0.0.1:1/000000000000/lane", "Entries": [{}, {}]},
            Call("SQS", "SendMessageBatch", "lane", 2),
        ),
        (
            "AmazonSQS.GetQueueAttributes",
            {"QueueUrl": "http://127.0.0.1:1/000000000000/lane"},
            Call("SQS", "GetQueueAttributes", "lane"),
        ),
        ("secretsmanager.GetSecretValue", {"SecretId": "s"}, Call("Secrets Manager", "GetSecretValue", "")),
    ],
)
def test_a_json_request_is_named_by_its_target_and_what_it_is_about(
    target: str, body: dict[str, Any], call: Call
) -> None:
    assert json_call(target, body) == call


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("GET", "/b/k", "GetObject"),
        ("GET", "/b/k?versionId=1", "GetObject"),
        ("HEAD", "/b/k", "HeadObject"),
        ("PUT", "/b/a/k", "PutObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", "UploadPart"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("POST", "/b/k?uploadId=u", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=u", "AbortMultipartUpload"),
        ("DELETE", "/b/k", "DeleteObject"),
        ("GET", "/b?list-type=2", "ListObjectsV2"),
        ("GET", "/b?location", "GET bucket location"),
    ],
)
def test_an_s3_request_is_named_by_its_method_and_its_shape(method: str, target: str, operation: str) -> None:
    assert name_call(method, target, {}, b"") == Call("S3", operation, "b")


def test_an_items_size_is_that_of_its_names_and_values() -> None:
    item = {
        "name": {"S": "é"},
        "count": {"N": "1234"},
        "set": {"SS": ["ab", "c"]},
        "map": {"M": {"k": {"S": "v"}}},
        "yes": {"BOOL": True},
    }

    assert item_size(item) == (4 + 2) + (5 + 3) + (3 + 3) + (3 + 3 + 1 + 2) + (3 + 1)
