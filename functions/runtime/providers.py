"""What the functions that talk to image APIs share: the event loop, the HTTP client, keys and secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache

import httpx

from functions.adapters import aws
from functions.adapters.clock import SystemClock
from functions.adapters.http import client
from functions.adapters.secrets import read_secret
from functions.core.catalog import LONGEST_TIMEOUT_SECONDS, Model
from functions.core.ports import ImageApi
from functions.providers import PROVIDERS

SECRET_SECONDS = 60
"""How long a function goes on with a secret before it reads it again: a new key needs no deploy."""

UNSET = "unset"
"""What a secret says that nobody has put anything into."""

CLOCK = SystemClock()


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The one event loop of this process: the HTTP client's connections belong to it across invocations."""
    loop = asyncio.new_event_loop()
    # Heartbeats share the threads with the pictures: there are more than a worker's calls can occupy.
    loop.set_default_executor(ThreadPoolExecutor(aws.CONNECTIONS))
    return loop


def image_api(model: Model, urls: Mapping[str, str], secret_ids: Mapping[str, str]) -> ImageApi:
    """The image API of a model. `urls`, in place of the catalog's, and `secret_ids` go by account."""
    account = model.account
    return PROVIDERS[account.provider](
        http=_http(),
        base_url=urls.get(account.name, account.base_url).rstrip("/"),
        key=secret(secret_ids[account.name]),
        model=model,
        monotonic=CLOCK.monotonic,
    )


def secret(secret_id: str) -> str:
    """A secret as it was at most a minute ago; empty if nobody has set it."""
    text = _secret(secret_id, int(CLOCK.monotonic() // SECRET_SECONDS))
    return "" if text == UNSET else text


@lru_cache(maxsize=16)
def _secret(secret_id: str, period: int) -> str:  # noqa: ARG001  # another period, another reading
    return read_secret(aws.secrets_manager(), secret_id)


@cache
def _http() -> httpx.AsyncClient:
    return client(LONGEST_TIMEOUT_SECONDS)
