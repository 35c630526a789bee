"""What may stand in the columns that describe a picture, whether a row or a recipe says it.

Bounds that hold for every model are here; size, formats and honoured parameters come from the catalog.
Whatever is wrong is a ValueError with a sentence fragment for the person who wrote it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from functions.core.input.text import decimal_number, normalize_text, shorten, whole_number

_Number = TypeVar("_Number", int, Decimal)

PROMPT_LIMIT = 10_000
"""Characters of the longest prompt and negative prompt."""

MAX_VARIANTS = 100
MAX_SEED = 2**31 - 1
"""Providers take seeds as signed 32-bit numbers; their -1 for "any seed" is an empty cell here."""

FORMATS = ("jpeg", "png", "webp")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers that a field may have, both ends included, and how to fix one that is not among them."""

    low: int
    high: int
    advice: str


WHOLE_NUMBERS = {
    "width": Bounds(1, 100_000, "give the width in pixels, for example 1024"),
    "height": Bounds(1, 100_000, "give the height in pixels, for example 1024"),
    "seed": Bounds(0, MAX_SEED, "give a whole number such as 42, or leave it empty for any seed"),
    "steps": Bounds(1, 100, "give a whole number such as 4, or leave it empty"),
    "variants": Bounds(1, MAX_VARIANTS, "give the number of pictures of this row, such as 3"),
    "variant": Bounds(0, MAX_VARIANTS - 1, "give the number of one variant, counted from 0"),
}
_GUIDANCE = Bounds(0, 100, "give a number such as 3.5, or leave it empty")


def parse_whole(field: str, text: str) -> int:
    """The number of a cell; width and height may still be outside what a model can make."""
    try:
        number = whole_number(text)
    except ValueError as error:
        raise ValueError(f"{field} {error}; {WHOLE_NUMBERS[field].advice}") from None
    return number if field in ("width", "height") else check_whole(field, number)


def check_whole(field: str, number: int) -> int:
    """The number itself when it lies within the field's bounds."""
    return _within(field, number, WHOLE_NUMBERS[field])


def parse_guidance(text: str) -> Decimal:
    """The guidance of a cell."""
    try:
        number = decimal_number(text)
    except ValueError as error:
        raise ValueError(f"guidance {error}; {_GUIDANCE.advice}") from None
    return check_guidance(number)


def check_guidance(number: Decimal) -> Decimal:
    """The number itself when it lies within 0 to 100."""
    return _within("guidance", number, _GUIDANCE)


def parse_format(text: str) -> str:
    """`jpeg`, `png` or `webp`, in any case, `jpg` too."""
    name = normalize_text(text).lower().lstrip(".")
    name = "jpeg" if name == "jpg" else name
    if name not in FORMATS:
        raise ValueError(f"format {shorten(text)!r} is not known; write {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    return name


def check_length(field: str, text: str) -> str:
    """The normalized text when it is not too long."""
    normal = normalize_text(text)
    if len(normal) > PROMPT_LIMIT:
        raise ValueError(f"the {field} has {len(normal):,} characters; shorten it to {PROMPT_LIMIT:,} at most")
    return normal


def _within(field: str, number: _Number, bounds: Bounds) -> _Number:
    if not bounds.low <= number <= bounds.high:
        raise ValueError(f"{field} {number} is outside {bounds.low} to {bounds.high}; {bounds.advice}")
    return number
