"""S3 as the rules use it: conditional puts, ranges of a version, and errors that say what to do next."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

from functions.adapters.s3 import S3ObjectStore
from functions.core.errors import StorageError
from ops.local.session import EmbeddedSession

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.e2e


@pytest.fixture
def store(embedded: EmbeddedSession) -> S3ObjectStore:
    client: S3Client = embedded.client("s3")
    bucket = f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return S3ObjectStore(client, bucket)


def test_a_taken_key_keeps_what_it_has(store: S3ObjectStore) -> None:
    assert store.put_if_absent("k", b"first", "image/png")
    assert not store.put_if_absent("k", b"second", "image/png")
    assert store.get("k") == b"first"


def test_of_many_that_put_at_once_one_wins(store: S3ObjectStore) -> None:
    with ThreadPoolExecutor(16) as threads:
        won = list(threads.map(lambda n: store.put_if_absent("k", f"{n}".encode(), "text/plain"), range(32)))
    assert won.count(True) == 1
    assert store.get("k") == f"{won.index(True)}".encode()


def test_a_put_that_met_another_is_made_again_until_one_has_won(store: S3ObjectStore) -> None:
    """S3 answers 409 while two writers meet: neither has stored anything yet."""
    real, meetings = store.client.put_object, iter(range(2))

    def meet(**request: Any) -> Any:
        if next(meetings, None) is not None:
            raise ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")
        return real(**request)

    with patch.object(store.client, "put_object", meet):
        assert store.put_if_absent("k", b"ours", "image/png")
    assert store.get("k") == b"ours"


def test_writers_that_go_on_meeting_are_a_storage_error(store: S3ObjectStore) -> None:
    conflict = ClientError({"Error": {"Code": "ConditionalRequestConflict"}}, "PutObject")
    with patch.object(store.client, "put_object", side_effect=conflict) as put, pytest.raises(StorageError):
        store.put_if_absent("k", b"ours", "image/png")
    assert put.call_count == 6


def test_a_key_that_is_not_there_is_nothing(store: S3ObjectStore) -> None:
    assert store.get("nothing") is None


def test_an_object_is_written_over(store: S3ObjectStore) -> None:
    store.put("k", b"one", "text/csv")
    store.put("k", b"two", "text/csv")
    assert store.get("k") == b"two"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, None, b"0123456789"), (0, 4, b"0123"), (4, 8, b"4567"), (8, None, b"89"), (10, None, b"")],
)
def test_a_range_of_a_version_is_read(store: S3ObjectStore, start: int, end: int | None, expected: bytes) -> None:
    version = store.client.put_object(Bucket=store.bucket, Key="k", Body=b"0123456789")["VersionId"]
    store.put("k", b"something newer", "text/plain")
    assert b"".join(store.read_range("k", version, start, end)) == expected


def test_a_bucket_that_is_not_there_is_a_storage_error(embedded: EmbeddedSession) -> None:
    nowhere = S3ObjectStore(embedded.client("s3"), "no-such-bucket")
    with pytest.raises(StorageError):
        nowhere.get("k")
    with pytest.raises(StorageError):
        nowhere.put("k", b"", "text/plain")
    with pytest.raises(StorageError):
        nowhere.put_if_absent("k", b"", "text/plain")
    with pytest.raises(StorageError):
        list(nowhere.read_range("k", "", 0))
