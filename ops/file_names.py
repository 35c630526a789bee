"""Names for picture files: readable, unique, and possible on every operating system."""

from __future__ import annotations

import re
import unicodedata

_LONGEST = 60  # characters; a file system allows 255 bytes, and a character takes up to four
_NOT_WORD = re.compile(r"[^\w.+-]+|_")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}


def slug(text: str, longest: int = _LONGEST) -> str:
    """Text as a part of a file name: letters and digits of any script, `.`, `+` and `-`; empty if there are none."""
    words = _NOT_WORD.sub("-", unicodedata.normalize("NFC", text)).strip("-.+")
    return re.sub(r"([-.+])[-.+]+", r"\1", words)[:longest].strip("-.+")


class FileNames:
    """Gives out names, each once. What differs in case alone, or in accents' encoding, counts as the same."""

    def __init__(self, rows: int) -> None:
        """`rows`: how many rows there are, which is how wide their numbers are written."""
        self._digits = max(2, len(str(rows)))
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}

    def claim(self, row: int, name: str, prompt: str, extension: str) -> str:
        """The file name of a row's picture: after its own name, else its number and its prompt's first words."""
        stem = slug(name)
        if not stem:
            stem = "-".join(filter(None, (str(row).zfill(self._digits), slug(prompt.lower(), 40))))
        device, dot, rest = stem.partition(".")
        if device.casefold() in _RESERVED:  # Windows reads no further than the first dot
            stem = f"{device}-{dot}{rest}"
        key = self._key(stem)
        chosen, count = stem, self._last.get(key, 1)
        while self._key(chosen) in self._taken:
            count += 1
            chosen = f"{stem}-{count}"
        self._last[key] = count
        self._taken.add(self._key(chosen))
        return f"{chosen}.{extension}"

    @staticmethod
    def _key(stem: str) -> str:
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
