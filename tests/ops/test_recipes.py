from pathlib import Path

import pytest

from ops.errors import NotFoundError, UsageError
from ops.recipes import list_recipes, put_recipe, read_recipe, recipe_text, remove_recipe
from ops.stack import Stack

TEXT = 'template = "photo of {Title}"\n'


def recipe_file(folder: Path, text: str = TEXT, name: str = "catalogue.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_recipe_is_kept_as_it_was_put(stack: Stack, tmp_path: Path) -> None:
    assert put_recipe(stack, recipe_file(tmp_path, "# ours\n" + TEXT), None) == "catalogue"

    assert recipe_text(stack, "catalogue") == "# ours\n" + TEXT
    assert read_recipe(stack, "catalogue").name == "catalogue"
    assert stack.metadata().get("recipes/catalogue.toml") is not None


def test_recipes_are_listed_by_the_alphabet(stack: Stack, tmp_path: Path) -> None:
    assert list_recipes(stack) == []

    for name in ("spring", "autumn"):
        put_recipe(stack, recipe_file(tmp_path), name)

    assert list_recipes(stack) == ["autumn", "spring"]


def test_a_removed_recipe_is_gone(stack: Stack, tmp_path: Path) -> None:
    put_recipe(stack, recipe_file(tmp_path), None)

    remove_recipe(stack, "catalogue")

    assert list_recipes(stack) == []
    with pytest.raises(NotFoundError, match="none yet"):
        remove_recipe(stack, "catalogue")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("template = ", "TOML"),
        ('tempalte = "{Title}"', "template"),
        ("[defaults]\nwidth = -5", "width"),
        ('[defaults]\nmodel = "flux-schnel"', "flux-schnell"),
        ("# " + "x" * 70_000, "64 KiB"),
    ],
)
def test_a_recipe_that_cannot_work_is_not_stored(stack: Stack, tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        put_recipe(stack, recipe_file(tmp_path, text), None)
    assert list_recipes(stack) == []


@pytest.mark.parametrize("name", ["", "a/b", "..", "Frühling", "a b", "-a"])
def test_a_name_that_makes_no_good_folder_is_refused(stack: Stack, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a recipe"):
        put_recipe(stack, recipe_file(tmp_path), name)


def test_a_recipe_file_that_is_not_there_is_a_sentence(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        put_recipe(stack, tmp_path / "nothing.toml", None)
