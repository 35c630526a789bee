"""Colours of the drawn pictures. A prompt that names a colour gets it, so that a person finds its picture."""

import re
from dataclasses import dataclass
from random import Random

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """A background from ``top`` to ``bottom``, shapes in ``accents``, a caption of ``paper`` on ``ink``."""

    top: Colour
    bottom: Colour
    accents: tuple[Colour, ...]
    ink: Colour
    paper: Colour


def _palette(*codes: str) -> Palette:
    top, bottom, *accents, ink, paper = (_rgb(code) for code in codes)
    return Palette(top, bottom, tuple(accents), ink, paper)


def _rgb(code: str) -> Colour:
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


_PALETTES = {
    "red": _palette("f7d6c4", "e85d4e", "b3202c", "ff8a5c", "fff1e0", "6d1024", "3a0b17", "fff4ec"),
    "orange": _palette("ffe3b8", "f6933f", "d95a1b", "ffc04d", "fff6e5", "8c3410", "40190b", "fff5e6"),
    "yellow": _palette("fff3b8", "f7c331", "e89b12", "fff9df", "f26b38", "6b5a1e", "3b2c07", "fff9e3"),
    "green": _palette("dff0cf", "6fb36b", "2f7d4f", "b9dd7c", "f7f6d8", "1c5a45", "0e2f26", "f2f9ec"),
    "teal": _palette("d3f1ea", "3aa9a0", "0f7278", "8fdcc6", "ffe9c9", "f2785c", "07333a", "effaf7"),
    "blue": _palette("d5e7fb", "4c8fe0", "1f55b5", "8fc4ff", "fff3d6", "ffb259", "0c2350", "eff6ff"),
    "navy": _palette("39507f", "131c3f", "5f7fc4", "f2c14e", "e9eefb", "27366b", "0a1026", "f0f3fc"),
    "purple": _palette("ead9fb", "8a5cd1", "5a2ca0", "c79bf2", "ffe1ef", "ff8f6b", "2a1150", "f7f0ff"),
    "pink": _palette("ffe1ea", "f284a8", "d1396f", "ffb9cd", "fff3ee", "8f2a5e", "4a0f2e", "fff1f5"),
    "brown": _palette("f0e0cc", "b98255", "7c4a27", "dcb387", "fbf3e6", "5a3a52", "33200f", "faf3ea"),
    "grey": _palette("eceff2", "9aa7b4", "5c6b7a", "c5ced6", "ffffff", "e8734a", "1f2830", "f5f7f9"),
    "black": _palette("4a4f5a", "14161b", "7a8190", "e0b354", "f1f1ee", "2d3038", "000000", "f6f4ee"),
    "white": _palette("ffffff", "dfe4ea", "c3ccd6", "f3ead9", "ffffff", "8fa6bd", "3a444f", "ffffff"),
}

_OTHER_NAMES = {
    "red": "scarlet crimson burgundy ruby",
    "orange": "coral copper amber terracotta",
    "yellow": "gold golden mustard",
    "green": "olive emerald mint",
    "teal": "turquoise cyan aqua",
    "blue": "azure denim",
    "navy": "indigo",
    "purple": "violet lavender",
    "pink": "magenta rose",
    "brown": "beige tan wooden leather",
    "grey": "gray silver",
    "white": "ivory cream",
}

_BY_WORD = _PALETTES | {word: _PALETTES[name] for name, words in _OTHER_NAMES.items() for word in words.split()}
_WORD = re.compile(r"[a-z]+")


def choose(prompt: str, chance: Random) -> Palette:
    """The palette of the first colour that the prompt names, else any."""
    for word in _WORD.findall(prompt.lower()):
        if word in _BY_WORD:
            return _BY_WORD[word]
    return chance.choice(list(_PALETTES.values()))
