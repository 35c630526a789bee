"""The manifest: which jobs each row of a batch asked for, kept part by part in the metadata bucket.

A part is gzipped JSON lines. The first says what the file's columns are, each further one is a row. The same rows give
the same bytes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from functions.core.keys import manifest_key
from functions.core.ports import ObjectStore

CONTENT_TYPE = "application/gzip"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file: its original cells, and the jobs it asked for or what is wrong with it.

    row counts data rows from 1, line physical lines from 1; picture_name is what a person calls the row's pictures,
    empty where nothing names them; job_ids has one per variant, all of one model; problems are sentences.
    """

    row: int
    line: int
    cells: tuple[str, ...]
    model: str
    job_ids: tuple[str, ...]
    picture_name: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """Consecutive rows. columns: the file's header; bom: whether the file began with a byte order mark."""

    columns: tuple[str, ...]
    bom: bool
    rows: tuple[Row, ...]

    def job_ids(self, model: str) -> tuple[str, ...]:
        """The different jobs of one model, in the order of the rows."""
        return tuple(dict.fromkeys(job_id for row in self.rows if row.model == model for job_id in row.job_ids))

    @property
    def models(self) -> tuple[str, ...]:
        """The models that rows ask for."""
        return tuple(dict.fromkeys(row.model for row in self.rows if row.job_ids))


class MissingManifestError(Exception):
    """Raised when a part is recorded and its manifest is not stored."""


def store(metadata: ObjectStore, batch_id: str, offset: int, part: ManifestPart) -> None:
    """Write a part, in place of the same part of an earlier run."""
    lines = [_line({"columns": part.columns, "bom": part.bom}), *(_line(_content(row)) for row in part.rows)]
    body = gzip.compress("\n".join(lines).encode(), compresslevel=6, mtime=0)
    metadata.put(manifest_key(batch_id, offset), body, CONTENT_TYPE)


def load(metadata: ObjectStore, batch_id: str, offset: int) -> ManifestPart:
    """Read a part.

    Raises:
        MissingManifestError: when it is not stored.
    """
    body = metadata.get(manifest_key(batch_id, offset))
    if body is None:
        raise MissingManifestError(f"{manifest_key(batch_id, offset)} is gone")
    lines = gzip.decompress(body).decode().split("\n")
    head = json.loads(lines[0])
    return ManifestPart(tuple(head["columns"]), head["bom"], tuple(_rows(lines[1:])))


def _rows(lines: Iterable[str]) -> Iterator[Row]:
    for line in lines:
        content = json.loads(line)
        yield Row(
            row=content["row"],
            line=content["line"],
            cells=tuple(content["cells"]),
            model=content.get("model", ""),
            job_ids=tuple(content.get("jobs", ())),
            picture_name=content.get("name", ""),
            problems=tuple(content.get("problems", ())),
        )


def _content(row: Row) -> dict[str, Any]:
    content = {
        "row": row.row,
        "line": row.line,
        "cells": row.cells,
        "model": row.model,
        "jobs": row.job_ids,
        "name": row.picture_name,
        "problems": row.problems,
    }
    return {name: value for name, value in content.items() if value or name in ("row", "line", "cells")}


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
