"""Recipes: what a folder of the inbox says once."""

from decimal import Decimal
from pathlib import Path

import pytest

from functions.core.input.errors import RecipeError
from functions.core.input.recipe import PictureDefaults, Recipe, parse_recipe
from functions.core.input.template import Template

EVENTS = Path(__file__).parents[3] / "events"


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError, match="Recipe 'shop'") as refusal:
        parse_recipe("shop", text)
    return refusal.value.problems


def test_an_empty_recipe_says_nothing() -> None:
    assert parse_recipe("shop", "") == Recipe(name="shop")


def test_everything_a_recipe_can_say_is_read() -> None:
    recipe = parse_recipe(
        "shop",
        """
        template = "product photo of {Title}"
        picture_name = "{Handle}"
        deadline_hours = 1.5

        [defaults]
        model = " flux-schnell "
        negative_prompt = "people,  text"
        width = 768
        height = 512
        seed = 0
        steps = 4
        guidance = 3.50
        format = "JPG"
        variants = 2
        """,
    )
    assert recipe == Recipe(
        name="shop",
        template=Template(("product photo of ", ""), ("Title",)),
        picture_name=Template(("", ""), ("Handle",)),
        deadline_hours=1.5,
        defaults=PictureDefaults("flux-schnell", "people, text", 768, 512, 0, 4, Decimal("3.5"), "jpeg", 2),
    )


def test_the_deadline_is_six_hours_unless_it_says_otherwise() -> None:
    assert parse_recipe("shop", "").deadline_hours == 6


def test_the_sample_recipe_is_valid() -> None:
    recipe = parse_recipe("catalogue", (EVENTS / "recipes" / "catalogue.toml").read_text(encoding="utf-8"))
    assert recipe.template == Template.parse("product photo of {Title}, studio light")
    assert recipe.picture_name == Template.parse("{Handle}")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("templat = 'x'", ["'templat'", "did you mean 'template'?"]),
        ("width = 512", ["'width' is not a key", "known: template, picture_name, deadline_hours, defaults"]),
        ("[defaults]\nwith = 512", ["'defaults.with'", "did you mean 'width'?"]),
        ("template = 'a {Title'", ["'template'", "character 3"]),
        ("template = ' '", ["'template'", "empty"]),
        ("template = 5", ["'template'", "5 is not text"]),
        ("picture_name = '{}'", ["'picture_name'", "names no column"]),
        ("deadline_hours = 0", ["'deadline_hours'", "at most 168"]),
        ("deadline_hours = 169", ["'deadline_hours'", "at most 168"]),
        ("deadline_hours = '6'", ["'deadline_hours'", "'6' is not a number"]),
        ("deadline_hours = nan", ["'deadline_hours'"]),
        ("defaults = 5", ["'defaults' is not a table"]),
        ("[defaults]\nwidth = '512'", ["'defaults.width'", "'512' is not a whole number"]),
        ("[defaults]\nwidth = -5", ["'defaults.width'", "width -5"]),
        ("[defaults]\nseed = true", ["'defaults.seed'", "not a whole number"]),
        ("[defaults]\nguidance = nan", ["'defaults.guidance'", "is not a number"]),
        ("[defaults]\nguidance = 101", ["'defaults.guidance'", "outside 0 to 100"]),
        ("[defaults]\nformat = 'gif'", ["'defaults.format'", "jpeg, png or webp"]),
        ("[defaults]\nvariants = 0", ["'defaults.variants'", "outside 1 to 100"]),
        ("[defaults]\nvariant = 1", ["'defaults.variant' is not a key"]),
        ("[defaults\n", ["not TOML", "line 1"]),
    ],
)
def test_a_wrong_key_is_named_with_what_to_do(text: str, parts: list[str]) -> None:
    (problem,) = problems_of(text)
    assert [part for part in parts if part not in problem] == []


def test_all_that_is_wrong_is_reported_at_once() -> None:
    assert len(problems_of("templat = 'x'\n[defaults]\nwidth = 0\nformat = 'gif'\nsize = 3")) == 4
