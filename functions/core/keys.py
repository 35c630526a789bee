"""Where things are stored, and what a batch is called: all derivable from what names them."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import PurePosixPath

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
"""File name extension of each picture format."""


def batch_id_for(key: str, version: str) -> str:
    """The batch that an uploaded object version becomes.

    Whoever uploads can work it out from the answer to the upload, and an event that is delivered twice names one batch.
    """
    stem = re.sub(r"[^a-z0-9]+", "-", PurePosixPath(key).stem.lower()).strip("-")[:40].strip("-")
    digest = sha256(f"{key}\n{version}".encode()).hexdigest()[:10]
    return f"{stem or 'batch'}-{digest}"


def image_key(job_id: str, picture_format: str) -> str:
    """Key of a job's picture in the images bucket."""
    return f"{job_id[:2]}/{job_id}.{EXTENSIONS[picture_format]}"


def metadata_key(job_id: str) -> str:
    """Key of what is known about a job's picture, in the metadata bucket."""
    return f"jobs/{job_id[:2]}/{job_id}.json"


def manifest_key(batch_id: str, offset: int) -> str:
    """Key of the manifest part that starts at a byte offset of the input, in the metadata bucket."""
    return f"batches/{batch_id}/manifest/{offset:015d}.jsonl.gz"


PART_PREFIX = "part#"
"""How the sort keys of parts begin in the batches table."""


def part_item(offset: int) -> str:
    """Sort key of the same part in the batches table."""
    return f"{PART_PREFIX}{offset:015d}"


def results_key(batch_id: str) -> str:
    """Key of a batch's results.csv in the metadata bucket."""
    return f"batches/{batch_id}/results.csv"


def recipe_key(name: str) -> str:
    """Key of a recipe in the metadata bucket."""
    return f"recipes/{name}.toml"


def folder_of(key: str) -> str:
    """The inbox folder an object lies in, which names its recipe; empty at the top."""
    return key.split("/", 1)[0] if "/" in key else ""


def seed_for(job_id: str) -> int:
    """The seed a job without one is made with: the same picture can be asked for again, and results can name it."""
    return int(job_id[:8], 16) % 2**31
