"""``imagebatch lanes``: what each lane does, and what it is allowed."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from functions.core.catalog import load_catalog
from ops import lane_limits
from ops.cli.asking import agreed
from ops.cli.frame import JsonOption, connect, paragraphs, print_json, stderr, stdout
from ops.cli.lane_views import changes_view, lanes_view
from ops.errors import UsageError
from ops.lane_limits import AUTO, Limit
from ops.lanes import find_lane, overview, record
from ops.stack import Stack

_EVERY_SECONDS = 2.0
_OF_LANE, _OF_ACCOUNT = "Of the lane", "Of its provider account: for all its lanes together"


def lanes(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show each lane: how fast it goes, how many calls fail, what it costs and what holds it back.

    A lane is the queue and the workers of one model. It is running, idle (nothing to do), slowed (too many calls
    failed, so it gets fewer workers or images a minute until they succeed), paused, or off.

    Images/min: made in the last full minute / what may be started now. In flight: calls that the provider works on /
    the most that its account may have. Workers: at a time now / at most. Errors: share of the calls that failed by the
    provider in the last 5 minutes. 95 % within: how long nearly all pictures took, in the same minutes. Cost: of one
    picture, and of all, in the last hour. Waiting: messages in its queue. Dead: messages that were given up.
    """
    if context.invoked_subcommand is not None:
        if watch or as_json:
            raise UsageError(f"--watch and --json go behind the command: imagebatch lanes {context.invoked_subcommand}")
        return
    if watch and as_json:
        raise UsageError("--watch goes on showing a table; without it --json prints the lanes as they are now.")
    stack, catalog = connect(context), load_catalog()
    if as_json:
        print_json(record(overview(stack, catalog)))
    elif watch:
        _watch(stack)
    else:
        stdout.print(lanes_view(overview(stack, catalog)))


def set_limits(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The lane, by its model.", show_default=False)],
    rate: Annotated[
        str | None,
        typer.Option(
            metavar=f"N|{AUTO}",
            help="The most images a minute. The lane finds by itself what is possible below that.",
            show_default=False,
            rich_help_panel=_OF_LANE,
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            metavar=f"N|{AUTO}",
            help="The most workers at a time, 2 or more. How many work follows from the rate.",
            show_default=False,
            rich_help_panel=_OF_LANE,
        ),
    ] = None,
    in_flight: Annotated[
        str | None,
        typer.Option(
            metavar=f"N|{AUTO}",
            help="The most calls that the provider works on at a time, in place of the plan's.",
            show_default=False,
            rich_help_panel=_OF_ACCOUNT,
        ),
    ] = None,
    account_rate: Annotated[
        str | None,
        typer.Option(
            metavar=f"N|{AUTO}",
            help="Images a minute, in place of the plan's.",
            show_default=False,
            rich_help_panel=_OF_ACCOUNT,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Go beyond the plan without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a lane may have at most; `auto` takes back what was said. No deploy resets it.

    To stop a lane: imagebatch pause --lane MODEL
    """
    texts = {
        Limit.RATE: rate,
        Limit.WORKERS: workers,
        Limit.IN_FLIGHT: in_flight,
        Limit.ACCOUNT_RATE: account_rate,
    }
    wanted = {limit: lane_limits.parse(limit, text, model) for limit, text in texts.items() if text is not None}
    if not wanted:
        raise UsageError(f"Say what to set: {', '.join(list(Limit)[:-1])} or {list(Limit)[-1]}.")
    stack = connect(context)
    lane = find_lane(stack, load_catalog(), model)
    lane_limits.check(lane, wanted)
    warnings = list(lane_limits.warnings(lane, wanted))
    if warnings and not agreed(warnings, yes=yes):
        stderr.print("Nothing was changed.")
        return
    changes = lane_limits.change(stack, lane, wanted)
    if as_json:
        print_json(lane_limits.record(lane, changes))
    else:
        stdout.print(changes_view(lane, changes))
        stderr.print("It stays so until you change it; a deploy does not.", style="dim")


app = typer.Typer(rich_markup_mode="rich")
app.callback(invoke_without_command=True, help=paragraphs(lanes))(lanes)
app.command("set", help=paragraphs(set_limits))(set_limits)


def _watch(stack: Stack) -> None:
    """Show the lanes until Ctrl-C."""
    try:
        with Live(Text(""), console=stdout) as live:
            while True:
                live.update(lanes_view(overview(stack, load_catalog())))
                time.sleep(_EVERY_SECONDS)
    except KeyboardInterrupt:
        return
