"""The header line: which columns a file has and which of them describe the picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from functions.core.input.errors import UnreadableFileError
from functions.core.input.text import column_key, field_key, shorten

PICTURE_COLUMNS = (
    "prompt",
    "negative_prompt",
    "model",
    "width",
    "height",
    "seed",
    "steps",
    "guidance",
    "format",
    "variants",
    "variant",
    "edition",
)
NAME_COLUMNS = ("sku", "id")
"""Columns that name a row's pictures where the recipe does not, in order of preference."""
PARAMETER_PREFIX = "params."
NAME_LIMIT = 200
"""Characters of the longest name of a column: it stands in messages and in the results' header."""


@dataclass(frozen=True)
class Header:
    """Names of the columns as the file spells them, and look-up in any case.

    Raises UnreadableFileError where a name is too long, or where a column that means something to us stands there
    twice: nobody can say which one counts.
    """

    names: tuple[str, ...]
    line: int = 1
    _by_key: Mapping[str, list[int]] = field(init=False, repr=False, compare=False)
    _by_field: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_key: dict[str, list[int]] = {}
        by_field: dict[str, int] = {}
        for position, name in enumerate(self.names):
            if len(name) > NAME_LIMIT:
                raise UnreadableFileError(
                    f"the name of column {position + 1}, {shorten(name)!r}, has {len(name):,} characters; "
                    f"shorten it to {NAME_LIMIT} at most.",
                    self.line,
                )
            by_key.setdefault(column_key(name), []).append(position)
            key = field_key(name)
            if key not in PICTURE_COLUMNS + NAME_COLUMNS and not key.startswith(PARAMETER_PREFIX):
                continue
            if key in by_field:
                raise UnreadableFileError(
                    f"the column {name!r} is there twice, as number {by_field[key] + 1} and as number "
                    f"{position + 1}; rename or remove one of them.",
                    self.line,
                )
            by_field[key] = position
        object.__setattr__(self, "_by_key", by_key)
        object.__setattr__(self, "_by_field", by_field)

    def positions(self, name: str) -> Sequence[int]:
        """Where columns of that name stand, counted from 0; case and white space make no difference."""
        return self._by_key.get(column_key(name), ())

    def find_field(self, name: str) -> int | None:
        """Where a column of PICTURE_COLUMNS or NAME_COLUMNS stands, counted from 0."""
        return self._by_field.get(name)

    def parameters(self) -> Mapping[str, int]:
        """`params.*` columns: the name after the prefix, in lower case, and where it stands."""
        prefix = len(PARAMETER_PREFIX)
        return {key[prefix:]: at for key, at in self._by_field.items() if key.startswith(PARAMETER_PREFIX)}

    def name_at(self, position: int) -> str:
        """The file's name of a column, `column 7` where the header has none there."""
        name = self.names[position] if position < len(self.names) else ""
        return name or f"column {position + 1}"
