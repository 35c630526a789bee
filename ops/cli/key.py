"""``imagebatch key``: the providers' keys, which never are an argument, since those show in the list of processes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ops.cli.frame import JsonOption, connect, print_json, stderr
from ops.errors import NotFoundError, UsageError
from ops.stack import Stack

app = typer.Typer(no_args_is_help=True, help="Keys of the image providers, kept in Secrets Manager.")


@app.command("set")
def set_key(
    context: typer.Context,
    account: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT", help="A provider account of the catalog, such as wavespeed.", show_default=False
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Store a provider's key. It is asked for without being shown, or read from standard input if that is a pipe."""
    stack = connect(context)
    secret = _secret(stack, account)
    key = _asked_for(account) if is_interactive() else sys.stdin.read().strip()
    if not key or not key.isprintable() or " " in key:
        raise UsageError("That is no key: it is empty, or has spaces or control characters in it. Nothing was stored.")
    stack.secrets_manager().put_secret_value(SecretId=secret, SecretString=key)
    if as_json:
        print_json({"account": account})
        return
    stderr.print(f"Stored the key of {account}. Workers take it up within a minute.", markup=False)


def is_interactive() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty()


def _asked_for(account: str) -> str:
    return str(typer.prompt(f"Key of {account}", hide_input=True, err=True)).strip()


def _secret(stack: Stack, account: str) -> str:
    if account not in stack.provider_secrets:
        known = ", ".join(sorted(stack.provider_secrets))
        raise NotFoundError(f"The stack '{stack.name}' has no provider account '{account}'; there is: {known}.")
    return stack.provider_secrets[account]
