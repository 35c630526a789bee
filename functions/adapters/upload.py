"""Writing an object of any length to S3 in bounded memory.

Actions: PutObject (which covers the parts of a multipart upload), AbortMultipartUpload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 * 1024 * 1024
"""A part of a multipart upload: at least 5 MiB, and at most 10,000 of them, so this is enough for 78 GiB."""


@dataclass(slots=True)
class S3Upload:
    """One object. Implements `functions.core.ports.Upload`; a small one is a single put."""

    client: S3Client
    bucket: str
    key: str
    content_type: str
    _buffer: bytearray = field(default_factory=bytearray)
    _upload_id: str = ""
    _parts: list[CompletedPartTypeDef] = field(default_factory=list)

    def write(self, piece: bytes) -> None:
        """See `Upload.write`."""
        self._buffer += piece
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]

    def finish(self) -> None:
        """See `Upload.finish`."""
        if not self._upload_id:
            self.client.put_object(
                Bucket=self.bucket, Key=self.key, Body=bytes(self._buffer), ContentType=self.content_type
            )
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        self.client.complete_multipart_upload(
            Bucket=self.bucket, Key=self.key, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
        )
        self._upload_id = ""

    def discard(self) -> None:
        """See `Upload.discard`."""
        self._buffer.clear()
        if self._upload_id:
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=self._upload_id)
            self._upload_id = ""

    def _send(self, body: bytes) -> None:
        if not self._upload_id:
            begun = self.client.create_multipart_upload(Bucket=self.bucket, Key=self.key, ContentType=self.content_type)
            self._upload_id = begun["UploadId"]
        number = len(self._parts) + 1
        sent = self.client.upload_part(
            Bucket=self.bucket, Key=self.key, UploadId=self._upload_id, PartNumber=number, Body=body
        )
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})
