"""`{subject} in {style} style` over the columns of a row."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from functions.core.input.errors import TemplateError
from functions.core.input.header import Header
from functions.core.input.text import did_you_mean, listing, normalize_text

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and names of columns in turn: `texts[0] names[0] texts[1] … names[-1] texts[-1]`."""

    texts: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """`{name}` is a column of any name without braces, `{{` and `}}` are braces. Raises TemplateError."""
        texts = [""]
        names = []
        end = 0
        for token in _TOKEN.finditer(text):
            texts[-1] += text[end : token.start()]
            end = token.end()
            if token[0] in ("{{", "}}"):
                texts[-1] += token[0][0]
            elif token[1] is None:
                raise TemplateError(
                    f"'{token[0]}' has no partner; write {{Column}} for a column and "
                    f"'{token[0] * 2}' for the character itself.",
                    token.start() + 1,
                )
            elif not token[1].strip():
                raise TemplateError("'{}' names no column; write its name between the braces.", token.start() + 1)
            else:
                names.append(normalize_text(token[1]))
                texts.append("")
        texts[-1] += text[end:]
        return cls(tuple(texts), tuple(names))

    def misfits(self, header: Header) -> list[str]:
        """Sentences on columns of this template that the header does not have exactly once."""
        sentences = []
        for name in dict.fromkeys(self.names):
            places = header.positions(name)
            if not places:
                sentences.append(
                    f"The template needs a column {name!r}, which the file does not have"
                    f"{did_you_mean(name, header.names)}. It has {listing(header.names)}."
                )
            elif len(places) > 1:
                numbers = " and ".join(str(place + 1) for place in places)
                sentences.append(
                    f"The template needs the column {name!r}, which is there more than once "
                    f"(as number {numbers}); rename or remove all but one."
                )
        return sentences

    def columns(self, header: Header) -> tuple[int, ...]:
        """Where the named columns stand, counted from 0, in a header without misfits."""
        return tuple(header.positions(name)[0] for name in self.names)

    def fill(self, cells: Sequence[str], columns: Sequence[int]) -> str:
        """The text for one row; columns as `columns` gives them."""
        parts = [self.texts[0]]
        for column, text in zip(columns, self.texts[1:], strict=True):
            parts += (cells[column], text)
        return "".join(parts)
