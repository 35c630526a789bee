"""What the completion function works with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from functions.adapters import aws
from functions.adapters.sqs import SqsQueue
from functions.core.catalog import load_catalog
from functions.core.jobs.completion import Completion
from functions.observability import log_event
from functions.providers.callbacks import CALLBACK_READERS
from functions.runtime import job_store
from functions.runtime.pictures import vault
from functions.runtime.providers import CLOCK, image_api, loop, secret
from functions.settings import read_settings

__all__ = ["completion", "loop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionSettings:
    """Settings of the completion function. `lane_queues` goes by model, the other mappings by account."""

    jobs_table: str
    images_bucket: str
    metadata_bucket: str
    lane_queues: Mapping[str, str]
    provider_urls: Mapping[str, str]
    provider_secrets: Mapping[str, str]
    webhook_secrets: Mapping[str, str]
    callback_secret: str


def completion() -> Completion:
    """What callbacks are for."""
    settings = _settings()
    return Completion(
        # Disabled ones too: what was paid for is not lost by that, as long as the account is there.
        models={
            name: model
            for name, model in load_catalog().models.items()
            if model.account.name in settings.webhook_secrets
        },
        readers=CALLBACK_READERS,
        api=lambda model: image_api(model, settings.provider_urls, settings.provider_secrets),
        webhook_secret=lambda account: secret(settings.webhook_secrets[account.name]),
        callback_secret=secret(settings.callback_secret),
        jobs=job_store(settings.jobs_table),
        vault=vault(settings.images_bucket, settings.metadata_bucket),
        lanes={model: SqsQueue(aws.sqs(), url) for model, url in settings.lane_queues.items()},
        clock=CLOCK,
        log=log_event,
    )


@cache
def _settings() -> CompletionSettings:
    return read_settings(CompletionSettings, os.environ)
