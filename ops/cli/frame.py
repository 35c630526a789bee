"""What every command shares: the options that name the stack, how errors end a command, where text goes.

Answers go to standard output, JSON alone with `--json`; everything else goes to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from ops.aws_errors import explain
from ops.cli.signals import orderly_end
from ops.cli.terminal import Terminal
from ops.errors import CommandError, UsageError
from ops.stack import DEFAULT_STACK, Stack, find_stack

_WIDTH_OF_A_FILE = 160  # columns of what goes to a file or a pipe, where nobody's window is too narrow

stdout = Terminal(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
stderr = Terminal(stderr=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]

_STACK_OPTIONS = ("--stack", "--profile", "--region")


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Which stack a command is for, as the options before its name say."""

    stack: str = DEFAULT_STACK
    profile: str | None = None
    region: str | None = None


class CommandGroup(TyperGroup):
    """Takes the stack's options after a command's name too, and ends a command that failed with a sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Group.parse_args`."""
        return super().parse_args(ctx, stack_options_first(args))

    def invoke(self, ctx: Any) -> Any:
        """See `click.Group.invoke`."""
        try:
            with orderly_end():
                return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output has enough of it: Typer ends quietly
            raise
        except typer.Abort:  # Ctrl-C, or the end of the input, in place of an answer
            stderr.print("\nNothing was changed.")
            raise typer.Exit(130) from None
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            end_with(explained)


def stack_options_first(args: list[str]) -> list[str]:
    """The arguments with --stack, --profile and --region in front, where the parser wants them."""
    first: list[str] = []
    rest: list[str] = []
    remaining = iter(args)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument.startswith(tuple(f"{option}=" for option in _STACK_OPTIONS)):
            first.append(argument)
        elif argument in _STACK_OPTIONS:
            value = next(remaining, None)
            if value is None:
                rest.append(argument)
            else:
                first += [argument, value]
        else:
            rest.append(argument)
    return first + rest


def paragraphs(command: Callable[..., None]) -> str:
    """A command's description as Typer wants it: a line for each paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in (command.__doc__ or "").split("\n\n"))


def end_with(error: CommandError) -> NoReturn:
    """Say what went wrong on standard error, and end with its exit code."""
    stderr.print(str(error), style="red", markup=False, soft_wrap=True)
    raise typer.Exit(error.exit_code)


def connect(context: typer.Context) -> Stack:
    """The stack that the command is for.

    Raises:
        NotFoundError: when there is no such stack.
    """
    options: StackOptions = context.obj
    return find_stack(
        options.stack,
        profile=options.profile,
        region=options.region,
        notice=lambda line: stderr.print(line, style="dim", markup=False, soft_wrap=True),
    )


def embedded_stack(context: typer.Context) -> str:
    """The stack's name for a command that is for the embedded AWS alone.

    Raises:
        UsageError: when an AWS account is named.
    """
    options: StackOptions = context.obj
    if options.profile is not None or options.region is not None:
        raise UsageError("This command is for the embedded AWS; --profile and --region name an AWS account.")
    return options.stack


def is_interactive() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty()


def print_json(answer: Any) -> None:
    """Print an answer as JSON; amounts of money become JSON numbers."""
    typer.echo(json.dumps(answer, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
