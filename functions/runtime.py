"""The composition root: what a function works with, put together when it is first needed and kept while it is warm."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from functools import cache, lru_cache

import httpx

from functions.adapters import aws
from functions.adapters.batches import DynamoBatchStore
from functions.adapters.clock import SystemClock
from functions.adapters.dynamodb import DynamoJobStore, Table
from functions.adapters.http import client
from functions.adapters.s3 import S3ObjectStore
from functions.adapters.secrets import read_secret
from functions.adapters.sqs import SqsQueue
from functions.adapters.upload import S3Upload
from functions.core.attempt import Services
from functions.core.catalog import Model, load_catalog
from functions.core.chunking import Chunker
from functions.core.intake import Splitter
from functions.core.pacing import Bucket
from functions.core.ports import ImageApi
from functions.core.reporting import Reporter
from functions.core.ringing import Ringer, lanes_of
from functions.core.scanning import Scanner
from functions.core.tracking import Tracker
from functions.core.vault import Vault
from functions.core.work import LaneWorker
from functions.observability import log_event
from functions.providers import PROVIDERS
from functions.settings import ReporterSettings, SplitterSettings, TrackerSettings, WorkerSettings, read_settings

KEY_SECONDS = 300
"""How long a worker goes on with a provider's key before it reads it again: a new key needs no deploy."""


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The one event loop of this process: the HTTP client's connections belong to it across invocations."""
    return asyncio.new_event_loop()


@cache
def worker_settings() -> WorkerSettings:
    """The worker's settings."""
    return read_settings(WorkerSettings, os.environ)


def lane_worker(owner: str, remaining: Callable[[], float]) -> LaneWorker:
    """The lane's worker for one invocation. `remaining` is what is left of it, in seconds."""
    settings = worker_settings()
    services = Services(
        model=_model(),
        api=_image_api(),
        jobs=_jobs(settings.jobs_table),
        vault=Vault(S3ObjectStore(aws.s3(), settings.images_bucket), S3ObjectStore(aws.s3(), settings.metadata_bucket)),
        dead_letters=SqsQueue(aws.sqs(), settings.dead_letter_queue_url),
        clock=SystemClock(),
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
def splitter() -> Splitter:
    """What the intake queue's messages are for."""
    settings = read_settings(SplitterSettings, os.environ)
    catalog, clock = load_catalog(), SystemClock()
    inbox = S3ObjectStore(aws.s3(), settings.inbox_bucket)
    metadata = S3ObjectStore(aws.s3(), settings.metadata_bucket)
    jobs, batches = _jobs(settings.jobs_table), DynamoBatchStore(aws.dynamodb(), settings.batches_table)
    intake, reports = SqsQueue(aws.sqs(), settings.intake_queue_url), SqsQueue(aws.sqs(), settings.reports_queue_url)
    queues = {model: SqsQueue(aws.sqs(), url) for model, url in settings.lane_queues.items()}
    ringer = Ringer(
        metadata=metadata,
        jobs=jobs,
        batches=batches,
        intake=intake,
        lanes=lanes_of(catalog, queues),
        clock=clock,
        log=log_event,
    )
    scanner = Scanner(
        inbox=inbox,
        inbox_name=settings.inbox_bucket,
        metadata=metadata,
        batches=batches,
        intake=intake,
        reports=reports,
        catalog=catalog,
        chunk_rows=settings.chunk_rows,
        clock=clock,
        log=log_event,
    )
    chunker = Chunker(
        inbox=inbox,
        metadata=metadata,
        jobs=jobs,
        batches=batches,
        reports=reports,
        ringer=ringer,
        catalog=catalog,
        clock=clock,
        log=log_event,
    )
    return Splitter(scanner, chunker, ringer)


@cache
def tracker() -> Tracker:
    """What the jobs table's stream is for."""
    settings = read_settings(TrackerSettings, os.environ)
    return Tracker(
        batches=DynamoBatchStore(aws.dynamodb(), settings.batches_table),
        reports=SqsQueue(aws.sqs(), settings.reports_queue_url),
        clock=SystemClock(),
    )


@cache
def reporter() -> Reporter:
    """What the reports queue's messages are for."""
    settings = read_settings(ReporterSettings, os.environ)
    return Reporter(
        batches=DynamoBatchStore(aws.dynamodb(), settings.batches_table),
        jobs=_jobs(settings.jobs_table),
        metadata=S3ObjectStore(aws.s3(), settings.metadata_bucket),
        upload=lambda key: S3Upload(aws.s3(), settings.metadata_bucket, key, "text/csv; charset=utf-8"),
        intake=SqsQueue(aws.sqs(), settings.intake_queue_url),
        reports=SqsQueue(aws.sqs(), settings.reports_queue_url),
        clock=SystemClock(),
        log=log_event,
    )


def _jobs(table: str) -> DynamoJobStore:
    return DynamoJobStore(Table(aws.dynamodb(), table, "job_id"))


@cache
def _model() -> Model:
    return load_catalog().models[worker_settings().lane]


@cache
def _bucket() -> Bucket:
    return Bucket(Table(aws.dynamodb(), worker_settings().lanes_table, "name"), _model().account)


@cache
def _http() -> httpx.AsyncClient:
    return client(_model().timeout_seconds)


def _image_api() -> ImageApi:
    settings, account = worker_settings(), _model().account
    return PROVIDERS[account.provider](
        http=_http(),
        base_url=settings.provider_urls.get(account.name, account.base_url).rstrip("/"),
        key=_provider_key(settings.provider_secrets[account.name], int(time.monotonic() // KEY_SECONDS)),
        model=_model(),
        monotonic=time.monotonic,
    )


@lru_cache(maxsize=1)
def _provider_key(secret_id: str, period: int) -> str:  # noqa: ARG001  # another period, another reading
    return read_secret(aws.secrets_manager(), secret_id)
