"""WaveSpeed's webhooks: the message and its signature."""

import hashlib
import hmac
import json
from typing import Any

from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET, Behaviour
from ops.sandbox.predictions import Prediction, Webhook
from ops.sandbox.wavespeed_bodies import failure, summary

_PREFIX = "whsec_"
_FORGERS_SECRET = "whsec_not-the-secret-of-any-account"  # noqa: S105 - it is there to be wrong


def compose(
    prediction: Prediction, webhook: Webhook, behaviour: Behaviour, now: float, *, forged: bool
) -> tuple[bytes, dict[str, str]]:
    """The raw body and the headers of one delivery.

    The message is the prediction as the poll shows it, without its envelope and its timings and with its input. A
    forged one has the event's id, a signature by another secret, and tells the opposite of what happened.
    """
    data = summary(prediction, webhook.base_url, now)
    del data["timings"]
    data = {"id": data.pop("id"), "model": data.pop("model"), "input": dict(webhook.inputs)} | data
    if forged:
        data |= _opposite(data)
    body = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"content-type": "application/json"}
    if forged:
        headers |= _signature(_FORGERS_SECRET, prediction, now, body)
    elif behaviour.sign_callbacks:
        headers |= _signature(behaviour.webhook_secret or DEFAULT_WEBHOOK_SECRET, prediction, now, body)
    return body, headers


def _signature(secret: str, prediction: Prediction, now: float, body: bytes) -> dict[str, str]:
    """Headers as of Standard Webhooks, but v3: in hex, and the key is the secret's text and not what it encodes."""
    event, timestamp = event_id(prediction), str(int(now))
    key = secret.removeprefix(_PREFIX).encode()
    digest = hmac.new(key, f"{event}.{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"webhook-id": event, "webhook-timestamp": timestamp, "webhook-signature": f"v3,{digest}"}


def event_id(prediction: Prediction) -> str:
    """The same in all deliveries, after a restart too; not the prediction's, so that no client takes it for that."""
    return "evt_" + hashlib.sha256(prediction.id.encode()).hexdigest()[:32]


def _opposite(data: dict[str, Any]) -> dict[str, Any]:
    if data["status"] == "completed":
        return {"status": "failed", "outputs": []} | failure("task_failed")
    link = data["urls"]["get"].replace("/result", "/forged.jpg")
    return {"status": "completed", "outputs": [link], "has_nsfw_contents": [False], "error": ""}
