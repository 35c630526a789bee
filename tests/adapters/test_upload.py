"""An object of any length is written in bounded memory, and is there only when it is finished."""

from __future__ import annotations

import uuid

import pytest

from functions.adapters.upload import PART_BYTES, S3Upload
from ops.local.session import EmbeddedSession

pytestmark = pytest.mark.e2e


@pytest.fixture
def upload(embedded: EmbeddedSession) -> S3Upload:
    client = embedded.client("s3")
    bucket = f"results-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return S3Upload(client, bucket, "batches/a-1/results.csv", "text/csv; charset=utf-8")


def stored(upload: S3Upload) -> bytes | None:
    listed = upload.client.list_objects_v2(Bucket=upload.bucket).get("Contents", [])
    return upload.client.get_object(Bucket=upload.bucket, Key=listed[0]["Key"])["Body"].read() if listed else None


def test_a_small_object_is_one_put(upload: S3Upload) -> None:
    for piece in (b"sku,", b"status\n", b""):
        upload.write(piece)
    assert stored(upload) is None
    upload.finish()
    assert stored(upload) == b"sku,status\n"
    head = upload.client.head_object(Bucket=upload.bucket, Key=upload.key)
    assert head["ContentType"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize("rest", [0, 1])
def test_a_large_object_is_written_in_parts(upload: S3Upload, rest: int) -> None:
    content = bytes(range(256)) * (2 * PART_BYTES // 256) + b"x" * rest
    for at in range(0, len(content), 700_000):
        upload.write(content[at : at + 700_000])
    assert stored(upload) is None
    upload.finish()
    assert stored(upload) == content


def test_a_discarded_object_leaves_nothing_behind(upload: S3Upload) -> None:
    upload.write(b"x" * (PART_BYTES + 1))
    upload.discard()
    upload.discard()
    assert stored(upload) is None
    assert upload.client.list_multipart_uploads(Bucket=upload.bucket).get("Uploads", []) == []
