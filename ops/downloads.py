"""Fetching pictures into a folder: in parallel, each file whole or not at all, none of them twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO
from uuid import uuid4

from functions.core.ports import ObjectStore
from ops.errors import CommandError

THREADS = 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """One stored picture and the files that shall hold it: several where several rows asked for the same picture."""

    key: str
    sha256: str
    files: tuple[Path, ...]


class Outcome(Enum):
    """What became of one picture."""

    FETCHED = auto()
    WAS_THERE = auto()
    GONE = auto()


class DamagedPictureError(CommandError):
    """Raised when a picture in the bucket is not the one that was stored there."""


def fetch_all(
    store: ObjectStore, pictures: Sequence[Wanted], on_done: Callable[[Outcome], None], threads: int = THREADS
) -> dict[str, Outcome]:
    """Fetch pictures, and return the outcome by key. What was fetched before an error or Ctrl-C stays.

    Raises:
        StorageError: when S3 cannot be read.
        DamagedPictureError: when what it holds is not what was stored.
    """
    outcomes: dict[str, Outcome] = {}
    with ThreadPoolExecutor(max_workers=threads) as pool:
        futures = {pool.submit(_fetch, store, picture): picture for picture in pictures}
        try:
            for future in as_completed(futures):
                outcomes[futures[future].key] = future.result()
                on_done(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return outcomes


def _fetch(store: ObjectStore, picture: Wanted) -> Outcome:
    present = [file for file in picture.files if _holds(file, picture.sha256)]
    lacking = [file for file in picture.files if file not in present]
    if not lacking:
        return Outcome.WAS_THERE
    body = present[0].read_bytes() if present else store.get(picture.key)
    if body is None:
        return Outcome.GONE
    if sha256(body).hexdigest() != picture.sha256:
        raise DamagedPictureError(
            f"The picture {picture.key} in the bucket is not the one that was stored there. Remove the object and "
            "submit its row again."
        )
    for file in lacking:
        with whole_file(file) as target:
            target.write(body)
    return Outcome.WAS_THERE if present else Outcome.FETCHED


def _holds(file: Path, digest: str) -> bool:
    try:
        with file.open("rb") as source:
            return file_digest(source, "sha256").hexdigest() == digest
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears under its name when it is whole; after an error the old one, if any, is still there."""
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        with part.open("xb") as target:
            yield target
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
