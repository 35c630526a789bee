"""Where pictures are kept, for the functions that store some."""

from __future__ import annotations

from functions.adapters import aws
from functions.adapters.s3 import S3ObjectStore
from functions.core.jobs.vault import Vault


def vault(images_bucket: str, metadata_bucket: str) -> Vault:
    """The pictures and what is known about each."""
    return Vault(S3ObjectStore(aws.s3(), images_bucket), S3ObjectStore(aws.s3(), metadata_bucket))
