"""AWS requests as they look on the wire: what each of them is called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

_SERVICES = {"dynamodb": "DynamoDB", "amazonsqs": "SQS", "secretsmanager": "Secrets Manager"}
_STATEMENT_TABLE = re.compile(r'"([^"]+)"')

# Method, a query parameter that makes another operation of it, whether it is about a key. The first that fits counts.
_S3 = (
    ("POST", "uploads", True, "CreateMultipartUpload"),
    ("POST", "uploadId", True, "CompleteMultipartUpload"),
    ("PUT", "partNumber", True, "UploadPart"),
    ("DELETE", "uploadId", True, "AbortMultipartUpload"),
    ("GET", "", True, "GetObject"),
    ("PUT", "", True, "PutObject"),
    ("HEAD", "", True, "HeadObject"),
    ("DELETE", "", True, "DeleteObject"),
    ("GET", "list-type", False, "ListObjectsV2"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request by its name. `resource` is the table, queue or bucket it is about, empty where it is another thing.

    `items` are the records it touches: DynamoDB bills by them, however many one request carries.
    """

    service: str
    operation: str
    resource: str
    items: int = 1


def name_call(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Name a request. `target` is its path and query, the names of `headers` are in small letters."""
    if json_target := headers.get("x-amz-target"):
        return _json_call(json_target, json.loads(body or b"{}"))
    return _s3_call(method, target)


def _json_call(target: str, body: dict[str, Any]) -> Call:
    prefix, _, operation = target.rpartition(".")
    service = _SERVICES.get(prefix.partition("_")[0].lower(), prefix)
    if service == "SQS":
        queue, entries = str(body.get("QueueUrl", "")).rpartition("/")[2], body.get("Entries")
        return Call(service, operation, queue, len(entries) if entries else 1)
    if service != "DynamoDB":
        return Call(service, operation, "")
    if statements := body.get("Statements"):
        found = _STATEMENT_TABLE.search(statements[0]["Statement"])
        return Call(service, operation, found[1] if found else "", len(statements))
    if requests := body.get("RequestItems"):
        table, request = next(iter(requests.items()))
        return Call(service, operation, table, len(request["Keys"] if isinstance(request, dict) else request))
    if parts := body.get("TransactItems"):
        part = next(iter(parts[0].values()))
        return Call(service, operation, part["TableName"], len(parts))
    return Call(service, operation, str(body.get("TableName", "")))


def _s3_call(method: str, target: str) -> Call:
    url = urlsplit(target)
    bucket, _, key = url.path.lstrip("/").partition("/")
    query = parse_qs(url.query, keep_blank_values=True)
    for wanted_method, parameter, of_key, operation in _S3:
        if method == wanted_method and bool(key) == of_key and (not parameter or parameter in query):
            return Call("S3", operation, bucket)
    return Call("S3", f"{method} {'object' if key else 'bucket'} {'&'.join(sorted(query))}".strip(), bucket)
