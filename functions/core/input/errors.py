"""What can be wrong with input.

Problem               one thing wrong with one row: reported, never raised, the other rows go on
InputError            the file or the recipe as a whole cannot be used: the batch ends as rejected
├── UnreadableFileError   its bytes are no table
├── UnusableFileError     a table, but not one that this recipe and this catalog can make pictures of
├── TemplateError         a template's text is malformed
└── RecipeError           a recipe's TOML is malformed or says something impossible
"""

from collections.abc import Sequence
from dataclasses import dataclass

from functions.core.input.text import clip

NO_ROWS = "The file has a header but no rows below it; add one row for each picture."

REASON_LIMIT = 2_000
"""Characters of the longest reason why a file or a recipe cannot be used."""

_COLUMN_LIMIT, _MESSAGE_LIMIT = 200, 600


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one row.

    line: physical line in the file from 1, where the fault lies; column: the header's name, empty where it is
    the row as a whole; message: a sentence fragment with what is wrong and what to do. Both texts are cut where they
    are too long for the records and cells that they go to.
    """

    line: int
    column: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "column", clip(self.column, _COLUMN_LIMIT))
        object.__setattr__(self, "message", clip(self.message, _MESSAGE_LIMIT))


class InputError(Exception):
    """Base of what makes a whole file or recipe unusable. Its text is for the person who sent it."""


class UnreadableFileError(InputError):
    """Raised when a file's bytes cannot be read as a table; line and column (character) count from 1."""

    def __init__(self, reason: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"Line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


class UnusableFileError(InputError):
    """Raised when a table lacks what its pictures need, such as a prompt column; names every reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(first_few(reasons))
        self.reasons = tuple(reasons)


class TemplateError(InputError):
    """Raised when a template's text is malformed; position is the character, from 1."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"character {position}: {reason}")
        self.position = position


class RecipeError(InputError):
    """Raised when a recipe cannot be used; problems are sentences that each name a key."""

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        super().__init__(f"Recipe {clip(name, _COLUMN_LIMIT)!r}: {first_few(problems)}")
        self.problems = tuple(problems)


def first_few(sentences: Sequence[str]) -> str:
    """The first sentences that fit into a reason, and how many more there are."""
    shown = list(sentences[:1])
    for sentence in sentences[1:]:
        if sum(map(len, shown)) + len(sentence) > REASON_LIMIT // 2:
            break
        shown.append(sentence)
    rest = len(sentences) - len(shown)
    shown = [clip(sentence, REASON_LIMIT // 2) for sentence in shown]
    return " ".join([*shown, f"And {rest} more."] if rest else shown)
