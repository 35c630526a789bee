"""WaveSpeed's callbacks (https://wavespeed.ai/docs): a prediction as a poll shows it, with its input beside it.

The headers are those of Standard Webhooks, but the key is the secret's text, not what it encodes in base64, and the
signature is in hex: `v3,` and HMAC-SHA256 (RFC 2104) of `{webhook-id}.{webhook-timestamp}.{raw body}`.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from functions.core.ports import CallbackError, Notice, Working
from functions.providers.wavespeed_predictions import read_prediction, read_reference

TOLERANCE_SECONDS = 300
"""How far the moment that is signed may be from ours, before or after."""

LARGEST_BODY = 1_000_000
"""Bytes. A callback holds a prompt and some addresses; what is larger is none."""

_VERSION = "v3,"
_PREFIX = "whsec_"
# A secret that nobody has set, in either form: whoever guesses it could sign with it.
_NO_KEYS = ("", "unset")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_EVENT = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_OK = 200  # the status that a poll with the same content would have


def read_callback(body: bytes, headers: Mapping[str, str], *, secret: str, now_ms: int) -> Notice:
    """See `functions.core.ports.CallbackReader`. Nothing of a body is read before its signature is found to be right.

    Without a secret nothing can be found right: then the body is no more than a hint of a reference.
    """
    key = secret.removeprefix(_PREFIX)
    if key in _NO_KEYS:
        return Notice(event_id="", reference=_reference(_prediction(body)), outcome=Working(), verified=False)
    _verify(body, headers, key, now_ms)
    data, event = _prediction(body), headers.get("webhook-id", "")
    reference = _reference(data)
    return Notice(
        event_id=event if _EVENT.fullmatch(event) else "",
        reference=reference,
        outcome=read_prediction(data, reference, _OK),
        verified=True,
    )


def _verify(body: bytes, headers: Mapping[str, str], key: str, now_ms: int) -> None:
    """Check who sent the body, then when."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    event, timestamp, signatures = (headers.get(name, "") for name in names)
    digest = hmac.new(key.encode(), _bytes(f"{event}.{timestamp}.") + body, sha256).hexdigest()
    right = (_VERSION + digest).encode()
    # During a change of the secret there may be one signature by each.
    if not any(hmac.compare_digest(_bytes(signature), right) for signature in signatures.split(" ")):
        raise CallbackError("forged", "the callback is not signed, or not rightly")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise CallbackError("unreadable", "the callback's timestamp is no number")
    if abs(now_ms - int(timestamp) * 1000) > TOLERANCE_SECONDS * 1000:
        raise CallbackError("replayed", "the callback was signed too long ago, or ahead of time")


def _prediction(body: bytes) -> dict[str, Any]:
    """The body as JSON. What it says goes into no message: it has the prompt in it."""
    if len(body) > LARGEST_BODY:
        raise CallbackError("unreadable", "the callback's body is too large")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise CallbackError("unreadable", "the callback's body is no JSON") from None
    if not isinstance(content, dict):
        raise CallbackError("unreadable", "the callback's body is no JSON object")
    return content


def _reference(data: Mapping[str, Any]) -> str:
    reference = read_reference(data)
    if not reference:
        raise CallbackError("unreadable", "the callback names no prediction")
    return reference


def _bytes(text: str) -> bytes:
    """A header as bytes, whatever is in it."""
    return text.encode("utf-8", "surrogatepass")
