"""S3 buckets. Actions: GetObject, GetObjectVersion, PutObject; ListBucket, without which a missing key is a 403."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from functions.adapters.again import until_done
from functions.core.errors import MissingObjectError, StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class S3ObjectStore:
    """One bucket. Implements `functions.core.ports.ObjectStore`.

    Every method raises `StorageError` when S3 could not be reached or refused for a reason that is not the key's.
    """

    client: S3Client
    bucket: str

    def get(self, key: str) -> bytes | None:
        """See `ObjectStore.get`."""
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            if _code(error) in ("NoSuchKey", "404"):
                return None
            raise _storage_error("read", error) from error

    def put(self, key: str, body: bytes, content_type: str) -> None:
        """See `ObjectStore.put`."""
        try:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)
        except (ClientError, BotoCoreError) as error:
            raise _storage_error("written", error) from error

    def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
        """See `ObjectStore.put_if_absent`.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html: 412 when the key is taken, 409
        when another conditional write was under way and neither is known to have won.
        """
        written = True

        def attempt() -> bool:
            nonlocal written
            try:
                self.client.put_object(
                    Bucket=self.bucket, Key=key, Body=body, ContentType=content_type, IfNoneMatch="*"
                )
            except (ClientError, BotoCoreError) as error:
                code = _code(error)
                if code in ("ConditionalRequestConflict", "409"):
                    return False
                if code not in ("PreconditionFailed", "412"):
                    raise _storage_error("written", error) from error
                written = False
            return True

        until_done(attempt, tries=6, otherwise=StorageError("an object's writers went on meeting"))
        return written

    def read_range(self, key: str, version: str, start: int, end: int | None = None) -> Iterator[bytes]:
        """See `ObjectStore.read_range`."""
        request: dict[str, Any] = {"Bucket": self.bucket, "Key": key}
        if version:
            request["VersionId"] = version
        if start or end is not None:
            request["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        try:
            answer = self.client.get_object(**request)
            ranged = "ContentRange" in answer
            pieces = answer["Body"].iter_chunks(_PIECE)
            yield from pieces if ranged else _cut(pieces, start, end)
        except (ClientError, BotoCoreError) as error:
            if _code(error) == "InvalidRange":
                return
            if _code(error) in ("NoSuchKey", "NoSuchVersion", "404"):
                raise MissingObjectError("there is no such object version") from error
            raise _storage_error("read", error) from error


def _cut(pieces: Iterator[bytes], start: int, end: int | None) -> Iterator[bytes]:
    """The bytes [start, end) of a whole object: a server may answer a range request with all of it (RFC 9110, 14.2)."""
    at = 0
    for piece in pieces:
        if end is not None and at >= end:
            return
        wanted = piece[max(0, start - at) : None if end is None else end - at]
        at += len(piece)
        if wanted:
            yield wanted


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _storage_error(verb: str, error: Exception) -> StorageError:
    return StorageError(f"an object could not be {verb}: {_code(error) or type(error).__name__}")
