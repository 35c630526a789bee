"""Recipes: what a folder of the inbox says once, so that an upload to it needs no flags.

    template = "product photo of {Title}, studio light"     the prompt, over the columns of a row
    picture_name = "{Handle}"                               names the pictures; else the sku or id column does
    deadline_hours = 6                                      soft deadline of its batches

    [defaults]                                              what holds where a row says nothing
    width = 768
    format = "png"

Every key may be left out.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from functions.core.input.errors import RecipeError, TemplateError
from functions.core.input.fields import (
    WHOLE_NUMBERS,
    check_guidance,
    check_length,
    check_whole,
    parse_format,
)
from functions.core.input.template import Template
from functions.core.input.text import did_you_mean, normalize_text

DEFAULT_DEADLINE_HOURS = 6.0
_MAX_DEADLINE_HOURS = 168  # unsubmitted jobs expire after seven days
_KEYS = ("template", "picture_name", "deadline_hours", "defaults")


@dataclass(frozen=True, slots=True)
class PictureDefaults:
    """What holds for a row that leaves the column out or its cell empty; None: nothing is said."""

    model: str | None = None
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: Decimal | None = None
    format: str | None = None
    variants: int | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A folder's template and defaults. `Recipe()` is an upload without one: its name is empty."""

    name: str = ""
    template: Template | None = None
    picture_name: Template | None = None
    deadline_hours: float = DEFAULT_DEADLINE_HOURS
    defaults: PictureDefaults = field(default_factory=PictureDefaults)


def parse_recipe(name: str, text: str) -> Recipe:
    """Read a recipe from TOML. Raises RecipeError with every problem, each naming its key."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(name, [f"this is not TOML: {error}."]) from error
    table = document.pop("defaults", {})
    if not isinstance(table, dict):
        raise RecipeError(
            name, ["'defaults' is not a table; write [defaults] on a line of its own and the keys below."]
        )
    problems = _unknown_keys(document, _KEYS, "") + _unknown_keys(table, _DEFAULTS, "defaults.")
    values = _read(document, _TOP_LEVEL, "", problems)
    defaults = _read(table, _DEFAULTS, "defaults.", problems)
    if problems:
        raise RecipeError(name, problems)
    return Recipe(name=name, defaults=PictureDefaults(**defaults), **values)


def _read(
    table: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]], prefix: str, problems: list[str]
) -> dict[str, Any]:
    values = {}
    for key, value in table.items():
        if key in readers:
            try:
                values[key] = readers[key](value)
            except (ValueError, TemplateError) as error:
                problems.append(f"'{prefix}{key}': {str(error).rstrip('.')}.")
    return values


def _unknown_keys(table: Mapping[str, Any], known: Any, prefix: str) -> list[str]:
    listed = ", ".join(known)
    return [
        f"'{prefix}{key}' is not a key of a recipe{did_you_mean(key, known)} (known: {listed})."
        for key in table
        if key not in known
    ]


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; put it in quotes")
    if not value.strip():
        raise ValueError("the text is empty; remove the key or fill it in")
    return value


def _template(value: Any) -> Template:
    return Template.parse(_string(value))


def _whole(key: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{value!r} is not a whole number; write it without quotes")
        return check_whole(key, value)

    return read


def _number(value: Any) -> Decimal:
    if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number; write it without quotes")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{number} is not a number that can be used; write one such as 3.5")
    return number


def _deadline(value: Any) -> float:
    hours = _number(value)
    if not 0 < hours <= _MAX_DEADLINE_HOURS:
        raise ValueError(f"{hours} hours is not more than 0 and at most {_MAX_DEADLINE_HOURS}")
    return float(hours)


_TOP_LEVEL: Mapping[str, Callable[[Any], Any]] = {
    "template": _template,
    "picture_name": _template,
    "deadline_hours": _deadline,
}
_DEFAULTS: Mapping[str, Callable[[Any], Any]] = {
    "model": lambda value: normalize_text(_string(value)),
    "negative_prompt": lambda value: check_length("negative_prompt", _string(value)),
    **{key: _whole(key) for key in WHOLE_NUMBERS if key != "variant"},
    "guidance": lambda value: check_guidance(_number(value)),
    "format": lambda value: parse_format(_string(value)),
}
