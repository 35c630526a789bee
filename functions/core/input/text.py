"""Text and numbers as people type them into cells, in the one form that the rest of the core compares."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

# At most 15 digits: more is a pasted barcode, never a size or a seed, and int() of a huge text is slow.
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}(?:[.,]0*)?")
# A decimal comma is what a German or French Excel writes. Three digits after a comma may be thousands:
# refused.
_DECIMAL = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15}|,[0-9]{1,2})?")


def normalize_text(text: str) -> str:
    """NFC, every run of white space (line breaks and no-break spaces too) one space, none at the ends."""
    if text.isascii():
        return " ".join(text.split())
    return " ".join(unicodedata.normalize("NFC", text).split())


def column_key(name: str) -> str:
    """The form in which two names of columns are compared: `" body  (HTML)"` and `"Body (html)"` are one."""
    return normalize_text(name).casefold()


def field_key(name: str) -> str:
    """Like `column_key`, and `Negative Prompt`, `negative-prompt` and `negative_prompt` are one too."""
    return column_key(name).replace(" ", "_").replace("-", "_")


def whole_number(text: str) -> int:
    """`"1024"`, `" 1024.0 "` and `"+1024"` are 1024. Raises ValueError for anything else."""
    stripped = text.strip()
    if not _WHOLE.fullmatch(stripped):
        raise ValueError(f"{shorten(text)!r} is not a whole number")
    return int(re.split("[.,]", stripped)[0])


def decimal_number(text: str) -> Decimal:
    """`"3.50"` and `"3,5"` are 3.5. Raises ValueError for anything else."""
    stripped = text.strip()
    if not _DECIMAL.fullmatch(stripped):
        raise ValueError(f"{shorten(text)!r} is not a number")
    return Decimal(stripped.replace(",", "."))


def canonical_decimal(number: Decimal) -> str:
    """The shortest plain notation: 3.50 is `"3.5"`, 1E+2 is `"100"`, -0 is `"0"`."""
    if not number.is_finite():
        raise ValueError(f"{number} is not a finite number")
    plain = format(number, "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in ("-0", "") else plain


def clip(text: str, limit: int) -> str:
    """The text itself, or as much of it as `limit` characters hold, the last of them an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shorten(text: str, limit: int = 40) -> str:
    """Text that fits in a message: normalized, cut with an ellipsis after `limit` characters."""
    return clip(normalize_text(text), limit + 1)


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """`"; did you mean 'width'?"` where a known name is near, else the empty text."""
    names = list(known)
    close = difflib.get_close_matches(column_key(wanted), [column_key(name) for name in names], n=1, cutoff=0.6)
    nearest = [name for name in names if column_key(name) in close]
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def listing(names: Iterable[str], limit: int = 12) -> str:
    """`'a', 'b' and 'c'`; of long lists the first names and how many more there are."""
    quoted = [repr(shorten(name)) for name in names]
    if len(quoted) > limit:
        return f"{', '.join(quoted[:limit])} and {len(quoted) - limit} more"
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1]))) if quoted else "none"
