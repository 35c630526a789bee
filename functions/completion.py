"""The completion function: `POST /callbacks/{provider}` of the HTTP API, where providers say what became of a call."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.core.jobs.completion import Callback, http_status
from functions.runtime import completion as runtime


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001  # Lambda passes both
    """Act on one delivery; the answer's status tells the provider whether to deliver it again."""
    body: str = event.get("body") or ""
    callback = Callback(
        provider=event["pathParameters"]["provider"],
        key=(event.get("queryStringParameters") or {}).get("key", ""),
        # The signature is over the bytes as they came.
        body=b64decode(body) if event.get("isBase64Encoded") else body.encode(),
        headers={name.lower(): value for name, value in event.get("headers", {}).items()},
    )
    result = runtime.loop().run_until_complete(runtime.completion().receive(callback))
    return {"statusCode": http_status(result)}
