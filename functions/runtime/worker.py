"""What the worker works with."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache

import httpx

from functions.adapters import aws
from functions.adapters.clock import SystemClock
from functions.adapters.dynamodb import Table
from functions.adapters.http import client
from functions.adapters.s3 import S3ObjectStore
from functions.adapters.secrets import read_secret
from functions.adapters.sqs import SqsQueue
from functions.core.catalog import Model, load_catalog
from functions.core.jobs.attempt import Services
from functions.core.jobs.pacing import Bucket
from functions.core.jobs.vault import Vault
from functions.core.jobs.work import LaneWorker
from functions.core.ports import ImageApi
from functions.observability import log_event
from functions.providers import PROVIDERS
from functions.runtime import job_store
from functions.settings import WorkerSettings, read_settings

KEY_SECONDS = 60
"""How long a worker goes on with a provider's key before it reads it again: a new key needs no deploy."""

_CLOCK = SystemClock()


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The one event loop of this process: the HTTP client's connections belong to it across invocations."""
    loop = asyncio.new_event_loop()
    # Heartbeats share the threads with the pictures: there are more than a worker's calls can occupy.
    loop.set_default_executor(ThreadPoolExecutor(aws.CONNECTIONS))
    return loop


def lane_worker(owner: str, remaining: Callable[[], float]) -> LaneWorker:
    """The lane's worker for one invocation. `remaining` is what is left of it, in seconds."""
    settings = _settings()
    services = Services(
        model=_model(),
        api=_image_api(),
        jobs=job_store(settings.jobs_table),
        vault=Vault(S3ObjectStore(aws.s3(), settings.images_bucket), S3ObjectStore(aws.s3(), settings.metadata_bucket)),
        dead_letters=SqsQueue(aws.sqs(), settings.dead_letter_queue_url),
        clock=_CLOCK,
        log=log_event,
        uniform=random.SystemRandom().uniform,
        remaining=remaining,
    )
    return LaneWorker(
        services=services,
        bucket=_bucket(),
        messages=SqsQueue(aws.sqs(), settings.lane_queue_url),
        owner=owner,
        lease_seconds=settings.lease_seconds,
    )


@cache
def _settings() -> WorkerSettings:
    return read_settings(WorkerSettings, os.environ)


@cache
def _model() -> Model:
    return load_catalog().models[_settings().lane]


@cache
def _bucket() -> Bucket:
    return Bucket(Table(aws.dynamodb(), _settings().lanes_table, "name"), _model().account)


@cache
def _http() -> httpx.AsyncClient:
    return client(_model().timeout_seconds)


def _image_api() -> ImageApi:
    settings, account = _settings(), _model().account
    return PROVIDERS[account.provider](
        http=_http(),
        base_url=settings.provider_urls.get(account.name, account.base_url).rstrip("/"),
        key=_provider_key(settings.provider_secrets[account.name], int(_CLOCK.monotonic() // KEY_SECONDS)),
        model=_model(),
        monotonic=_CLOCK.monotonic,
    )


@lru_cache(maxsize=1)
def _provider_key(secret_id: str, period: int) -> str:  # noqa: ARG001  # another period, another reading
    return read_secret(aws.secrets_manager(), secret_id)
