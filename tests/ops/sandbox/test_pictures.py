"""Pictures that a person can tell apart and recognise, of exactly the size asked for."""

import io

import pytest
from PIL import Image, ImageChops

from ops.sandbox import pictures

PROMPTS = ["product photo of a lamp", "a cat in space", "a bowl of soup", "mountain lake at dawn"]


def _drawn(prompt: str, seed: int = 1, width: int = 512, height: int = 512, kind: str = "png") -> Image.Image:
    picture = Image.open(io.BytesIO(pictures.draw(prompt, seed, width, height, kind)))
    picture.load()
    return picture


def _difference(first: Image.Image, second: Image.Image) -> float:
    """Share of the pixels that differ so much that an eye sees it."""
    difference = ImageChops.difference(first.convert("RGB"), second.convert("RGB")).convert("L")
    return sum(difference.histogram()[24:]) / (first.width * first.height)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_same_input_gives_the_same_bytes(kind: str) -> None:
    first = pictures.draw("a lamp", 3, 640, 480, kind)
    pictures.draw.cache_clear()
    assert pictures.draw("a lamp", 3, 640, 480, kind) == first


def test_prompts_and_seeds_look_different() -> None:
    drawn = [_drawn(prompt, seed) for prompt in PROMPTS for seed in (1, 2)]
    differences = [_difference(a, b) for i, a in enumerate(drawn) for b in drawn[:i]]
    assert min(differences) > 0.1


def test_prompts_that_differ_in_one_word_differ_in_what_is_written() -> None:
    def caption(prompt: str) -> Image.Image:
        return _drawn(prompt).crop((0, 350, 512, 512)).convert("L").point(lambda level: 255 * (level > 160))

    assert ImageChops.difference(caption("a red cup"), caption("a red cap")).getbbox() is not None


def test_a_colour_named_in_the_prompt_is_the_colour_of_the_picture() -> None:
    def mean(prompt: str) -> tuple[int, int, int]:
        pixel = _drawn(prompt).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert isinstance(pixel, tuple)
        return pixel[0], pixel[1], pixel[2]

    for seed_word in ("bag", "shoe", "lamp"):
        red, green, blue = (mean(f"a {colour} {seed_word}") for colour in ("red", "green", "blue"))
        assert red[0] == max(red)
        assert green[1] == max(green)
        assert blue[2] == max(blue)


@pytest.mark.parametrize("size", [(256, 256), (1536, 1536), (256, 1536), (1536, 256), (1000, 701)])
def test_every_size_in_the_range_is_drawn_exactly(size: tuple[int, int]) -> None:
    for seed in range(6):  # each scene at least once or so
        assert _drawn("A " * 300, seed, *size, kind="jpeg").size == size


@pytest.mark.parametrize(
    "prompt",
    [
        "日本の庭園",
        "Чёрный кот",
        "مرحبا بالعالم",
        "😀🧵",
        "\u202e\u0000\ufeff",
        "e\u0301" * 50,
        "W" * 5000,
        " \n\t x",
        "—",
    ],
)
def test_any_text_can_be_drawn(prompt: str) -> None:
    assert _drawn(prompt).size == (512, 512)


def test_accents_and_typographic_signs_are_written_with_the_letters_there_are() -> None:
    assert pictures.draw("“Crème” – ½ × 2", 1, 256, 256, "png") != pictures.draw("????", 1, 256, 256, "png")
    written = _drawn("cafe").crop((0, 360, 512, 480))
    accented = _drawn("café").crop((0, 360, 512, 480))
    ink = [picture.convert("L").point(lambda level: 255 * (level > 160)).getbbox() for picture in (written, accented)]
    assert ink[0] == ink[1]
