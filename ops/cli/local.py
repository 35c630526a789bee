"""``imagebatch local``: the embedded AWS on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.frame import JsonOption, embedded_stack, stderr
from ops.errors import UsageError
from ops.local.instance import LocalInstance, stop
from ops.local.providers import Providers
from ops.local.state import default_directory

app = typer.Typer(no_args_is_help=True, help="An AWS embedded in this machine, with the stack on it.")

StateOption = Annotated[
    Path | None, typer.Option("--state", help="Where its state is kept; .imagebatch in this folder without it.")
]


@app.command()
def up(
    context: typer.Context,
    state: StateOption = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the embedded AWS; any free one without it.")
    ] = None,
    provider: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="Reach a provider elsewhere than at the sandbox.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Pay real providers, with the keys in WAVESPEED_API_KEY and the like.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start the embedded AWS and the sandbox provider, and deploy the stack; what an earlier run left is there."""
    stack = embedded_stack(context)
    providers = Providers(urls=dict(_name_and_url(text) for text in provider or []), live=live)
    instance = LocalInstance.start(
        state or default_directory(), port=port, stack=stack, providers=providers, step=show_step
    )
    if as_json:
        typer.echo(json.dumps(asdict(instance.record)))
        return
    stderr.print(f"The embedded AWS is at {instance.endpoint_url}, its state in {instance.state.path}.", soft_wrap=True)
    stderr.print("Stop it with `imagebatch local down`. Other AWS tools find it with this:")
    typer.echo("export " + " ".join(f"{name}={value}" for name, value in instance.environment().items()))


@app.command()
def down(context: typer.Context, state: StateOption = None) -> None:
    """Stop the embedded AWS and the sandbox provider. Their state stays for the next time."""
    embedded_stack(context)
    running = LocalInstance.find(state)
    directory = running.state.path if running else (state or default_directory())
    with show_step("Stopping the embedded AWS"):
        was_running = stop(directory)
    if not was_running:
        stderr.print(f"Nothing was running in {directory}.", soft_wrap=True)


@contextmanager
def show_step(what: str) -> Iterator[None]:
    """Show a step on standard error: a spinner while it lasts, a line when it is done."""
    begin = time.monotonic()
    with stderr.status(what):
        yield
    stderr.print(f"[green]✓[/green] {what} [dim]{time.monotonic() - begin:.1f} s[/dim]")


def _name_and_url(text: str) -> tuple[str, str]:
    name, separator, url = text.partition("=")
    if not separator:
        raise UsageError(f"--provider takes NAME=URL, as wavespeed=http://127.0.0.1:9000; {text!r} is not that.")
    return name, url
