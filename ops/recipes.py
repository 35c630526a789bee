"""The recipes of a stack: one TOML file each in the metadata bucket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from functions.core.batches.sheet import batch_recipe
from functions.core.catalog import load_catalog
from functions.core.input.errors import InputError
from functions.core.input.recipe import Recipe
from functions.core.input.text import did_you_mean, listing
from functions.core.keys import recipe_key
from ops.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from ops.stack import Stack

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")


def check_name(name: str) -> str:
    """A recipe's name is the name of an inbox folder, so it is kept to what every S3 client types without quoting.

    Raises:
        UsageError: when it is no such name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name a recipe: use small letters, digits, '-', '_' and '.', as in 'spring-catalogue'."
        )
    return name


def list_recipes(stack: Stack) -> list[str]:
    """The names of all recipes, by the alphabet."""
    prefix, suffix = recipe_key("\n").split("\n")
    pages = stack.s3().get_paginator("list_objects_v2").paginate(Bucket=stack.metadata_bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return sorted(key.removeprefix(prefix).removesuffix(suffix) for key in keys if key.endswith(suffix))


def recipe_text(stack: Stack, name: str) -> str:
    """A recipe as it was put.

    Raises:
        NotFoundError: when there is none of this name; names those there are.
    """
    body = stack.metadata().get(recipe_key(name))
    if body is None:
        raise NotFoundError(f"There is no recipe {name!r}. {_known(name, list_recipes(stack))}")
    return body.decode("utf-8")


def read_recipe(stack: Stack, name: str) -> Recipe:
    """A recipe, parsed.

    Raises:
        NotFoundError: when there is none of this name.
        UsageError: when what is stored there is no recipe.
    """
    return parse(name, recipe_text(stack, name))


def put_recipe(stack: Stack, path: Path, name: str | None) -> str:
    """Store a file as a recipe, replacing the one of that name; without a name it is called as the file.

    Raises:
        UsageError: when the file is not there or no recipe; nothing is stored.
    """
    name = check_name(name if name is not None else path.stem.lower())
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text; save it as UTF-8.") from error
    parse(name, text)
    stack.metadata().put(recipe_key(name), text.encode(), "application/toml")
    return name


def remove_recipe(stack: Stack, name: str) -> None:
    """Remove a recipe. Batches that used it are not changed.

    Raises:
        NotFoundError: when there is none of this name.
    """
    recipe_text(stack, name)
    stack.s3().delete_object(Bucket=stack.metadata_bucket, Key=recipe_key(name))


def parse(name: str, text: str) -> Recipe:
    """Read a recipe and see that its model is one there is.

    Raises:
        UsageError: with everything that is wrong with it.
    """
    try:
        recipe = batch_recipe(name, text)
    except InputError as error:
        raise UsageError(str(error)) from error
    model = recipe.defaults.model
    models = [known.name for known in load_catalog().enabled_models]
    if model is not None and model.lower() not in models:
        raise UsageError(f"Recipe '{name}': 'defaults.model' is '{model}'; there is: {', '.join(models)}.")
    return recipe


def _known(wanted: str, names: list[str]) -> str:
    if not names:
        return "There are none yet; `imagebatch recipe put FILE` stores one."
    return f"There is {listing(names)}{did_you_mean(wanted, names) or '.'}"
