"""The drawn part of a picture: a few abstract scenes out of rectangles and smooth-edged discs.

Pillow draws rectangles quickly and discs with jagged edges, so discs are pasted through masks that are kept.
"""

from collections.abc import Callable
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw

from ops.sandbox.palettes import Colour, Palette

_SMOOTHING = 4  # masks are drawn this many times larger and reduced
_STEP = 16  # pixels; diameters are rounded to it so that few masks are made


def scene(width: int, height: int, palette: Palette, chance: Random) -> Image.Image:
    """A picture of that size; the same chance gives the same pixels."""
    image = _sky(width, height, palette)
    chance.choice(_SCENES)(image, palette, chance)
    return image


def _sky(width: int, height: int, palette: Palette) -> Image.Image:
    image = Image.new("RGB", (width, height), palette.bottom)
    pen = ImageDraw.Draw(image)
    for y in range(0, height, 2):
        pen.rectangle((0, y, width, y + 1), fill=_blend(palette.top, palette.bottom, y / height))
    return image


def _blend(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


@lru_cache(maxsize=192)
def _disc_mask(diameter: int, opacity: int) -> Image.Image:
    size = diameter * _SMOOTHING
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).ellipse((0, 0, size - 1, size - 1), fill=opacity)
    return mask.reduce(_SMOOTHING)


def _disc(image: Image.Image, centre: tuple[float, float], diameter: float, colour: Colour, opacity: int = 255) -> None:
    rounded = max(_STEP, round(diameter / _STEP) * _STEP)
    corner = (round(centre[0] - rounded / 2), round(centre[1] - rounded / 2))
    image.paste(colour, corner, _disc_mask(rounded, opacity))


def _sunset(image: Image.Image, palette: Palette, chance: Random) -> None:
    """A sun over bands of sea."""
    width, height = image.size
    horizon = height * chance.uniform(0.55, 0.7)
    diameter = min(width, height) * chance.uniform(0.5, 0.75)
    x = width * chance.uniform(0.3, 0.7)
    _disc(image, (x, horizon - diameter * 0.1), diameter * 1.25, palette.accents[2], 70)
    _disc(image, (x, horizon - diameter * 0.1), diameter, palette.accents[2])
    pen = ImageDraw.Draw(image)
    y, band, shade = horizon, height * 0.03, 0.0
    while y < height:
        pen.rectangle((0, round(y), width, height), fill=_blend(palette.accents[0], palette.ink, min(shade, 0.6)))
        y, band, shade = y + band, band * 1.45, shade + 0.13
    for _ in range(4):
        length, thick = width * chance.uniform(0.1, 0.3), max(2, round(height * 0.008))
        left, top = x + width * chance.uniform(-0.25, 0.12), horizon + height * chance.uniform(0.03, 0.3)
        pen.rectangle((left, top, left + length, top + thick), fill=palette.accents[1])


def _tiles(image: Image.Image, palette: Palette, chance: Random) -> None:
    """A wall of quarter circles."""
    width, height = image.size
    rows = chance.choice((2, 3))
    side = height // rows + (height % rows > 0)
    colours = (*palette.accents, palette.top, palette.bottom)
    for row in range(rows):
        for column in range(width // side + 1):
            ground, figure = chance.sample(colours, 2)
            left, top = column * side, row * side
            tile = Image.new("RGB", (side, side), ground)
            corner = chance.choice(((0, 0), (side, 0), (0, side), (side, side), (side // 2, side // 2)))
            _disc(tile, corner, side * (2 if corner[0] % side == 0 else 0.7), figure)
            image.paste(tile, (left, top))


def _bubbles(image: Image.Image, palette: Palette, chance: Random) -> None:
    """Translucent discs over each other."""
    width, height = image.size
    for number in range(7):
        centre = (width * chance.uniform(0.08, 0.92), height * chance.uniform(0.08, 0.92))
        diameter = min(width, height) * chance.uniform(0.22, 0.62)
        _disc(image, centre, diameter, palette.accents[number % 4], chance.choice((120, 165, 210)))


def _rings(image: Image.Image, palette: Palette, chance: Random) -> None:
    """Rings around a point, as on water."""
    width, height = image.size
    centre = (width * chance.uniform(0.3, 0.7), height * chance.uniform(0.35, 0.65))
    order = chance.sample(palette.accents, 4)
    diameter, number = min(width, height) * chance.uniform(0.85, 0.98), 0
    while diameter > 40:
        _disc(image, centre, diameter, order[number % 4])
        diameter *= chance.uniform(0.66, 0.78)
        number += 1


def _skyline(image: Image.Image, palette: Palette, chance: Random) -> None:
    """Towers with lit windows in front of a moon."""
    width, height = image.size
    moon = (width * chance.uniform(0.2, 0.8), height * chance.uniform(0.25, 0.4))
    _disc(image, moon, min(width, height) * chance.uniform(0.3, 0.45), palette.accents[2])
    pen = ImageDraw.Draw(image)
    for colour, tallest in ((palette.accents[1], 0.75), (palette.accents[0], 0.55), (palette.ink, 0.35)):
        x = -width * chance.uniform(0, 0.05)
        while x < width:
            wide, tall = width * chance.uniform(0.07, 0.14), height * tallest * chance.uniform(0.5, 1)
            pen.rectangle((round(x), round(height - tall), round(x + wide), height), fill=colour)
            window = wide / 7
            for column in range(3):
                if chance.random() < 0.7:
                    left, top = (
                        x + window * (1 + 2 * column),
                        height - tall + window * chance.choice((1, 3, 5)),
                    )
                    pen.rectangle((left, top, left + window, top + window * 1.3), fill=palette.accents[2])
            x += wide + width * chance.uniform(0.0, 0.03)


def _arches(image: Image.Image, palette: Palette, chance: Random) -> None:
    """Doors within doors."""
    width, height = image.size
    pen = ImageDraw.Draw(image)
    count = max(1, round(width / height * chance.choice((1, 2))))
    for number in range(count):
        x = width * (number + 0.5) / count
        wide = width / count * 0.82
        top = height * chance.uniform(0.1, 0.3)
        for colour in chance.sample((*palette.accents, palette.ink), 4):
            diameter = round(wide / _STEP) * _STEP
            left = round(x - diameter / 2)
            _disc(image, (left + diameter / 2, top + diameter / 2), diameter, colour)
            pen.rectangle((left, round(top + diameter / 2), left + diameter - 1, height), fill=colour)
            wide, top = wide * 0.7, top + height * 0.11


_SCENES: tuple[Callable[[Image.Image, Palette, Random], None], ...] = (
    _sunset,
    _tiles,
    _bubbles,
    _rings,
    _skyline,
    _arches,
)
