"""A mocked AWS with the stack's buckets and tables, and a batch in it, for what a person runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

import boto3
import pytest
from moto import mock_aws
from typer.testing import CliRunner, Result

from functions.adapters.attribute_values import to_item
from functions.adapters.indexes import HELD_INDEX, LISTING_INDEX, REFERENCE_INDEX
from functions.core.batches.manifest import ManifestPart, Row
from functions.core.batches.records import Part, RowProblem, part_record
from functions.core.batches.results import ResultsTable
from functions.core.errors import ErrorClass, Fault
from functions.core.input.identity import PictureSpec, canonical_json, job_id
from functions.core.jobs import demand, lifecycle
from functions.core.jobs.records import Job, State
from functions.core.keys import image_key, part_item, results_key
from ops.cli import app, frame, waiting
from ops.stack import Stack

NOW_MS = 1_795_250_000_000

LOST = Fault(ErrorClass.AMBIGUOUS, "the answer to the submit was lost")

PutBatch = Callable[..., None]
PutHeld = Callable[..., Job]
Run = Callable[..., Result]


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The stack's buckets and tables on a mocked AWS, as the stack's outputs would name them."""
    with mock_aws(config={"lambda": {"use_docker": False}}):
        session = boto3.Session(region_name="us-east-1")
        s3 = session.client("s3")
        for bucket in ("inbox", "images", "metadata"):
            s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
        _create_tables(session.client("dynamodb"))
        sqs = session.client("sqs")
        names = ("jobs", "dead", "intake", "intake-dead", "reports")
        queue, dead, intake, intake_dead, reports = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in names)
        lane_mapping, intake_mapping = _mappings(session, workers=(8, 10))
        secrets = session.client("secretsmanager")
        for secret in ("provider/wavespeed", "webhook/wavespeed"):
            secrets.create_secret(Name=f"imagebatch/{secret}", SecretString="unset")
        yield Stack(
            session=session,
            name="imagebatch",
            account="123456789012",
            inbox_bucket="inbox",
            images_bucket="images",
            metadata_bucket="metadata",
            jobs_table="jobs",
            batches_table="batches",
            lanes_table="lanes",
            lane_queues={"flux-schnell": queue},
            dead_letter_queues={"flux-schnell": dead},
            lane_mappings={"flux-schnell": lane_mapping},
            intake_queue=intake,
            intake_dead_letter_queue=intake_dead,
            intake_mapping=intake_mapping,
            reports_queue=reports,
            provider_secrets={"wavespeed": "imagebatch/provider/wavespeed"},
            webhook_secrets={"wavespeed": "imagebatch/webhook/wavespeed"},
        )


def _mappings(session: boto3.Session, *, workers: Sequence[int]) -> Iterator[str]:
    """Event source mappings of so many workers each; their ids.

    Of a queue of their own: moto's mappings take what is sent to theirs at once.
    """
    session.client("sqs").create_queue(QueueName="mapped")
    trust = '{"Version": "2012-10-17", "Statement": []}'
    role = session.client("iam").create_role(RoleName="function", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    functions = session.client("lambda")
    functions.create_function(
        FunctionName="function", Runtime="python3.13", Role=role, Handler="a.b", Code={"ZipFile": b"code"}
    )
    for most in workers:
        yield functions.create_event_source_mapping(
            FunctionName="function",
            EventSourceArn="arn:aws:sqs:us-east-1:123456789012:mapped",
            ScalingConfig={"MaximumConcurrency": most},
        )["UUID"]


def _create_tables(dynamodb: Any) -> None:
    dynamodb.create_table(
        TableName="lanes",
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.create_table(
        TableName="jobs",
        KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("job_id", "reference", "held", "held_at")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": name, "KeyType": kind}
                    for name, kind in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for index, keys in ((REFERENCE_INDEX, ["reference"]), (HELD_INDEX, ["held", "held_at"]))
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    keys = {
        name: {"AttributeName": name, "AttributeType": "S"} for name in ("batch_id", "item", "listing", "created_at")
    }
    dynamodb.create_table(
        TableName="batches",
        KeySchema=[
            {"AttributeName": "batch_id", "KeyType": "HASH"},
            {"AttributeName": "item", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=list(keys.values()),
        GlobalSecondaryIndexes=[
            {
                "IndexName": LISTING_INDEX,
                "KeySchema": [
                    {"AttributeName": "listing", "KeyType": "HASH"},
                    {"AttributeName": "created_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def run(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("status", "--json")`: the command on the mocked stack."""
    monkeypatch.setattr(frame, "find_stack", lambda *_, **__: stack)
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.0)
    return lambda *arguments, **options: CliRunner().invoke(app, [*map(str, arguments)], **options)


@pytest.fixture
def put_batch(stack: Stack) -> PutBatch:
    """Put a batch record into the table: `put_batch("products-1", state="running", succeeded=2, …)`."""

    def put(batch_id: str, **attributes: Any) -> None:
        is_open = attributes.get("state") in ("scanning", "running")
        record = {
            "batch_id": batch_id,
            "item": "batch",
            "listing": "open" if is_open else "closed",
            "state": "completed",
            "source": {"bucket": "inbox", "key": "products.csv", "version": "v1"},
            "recipe": "",
            "recipe_text": "",
            "chunk_rows": 5000,
            "created_at": "2026-11-21T08:43:06.120Z",
            "deadline_at": "2026-11-21T14:43:06.120Z",
            "updated_at": "2026-11-21T08:44:06.120Z",
            "scanned": True,
            "rows_expected": attributes.get("rows", 0),
            "parts_done": 1,
            **attributes,
        }
        stack.dynamodb().put_item(TableName="batches", Item=to_item(record))

    return put


@pytest.fixture
def put_held(stack: Stack) -> PutHeld:
    """Let a job be held: `put_held(A, batch="products-aaa", reference="task-1", minute=5)`."""

    def put(
        job_id: str,
        *,
        batch: str = "products-aaa",
        model: str = "flux-schnell",
        reference: str = "",
        minute: int = 0,
        fault: Fault = LOST,
    ) -> Job:
        now_ms, jobs = NOW_MS + minute * 60_000, stack.jobs()
        spec = canonical_json(PictureSpec(model=model, prompt="a mug"))
        jobs.write(job_id, demand.create(job_id, model=model, spec=spec, batch_id=batch, now_ms=now_ms))
        job = jobs.write(job_id, lifecycle.claim_to_submit("w", now_ms, 120_000))
        if reference:
            accept = lifecycle.accept(1, reference=reference, response_code=200, leaving=False, now_ms=now_ms)
            job = jobs.write(job_id, accept)
        return jobs.write(job_id, lifecycle.hold(1, job, fault, now_ms))

    return put


@pytest.fixture
def put_part(stack: Stack) -> Callable[[str, list[tuple[int, int, str, str]]], None]:
    """Put a part with problems (row, line, column, message) into the table."""

    def put(batch_id: str, problems: list[tuple[int, int, str, str]]) -> None:
        found = tuple(RowProblem(*problem) for problem in problems)
        part = Part(
            offset=10,
            end=90,
            end_line=11,
            first_row=1,
            rows=9,
            invalid_rows=len(found),
            requested=9 - len(found),
            problems=found,
        )
        record = {"batch_id": batch_id, "item": part_item(part.offset), **part_record(part)}
        stack.dynamodb().put_item(TableName="batches", Item=to_item(record))

    return put


class Published:
    """Builds a published batch: jobs, pictures and results.csv, written by the code that the reporter uses."""

    def __init__(self, stack: Stack, batch_id: str, columns: tuple[str, ...]) -> None:
        self._stack, self._batch_id, self._columns = stack, batch_id, columns
        self._rows: list[Row] = []
        self._jobs: dict[str, Job] = {}

    def row(
        self, *cells: str, prompt: str = "", name: str = "", state: State = State.SUCCESS, problem: str = "", **job: Any
    ) -> str:
        """Add a row; the key of its picture."""
        number = len(self._rows) + 1
        spec = PictureSpec(model="flux-schnell", prompt=prompt)
        identity = job_id(spec)
        key = image_key(identity, "jpeg") if state is State.SUCCESS else ""
        ids = () if problem else (identity,)
        self._rows.append(Row(number, number + 1, cells, "flux-schnell", ids, name, (problem,) if problem else ()))
        if problem:
            return ""
        body = f"picture of {prompt}".encode()
        self._jobs[identity] = Job(
            job_id=identity,
            state=state,
            model="flux-schnell",
            spec=canonical_json(spec),
            batches=frozenset(),
            created_at="",
            updated_at="",
            image_key=key,
            sha256=sha256(body).hexdigest() if key else "",
            **{"batch_id": self._batch_id, "cost_usd": Decimal("0.003") if key else Decimal(0), **job},
        )
        self._store(identity, spec, body)
        return key

    def publish(self) -> bytes:
        """Write results.csv into the bucket; its bytes."""
        part = ManifestPart(self._columns, False, tuple(self._rows))
        table = ResultsTable(self._batch_id)
        table.header(part)
        first: dict[str, int] = {}
        for row in part.rows:
            table.row(row, self._jobs, first)
            for identity in row.job_ids:
                first.setdefault(identity, row.row)
        body = table.take()
        self._stack.metadata().put(results_key(self._batch_id), body, "text/csv")
        return body

    def _store(self, identity: str, spec: PictureSpec, body: bytes) -> None:
        job = self._jobs[identity]
        create = demand.create(
            identity, model=spec.model, spec=canonical_json(spec), batch_id=self._batch_id, now_ms=NOW_MS
        )
        self._stack.dynamodb().put_item(TableName="jobs", Item=to_item(create.sets))
        if job.image_key:
            self._stack.images().put(job.image_key, body, "image/jpeg")


@pytest.fixture
def published(stack: Stack) -> Callable[..., Published]:
    """`published("products-1", "sku", "prompt")`: a batch to which rows are added and which is then published."""
    return lambda batch_id, *columns: Published(stack, batch_id, columns)
