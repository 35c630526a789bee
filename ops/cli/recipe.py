"""``imagebatch recipe``: what a folder of the inbox says once, so that an upload to it needs no flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops import recipes
from ops.cli.frame import JsonOption, connect, print_json, stderr

app = typer.Typer(
    no_args_is_help=True,
    help="Recipes: a prompt template and defaults, used by every file that is uploaded to the folder of their name.",
    rich_markup_mode="rich",
    epilog="A recipe is a TOML file, for example:\n\n"
    '[dim]template = "product photo of {Title}, studio light"\npicture_name = "{Handle}"\n'
    "\\[defaults]\nwidth = 768[/dim]",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The recipe's name.", show_default=False)]


@app.command("put")
def put(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it, if not as the file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a recipe and store it. It holds for files that are uploaded from now on."""
    stack = connect(context)
    stored = recipes.put_recipe(stack, file, name)
    if as_json:
        print_json({"name": stored})
        return
    stderr.print(f"Stored the recipe '{stored}'. Use it: imagebatch submit FILE --recipe {stored}", markup=False)


@app.command("list")
def list_all(context: typer.Context, as_json: JsonOption = False) -> None:
    """Print the names of all recipes."""
    names = recipes.list_recipes(connect(context))
    if as_json:
        print_json({"recipes": names})
        return
    for name in names:
        typer.echo(name)
    if not names:
        stderr.print("There are no recipes yet; `imagebatch recipe put FILE` stores one.", markup=False)


@app.command("show")
def show(context: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Print a recipe as it was put."""
    text = recipes.recipe_text(connect(context), name)
    if as_json:
        print_json({"name": name, "text": text})
        return
    typer.echo(text, nl=not text.endswith("\n"))


@app.command("remove")
def remove(context: typer.Context, name: NameArgument, as_json: JsonOption = False) -> None:
    """Remove a recipe. Batches that were made with it do not change."""
    recipes.remove_recipe(connect(context), name)
    if as_json:
        print_json({"name": name})
        return
    stderr.print(f"Removed the recipe '{name}'.", markup=False)
