"""Pictures drawn from prompt and seed: a scene above, the prompt's words typeset below, as on a poster.

Same input, same bytes (with the same Pillow). A person tells two of them apart and finds the row of each.
"""

import io
import unicodedata
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw, ImageFont

from ops.sandbox import compositions, palettes
from ops.sandbox.draws import uniform
from ops.sandbox.palettes import Palette

_CAPTION_SHARE = 0.34  # of the height
_FONT_SHARES = (0.25, 0.20, 0.165, 0.135, 0.11)  # of the caption, tried from large to small
_LEADING = 1.22
_SAVE: dict[str, dict[str, int]] = {
    "jpeg": {"quality": 88},
    "png": {"compress_level": 1},
    "webp": {"quality": 82, "method": 0},
}
_PLAIN = str.maketrans("’‘“”–—⁄×øł", "''\"\"--/xol") | {ord("ß"): "ss", ord("æ"): "ae"}


@lru_cache(maxsize=64)
def draw(prompt: str, seed: int, width: int, height: int, kind: str) -> bytes:
    """An encoded picture of ``width`` by ``height`` pixels; ``kind`` is jpeg, png or webp."""
    chance = Random(uniform(prompt, seed))  # noqa: S311 - a drawing, not cryptography
    palette = palettes.choose(prompt, chance)
    caption = round(height * _CAPTION_SHARE)
    image = Image.new("RGB", (width, height), palette.ink)
    image.paste(compositions.scene(width, height - caption, palette, chance), (0, 0))
    _typeset(image, height - caption, palette, prompt, f"{kind}  {width} x {height}  seed {seed}")
    encoded = io.BytesIO()
    image.save(encoded, kind, **_SAVE[kind])
    return encoded.getvalue()


def _typeset(image: Image.Image, top: int, palette: Palette, prompt: str, note: str) -> None:
    """The caption: an accent, the prompt in the largest type that fits, a small note."""
    width, height = image.size[0], image.size[1] - top
    margin = round(min(width, height * 3) * 0.06)
    scale = min(height, width * 0.45)  # a narrow picture has small type
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, top, width, top + max(2, height // 40)), fill=palette.accents[1])
    small = _font(max(9, round(scale * 0.07)))
    room = height - margin * 1.6 - small.size * 1.3
    lines, font = _fit(prompt, width - 2 * margin, scale, room)
    y = top + margin * 0.8
    for line in lines:
        pen.text((margin, round(y)), line, font=font, fill=palette.paper)
        y += font.size * _LEADING
    foot = (margin, round(top + height - margin * 0.6 - small.size))
    pen.text(foot, note, font=small, fill=palette.accents[1])


def _fit(prompt: str, width: float, scale: float, room: float) -> tuple[list[str], ImageFont.FreeTypeFont]:
    words = _drawable(prompt).split()[:60]
    for share in _FONT_SHARES:
        font = _font(max(10, round(scale * share)))
        lines = _wrap(words, font, width)
        if len(lines) * font.size * _LEADING <= room:
            return lines, font
    fitting = max(1, int(room / (font.size * _LEADING)))
    return [*lines[: fitting - 1], _shorten(lines[fitting - 1] + " ...", font, width)], font


def _drawable(text: str) -> str:
    """The text in ASCII, all that Pillow's own font holds: accents are dropped, other scripts become "?"."""
    plain = unicodedata.normalize("NFKD", text).translate(_PLAIN)
    return "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()


def _wrap(words: list[str], font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Greedy lines; a word that is wider than the line is cut into pieces."""
    space = font.getlength(" ")
    lines: list[str] = []
    used = 0.0
    for word in words:
        for piece in _pieces(word, font, width):
            length = font.getlength(piece)
            if lines and used + space + length <= width:
                lines[-1] += " " + piece
                used += space + length
            else:
                lines.append(piece)
                used = length
    return lines


def _pieces(word: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    letters = max(1, int(width / font.size))  # no letter is wider than the type is high
    if len(word) <= letters or font.getlength(word) <= width:
        return [word]
    return [word[i : i + letters] for i in range(0, min(len(word), letters * 8), letters)]


def _shorten(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    while font.getlength(line) > width and len(line) > 4:
        line = line[:-4] + "..."
    return line


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType; the wheels on PyPI have it.")
    return font
