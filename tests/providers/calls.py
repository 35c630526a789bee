"""What the tests of the WaveSpeed adapter ask of a provider."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from functions.adapters.http import client
from functions.core.catalog import Mode, Model, load_catalog
from functions.core.input.identity import PictureSpec
from functions.core.ports import Accepted, PollAnswer, SubmitAnswer
from functions.providers.wavespeed import WaveSpeed
from tests.fakes.sandbox import Sandbox

MODEL = replace(load_catalog().models["flux-schnell"], timeout_seconds=2, mode=Mode.POLL)
SYNC = replace(MODEL, mode=Mode.SYNC)
SPEC = PictureSpec(model="flux-schnell", prompt="a red kettle", width=256, height=320, format="png", seed=7)
JOB = "ab" * 32

QUICK = {"min": 0.0, "mean": 0.0, "max": 0.0}
SHORT = {"min": 0.1, "mean": 0.1, "max": 0.1}
ENDLESS = {"min": 60.0, "mean": 60.0, "max": 60.0}


@asynccontextmanager
async def api(url: str, key: str = "k", model: Model = MODEL) -> AsyncIterator[WaveSpeed]:
    async with client(model.timeout_seconds) as http:
        yield WaveSpeed(http=http, base_url=url, key=key, model=model, monotonic=time.monotonic)


def submit(
    sandbox: Sandbox,
    spec: PictureSpec = SPEC,
    *,
    key: str = "k",
    model: Model = MODEL,
    callback_url: str = "",
    not_after: float | None = None,
) -> SubmitAnswer:
    async def one() -> SubmitAnswer:
        async with api(sandbox.url, key, model) as provider:
            last = time.monotonic() + 5 if not_after is None else not_after
            return await provider.submit(spec, job_id=JOB, callback_url=callback_url, not_after=last)

    return asyncio.run(one())


def accepted(sandbox: Sandbox, callback_url: str = "") -> str:
    answer = submit(sandbox, callback_url=callback_url)
    assert isinstance(answer, Accepted)
    return answer.reference


def poll(sandbox: Sandbox, reference: str) -> PollAnswer:
    async def one() -> PollAnswer:
        async with api(sandbox.url) as provider:
            return await provider.poll(reference)

    return asyncio.run(one())
