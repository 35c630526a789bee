"""What the splitter works with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from functions.adapters import aws
from functions.adapters.batches import DynamoBatchStore
from functions.adapters.clock import SystemClock
from functions.adapters.dynamodb import Table
from functions.adapters.lanes import LanePaces
from functions.adapters.s3 import S3ObjectStore
from functions.adapters.sqs import SqsQueue
from functions.core.batches.chunking import Chunker
from functions.core.batches.intake import Splitter
from functions.core.batches.ringing import Ringer, lanes_of
from functions.core.batches.scanning import Scanner
from functions.core.catalog import load_catalog
from functions.observability import log_event
from functions.runtime import job_store
from functions.settings import read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitterSettings:
    """Settings of the splitter. `chunk_rows`: rows of a chunk; `lane_queues`: queue URL by model."""

    inbox_bucket: str
    metadata_bucket: str
    jobs_table: str
    batches_table: str
    lanes_table: str
    intake_queue_url: str
    reports_queue_url: str
    lane_queues: Mapping[str, str]
    chunk_rows: int


@cache
def splitter() -> Splitter:
    """What the intake queue's messages are for."""
    settings = read_settings(SplitterSettings, os.environ)
    catalog, clock = load_catalog(), SystemClock()
    inbox = S3ObjectStore(aws.s3(), settings.inbox_bucket)
    metadata = S3ObjectStore(aws.s3(), settings.metadata_bucket)
    jobs, batches = job_store(settings.jobs_table), DynamoBatchStore(aws.dynamodb(), settings.batches_table)
    intake, reports = SqsQueue(aws.sqs(), settings.intake_queue_url), SqsQueue(aws.sqs(), settings.reports_queue_url)
    queues = {model: SqsQueue(aws.sqs(), url) for model, url in settings.lane_queues.items()}
    ringer = Ringer(
        metadata=metadata,
        jobs=jobs,
        batches=batches,
        intake=intake,
        lanes=lanes_of(catalog, queues),
        paces=LanePaces(Table(aws.dynamodb(), settings.lanes_table, "name"), clock),
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
        intake=intake,
        reports=reports,
        ringer=ringer,
        catalog=catalog,
        clock=clock,
        log=log_event,
    )
    return Splitter(scanner, chunker, ringer)
