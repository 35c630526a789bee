"""What the worker works with."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from functions.adapters import aws
from functions.adapters.batch_states import DynamoBatchStates
from functions.adapters.dynamodb import Table
from functions.adapters.sqs import SqsQueue
from functions.core.catalog import Mode, Model, load_catalog
from functions.core.jobs.references import OwnedReferences
from functions.core.jobs.services import Services
from functions.core.jobs.work import LaneWorker
from functions.core.lanes.pacing import Bucket
from functions.observability import log_event
from functions.runtime import job_store
from functions.runtime.pictures import vault
from functions.runtime.providers import CLOCK, image_api, loop, secret
from functions.settings import read_settings

__all__ = ["lane_worker", "loop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of one lane's worker. `lane` is the model's name; the mappings go by account.

    `api_url` is where providers reach us, empty where they shall not; `callback_secret` is the secret id of what
    callback URLs are signed with.
    """

    lane: str
    jobs_table: str
    lanes_table: str
    batches_table: str
    images_bucket: str
    metadata_bucket: str
    lane_queue_url: str
    dead_letter_queue_url: str
    provider_urls: Mapping[str, str]
    provider_secrets: Mapping[str, str]
    lease_seconds: int
    api_url: str
    callback_secret: str


def lane_worker(owner: str, remaining: Callable[[], float]) -> LaneWorker:
    """The lane's worker for one invocation. `remaining` is what is left of it, in seconds."""
    settings, model = _settings(), _model()
    calls_back = model.mode is Mode.CALLBACK and settings.api_url
    services = Services(
        model=model,
        api=image_api(model, settings.provider_urls, settings.provider_secrets),
        jobs=job_store(settings.jobs_table),
        vault=vault(settings.images_bucket, settings.metadata_bucket),
        dead_letters=SqsQueue(aws.sqs(), settings.dead_letter_queue_url),
        clock=CLOCK,
        log=log_event,
        uniform=random.SystemRandom().uniform,
        remaining=remaining,
        owned=_owned(),
        api_url=settings.api_url,
        callback_secret=secret(settings.callback_secret) if calls_back else "",
    )
    return LaneWorker(
        services=services,
        bucket=_bucket(),
        batches=DynamoBatchStates(aws.dynamodb(), settings.batches_table),
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
def _owned() -> OwnedReferences:
    return OwnedReferences()


@cache
def _bucket() -> Bucket:
    return Bucket(Table(aws.dynamodb(), _settings().lanes_table, "name"), _model())
