"""Where pictures are kept: the image, then what is known about it, each written once under a key its job determines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from functions.core.errors import CorruptPictureError
from functions.core.input.identity import PictureSpec
from functions.core.jobs.picture import check_picture
from functions.core.jobs.records import Job, Picture
from functions.core.keys import image_key, metadata_key
from functions.core.ports import ObjectStore


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture that lies in the images bucket. `reference`: the call that made it, as far as is known."""

    key: str
    picture: Picture
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Vault:
    """The images bucket and the metadata bucket. Methods raise `StorageError` when a bucket cannot be used."""

    images: ObjectStore
    metadata: ObjectStore

    def find(self, job_id: str, spec: PictureSpec) -> StoredPicture | None:
        """The job's picture, if an earlier try stored it."""
        key = image_key(job_id, spec.format)
        data = self.images.get(key)
        if data is None:
            return None
        described = self.metadata.get(metadata_key(job_id))
        reference = json.loads(described)["reference"] if described else ""
        return StoredPicture(key, check_picture(data, spec), reference)

    def keep(self, job: Job, spec: PictureSpec, data: bytes, made_by: str) -> StoredPicture:
        """Check a picture and store it, unless one is stored already: then that one is the job's picture.

        Raises:
            CorruptPictureError: when it is not the picture that was asked for; nothing is stored.
        """
        stored = StoredPicture(image_key(job.job_id, spec.format), check_picture(data, spec), job.reference)
        if not self.images.put_if_absent(stored.key, data, stored.picture.content_type):
            kept = self.find(job.job_id, spec)
            if kept is None:
                raise CorruptPictureError("the stored picture vanished while it was looked at")
            stored = kept
        self.describe(job, stored, made_by)
        return stored

    def describe(self, job: Job, stored: StoredPicture, made_by: str) -> None:
        """Write down what the picture is and how it was asked for, unless that was written before."""
        known = {
            "job_id": job.job_id,
            "image_key": stored.key,
            "model": job.model,
            "made_by": made_by,
            "reference": job.reference,
            "spec": json.loads(job.spec),
            "picture": asdict(stored.picture),
        }
        body = json.dumps(known, ensure_ascii=False, sort_keys=True).encode()
        self.metadata.put_if_absent(metadata_key(job.job_id), body, "application/json")
