"""``imagebatch key``: the providers' secrets, which are never an argument: those show in the list of processes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from ops.cli.frame import JsonOption, connect, is_interactive, print_json, stderr
from ops.errors import NotFoundError, UsageError
from ops.stack import Stack

app = typer.Typer(
    no_args_is_help=True, help="Keys and webhook secrets of the image providers, kept in Secrets Manager."
)


@app.command("set")
def set_key(
    context: typer.Context,
    account: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT", help="A provider account of the catalog, such as wavespeed.", show_default=False
        ),
    ],
    webhook: Annotated[
        bool,
        typer.Option(
            "--webhook",
            help="Store the secret that the provider signs its callbacks with (its console shows it, often as "
            "whsec_…), in place of the API key. Without it a callback is a hint to ask the provider, no proof.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Store a provider's key. It is asked for without being shown, or read from standard input if that is a pipe."""
    stack = connect(context)
    what = "webhook secret" if webhook else "key"
    secret = _secret(stack, account, stack.webhook_secrets if webhook else stack.provider_secrets)
    value = _asked_for(what, account) if is_interactive() else sys.stdin.read().strip()
    if not value or not value.isprintable() or " " in value:
        raise UsageError(
            f"That is no {what}: it is empty, or has spaces or control characters in it. Nothing was stored."
        )
    stack.secrets_manager().put_secret_value(SecretId=secret, SecretString=value)
    if as_json:
        print_json({"account": account})
        return
    stderr.print(f"Stored the {what} of {account}. It is taken up within a minute.", markup=False)


def _asked_for(what: str, account: str) -> str:
    return str(typer.prompt(f"{what.capitalize()} of {account}", hide_input=True, err=True)).strip()


def _secret(stack: Stack, account: str, secrets: Mapping[str, str]) -> str:
    if account not in secrets:
        known = ", ".join(sorted(secrets))
        raise NotFoundError(f"The stack '{stack.name}' has no provider account '{account}'; there is: {known}.")
    return secrets[account]
