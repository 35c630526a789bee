"""What the reporter works with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from functions.adapters import aws
from functions.adapters.batches import DynamoBatchStore
from functions.adapters.clock import SystemClock
from functions.adapters.s3 import S3ObjectStore
from functions.adapters.sqs import SqsQueue
from functions.adapters.upload import S3Upload
from functions.core.batches.reporting import Reporter
from functions.core.catalog import load_catalog
from functions.observability import log_event
from functions.runtime import job_store
from functions.settings import read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReporterSettings:
    """Settings of the reporter."""

    metadata_bucket: str
    jobs_table: str
    batches_table: str
    intake_queue_url: str
    reports_queue_url: str


@cache
def reporter() -> Reporter:
    """What the reports queue's messages are for."""
    settings = read_settings(ReporterSettings, os.environ)
    return Reporter(
        batches=DynamoBatchStore(aws.dynamodb(), settings.batches_table),
        jobs=job_store(settings.jobs_table),
        metadata=S3ObjectStore(aws.s3(), settings.metadata_bucket),
        upload=lambda key: S3Upload(aws.s3(), settings.metadata_bucket, key, "text/csv; charset=utf-8"),
        intake=SqsQueue(aws.sqs(), settings.intake_queue_url),
        reports=SqsQueue(aws.sqs(), settings.reports_queue_url),
        catalog=load_catalog(),
        clock=SystemClock(),
        log=log_event,
    )
