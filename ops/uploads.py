"""Putting a file into the inbox, which is all it takes to start a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from functions.core.catalog import load_catalog
from functions.core.input.errors import NO_ROWS, InputError
from functions.core.input.planning import RowPlanner
from functions.core.input.recipe import Recipe
from functions.core.input.table import HEAD_BYTES, read_table
from functions.core.keys import batch_id_for
from ops.errors import CommandError, RejectedError, UsageError
from ops.recipes import read_recipe

if TYPE_CHECKING:
    from ops.stack import Stack

_LIMIT = 5 * 1024**3  # of one PutObject; a multipart upload would not tell the version that names the batch


@dataclass(frozen=True, slots=True)
class Upload:
    """An object version in the inbox, and the batch that it becomes."""

    batch_id: str
    bucket: str
    key: str
    version: str


def submit(stack: Stack, path: Path, recipe_name: str = "") -> Upload:
    """Check a file as far as its header shows, and stream it into the inbox folder of its recipe.

    Raises:
        UsageError: when the file is not there.
        NotFoundError: when there is no such recipe.
        RejectedError: when the stack would reject the file.
    """
    recipe = read_recipe(stack, recipe_name) if recipe_name else Recipe()
    check_file(path, recipe)
    return upload(stack, path, f"{recipe_name}/{path.name}" if recipe_name else path.name)


def upload(stack: Stack, path: Path, key: str) -> Upload:
    """Stream a file into the inbox, by the one plain request that any S3 client would make.

    Raises:
        CommandError: when the bucket keeps no versions, so that nobody can tell what the batch is called.
    """
    with path.open("rb") as body:
        answer = stack.s3().put_object(Bucket=stack.inbox_bucket, Key=key, Body=body)
    version = answer.get("VersionId")
    if version is None:
        raise CommandError(
            f"{path.name} is uploaded, but the inbox bucket does not keep versions, which batches are named after. "
            "Switch versioning on again with `make deploy`, and submit again."
        )
    return Upload(batch_id_for(key, version), stack.inbox_bucket, key, version)


def check_file(path: Path, recipe: Recipe) -> None:
    """Refuse a file that the splitter would reject as a whole. Single rows are the splitter's business.

    Raises:
        UsageError: when it is not there, not a file or too large.
        RejectedError: when it is no table, or its header lacks what pictures need.
    """
    if not path.exists():
        raise UsageError(f"There is no file {path}.")
    if not path.is_file():
        raise UsageError(f"{path} is not a file.")
    if path.stat().st_size > _LIMIT:
        raise UsageError(f"{path} is larger than 5 GB, the most that S3 takes in one request. Split it.")
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
    try:
        table = read_table(head, path.name)
        RowPlanner(table.header, recipe, load_catalog())
    except InputError as error:
        raise RejectedError(f"{path} was not uploaded. {_capital(str(error))}") from error
    if not head[table.start.offset :].strip() and len(head) < HEAD_BYTES:
        raise RejectedError(f"{path} was not uploaded. {NO_ROWS}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
