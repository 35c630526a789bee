"""The ``imagebatch`` command."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from ops.cli import control, demo, held, key, lanes, local, recipe, results, status, submit
from ops.cli.frame import CommandGroup, StackOptions, paragraphs
from ops.errors import EXIT_CODES
from ops.stack import DEFAULT_STACK

app = typer.Typer(
    name="imagebatch",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # a traceback must not show a provider's key
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="[bold]Exit codes[/bold]\n" + "\n".join(f"{code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()),
)
for command in (
    submit.submit,
    status.status,
    results.results,
    control.pause,
    control.resume,
    control.cancel,
):
    app.command(help=paragraphs(command))(command)
app.add_typer(lanes.app, name="lanes")
app.add_typer(held.app, name="held")
app.add_typer(recipe.app, name="recipe")
app.add_typer(key.app, name="key")
app.command(help=paragraphs(demo.demo))(demo.demo)
app.add_typer(local.app, name="local")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"imagebatch {installed_version('imagebatch')}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    stack: Annotated[
        str,
        typer.Option(metavar="NAME", envvar="IMAGEBATCH_STACK", help="The stack's name."),
    ] = DEFAULT_STACK,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="AWS profile. Without it the embedded AWS if it runs, else the usual way."),
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="NAME", help="AWS region, if not the profile's.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A CSV of prompts becomes a folder of pictures, and the same picture is never paid for twice.

    [dim]imagebatch submit products.csv --wait[/dim]   then   [dim]imagebatch results BATCH --output pictures[/dim]
    """
    context.obj = StackOptions(stack, profile, region)
