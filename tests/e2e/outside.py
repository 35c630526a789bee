"""Whoever posts to the deployed API: the provider, or somebody who would like to be taken for it."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx

from functions.adapters.http import client
from functions.core.catalog import load_catalog
from functions.core.jobs.callback_key import CallbackKey
from functions.core.jobs.records import Job
from functions.core.ports import Accepted
from functions.providers.wavespeed import WaveSpeed
from ops.local.providers import SANDBOX_KEY
from ops.sandbox.behaviour import DEFAULT_WEBHOOK_SECRET
from tests.e2e.pipeline import Pipeline

PROVIDER = "wavespeed"
_SECONDS = 30
_A_DAY = 24 * 3600


@dataclass(frozen=True)
class Outside:
    """The API's address, and what only the stack and its provider know. `url` is where callbacks are posted to."""

    pipeline: Pipeline
    url: str
    secret: str

    @classmethod
    def of(cls, pipeline: Pipeline) -> Outside:
        """Of the deployed stack, by its outputs."""
        secrets, outputs = pipeline.instance.session().client("secretsmanager"), pipeline.outputs
        secret = secrets.get_secret_value(SecretId=outputs["CallbackSecret"])["SecretString"]
        return cls(pipeline, f"{outputs['ApiUrl']}/callbacks/{PROVIDER}", secret)

    def key(self, job_id: str, attempt: int = 1, *, seconds: int = _A_DAY) -> str:
        """The key of a call, signed by the stack's own secret and good for so many seconds from now."""
        return CallbackKey(job_id, attempt, int(time.time()) + seconds).signed(self.secret, PROVIDER)

    def post(self, body: bytes, headers: Mapping[str, str], *, key: str | None, url: str = "") -> int:
        """Post a callback; the status of the answer."""
        query = {} if key is None else {"key": key}
        return httpx.post(
            url or self.url, params=query, content=body, headers=headers, timeout=_SECONDS, trust_env=False
        ).status_code

    def submit(self, job: Job, *, calls_back: bool) -> str:
        """Make the call of a job, as the worker does that announced it; the provider's reference."""
        url = f"{self.url}?key={self.key(job.job_id, job.call_attempt)}" if calls_back else ""

        async def submitted() -> object:
            async with client(_SECONDS) as http:
                model = load_catalog().models[job.model]
                api = WaveSpeed(
                    http=http,
                    base_url=self.pipeline.sandbox.url,
                    key=SANDBOX_KEY,
                    model=model,
                    monotonic=time.monotonic,
                )
                return await api.submit(job.asked_for(), job_id=job.job_id, callback_url=url, not_after=math.inf)

        answer = asyncio.run(submitted())
        assert isinstance(answer, Accepted)
        return answer.reference

    def finished(self, reference: str) -> bytes:
        """The body of the callback about a prediction, once that is finished."""

        def look() -> Any:
            answer = httpx.get(
                f"{self.pipeline.sandbox.url}/api/v3/predictions/{reference}/result",
                headers={"authorization": f"Bearer {SANDBOX_KEY}"},
                trust_env=False,
            )
            data = answer.json()["data"]
            return data if data["status"] == "completed" else None

        return json.dumps(self.pipeline.wait_for(look, lambda: f"{reference} to be finished")).encode()


def signed(
    body: bytes, *, secret: str = DEFAULT_WEBHOOK_SECRET, seconds_ago: int = 0, event: str = "evt_of_a_test"
) -> dict[str, str]:
    """The headers of a callback as WaveSpeed's documentation has them."""
    timestamp = str(int(time.time()) - seconds_ago)
    said = f"{event}.{timestamp}.".encode() + body
    signature = hmac.new(secret.removeprefix("whsec_").encode(), said, sha256).hexdigest()
    return {
        "content-type": "application/json",
        "webhook-id": event,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v3,{signature}",
    }
