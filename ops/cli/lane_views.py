"""Lanes as people read them in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from functions.core.jobs.records import timestamp
from functions.core.lanes.control import Intake
from ops.cli.views import dollars, moment
from ops.lane_limits import AUTO, Change, Limit
from ops.lanes import Lane, LaneState, Line, Overview

_UNKNOWN = "–"

_STYLES = {
    LaneState.RUNNING: "cyan",
    LaneState.IDLE: "dim",
    LaneState.SLOWED: "yellow",
    LaneState.PAUSED: "yellow",
    LaneState.OFF: "red",
}

_HEADINGS = (
    "Images/min\ndone/most",
    "In flight\nnow/most",
    "Workers\nnow/most",
    "Errors\n5 min",
    "95 %\nwithin",
    "Cost\neach",
    "Cost\n1 hour",
    "\nWaiting",
    "\nDead",
)

_WHAT = {
    Limit.RATE: "images a minute, at most",
    Limit.WORKERS: "workers at a time, at most",
    Limit.IN_FLIGHT: "calls in flight, at most",
    Limit.ACCOUNT_RATE: "images a minute",
}


def lanes_view(overview: Overview) -> RenderableType:
    """A line for each lane, and what is special about them; whether files are taken in."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\nLane", overflow="fold")
    table.add_column("\nState", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for lane in overview.lanes:
        table.add_row(Text(lane.model.name), Text(lane.state, style=_STYLES[lane.state]), *_figures(lane))
    notes = [Text(note) for note in (*_notes(overview), *_intake_notes(overview))]
    return Group(table, Text(""), *notes) if overview.lanes else Group(*notes)


def changes_view(lane: Lane, changes: Sequence[Change]) -> RenderableType:
    """What each limit was, is, and from when on it holds."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "Was", "Is", "Takes effect"):
        table.add_column(heading, overflow="fold")
    account = lane.model.account.name
    for change in changes:
        whose = f"all lanes of {account} together" if change.limit.of_account else lane.model.name
        table.add_row(
            Text(f"{whose}: {_WHAT[change.limit]}"),
            Text(_amount(lane, change.limit, change.before)),
            Text(_amount(lane, change.limit, change.after)),
            Text(_when(change)),
        )
    return table


def _figures(lane: Lane) -> Iterator[str]:
    lately, hour = lane.lately, lane.hour
    yield f"{lane.minute.pictures:,}/{_number(lane.rate)}"
    yield f"{lane.pace.in_flight:,}/{_known(lane.pace.most_in_flight(lane.model))}"
    yield f"{_known(lane.line.feed.workers)}/{lane.most_workers:,}"
    yield _UNKNOWN if lately.error_rate is None else f"{_number(100 * lately.error_rate)} %"
    yield _UNKNOWN if lately.p95_ms is None else f"{lately.p95_ms / 1000:,.1f} s"
    yield _UNKNOWN if hour.cost_per_picture is None else dollars(hour.cost_per_picture)
    yield dollars(hour.cost_usd)
    yield f"{lane.line.waiting:,}"
    yield f"{lane.line.dead_letters:,}"


def _number(amount: Decimal | float) -> str:
    """A number as people write it: one decimal where it is small, if it has any."""
    return f"{amount:,.1f}".removesuffix(".0") if amount < 10 else f"{amount:,.0f}"


def _known(amount: int | None) -> str:
    return _UNKNOWN if amount is None else f"{amount:,}"


def _notes(overview: Overview) -> Iterator[str]:
    for lane in overview.lanes:
        yield from _lane_notes(lane)
    accounts = Counter(lane.model.account.name for lane in overview.lanes)
    for account, lanes in accounts.items():
        (pace, *_) = [lane.pace for lane in overview.lanes if lane.model.account.name == account]
        if lanes > 1:
            yield f"In flight counts all {lanes} lanes of {account} together."
        set_here = _joined(
            f"{_number(pace.account_rate)} images a minute" if pace.account_rate is not None else "",
            f"{pace.ceiling:,} calls in flight" if pace.ceiling is not None else "",
        )
        if set_here:
            yield f"{account}: set by hand to {set_here}, for all its lanes together."
    if overview.unknown:
        yield f"The stack has lanes that the catalog here does not have: {', '.join(overview.unknown)}."


def _lane_notes(lane: Lane) -> Iterator[str]:
    name, pace, control = lane.model.name, lane.pace, lane.control
    if lane.line.stopped:
        yield f"{name} is off: AWS Lambda reads nothing from its queue. It is switched on again within a minute."
    if pace.paused:
        yield f"{name} is paused: {pace.paused}. Go on: imagebatch resume --lane {name}"
    if control.throttled or pace.throttled is not None:
        yield _slowed(lane)
    if pace.found is not None and pace.lane_per_minute(lane.model) < pace.most_per_minute(lane.model):
        yield _found(lane)
    limits = {Limit.RATE: pace.limit, Limit.WORKERS: control.workers_limit}
    if given := {limit: amount for limit, amount in limits.items() if amount is not None}:
        said = _joined(*(f"{_number(amount)} {_WHAT[limit].partition(',')[0]}" for limit, amount in given.items()))
        back = " ".join(f"{limit} {AUTO}" for limit in given)
        yield f"{name}: set by hand to at most {said}. Take it back: imagebatch lanes set {name} {back}"


def _found(lane: Lane) -> str:
    """That a lane goes less fast than it might, since it was refused."""
    return (
        f"{lane.model.name} has found by itself that its provider takes some {lane.pace.found:,.0f} images a minute, "
        f"and tries for more now and then. Begin anew: imagebatch lanes set {lane.model.name} --rate auto"
    )


def _slowed(lane: Lane) -> str:
    control = lane.control
    rate = lane.pace.throttled if lane.pace.throttled is not None else control.rate_throttle
    most = _joined(
        f"{control.workers_throttle:,} workers" if control.workers_throttle is not None else "",
        f"{_number(rate)} images a minute" if rate is not None else "",
    )
    since = f" since {moment(timestamp(control.halved_at))}" if control.halved_at else ""
    return (
        f"{lane.model.name} is slowed{since} to at most {most}, since too many of its calls failed. It gets more "
        "minute by minute once they succeed."
    )


def _intake_notes(overview: Overview) -> Iterator[str]:
    line = overview.intake_line
    yield _taken_in(overview.intake, line)
    if line.waiting or line.dead_letters:
        yield f"In their queue: {line.waiting:,} waiting, {line.dead_letters:,} dead."


def _taken_in(intake: Intake, line: Line) -> str:
    if intake.paused:
        since = f" since {moment(timestamp(intake.paused_at))}" if intake.paused_at else ""
        return f"Files are not taken in{since}: {intake.paused}. Go on: imagebatch resume --intake"
    if line.stopped:
        return "Files are not taken in: AWS Lambda reads nothing from their queue. That is set right within a minute."
    return "Files are taken in."


def _joined(*parts: str) -> str:
    return " and ".join(filter(None, parts))


def _amount(lane: Lane, limit: Limit, amount: int | None) -> str:
    if amount is not None:
        return f"{amount:,}"
    model, account = lane.model, lane.model.account
    match limit:
        case Limit.RATE:
            return f"{AUTO}: as its account may"
        case Limit.WORKERS:
            return f"{AUTO}: {model.workers:,}, as the catalog says"
        case Limit.IN_FLIGHT:
            return _by_plan(account.concurrency)
    return _by_plan(account.images_per_minute)


def _by_plan(amount: int | None) -> str:
    return f"{AUTO}: the plan is not known" if amount is None else f"{AUTO}: {amount:,}, as the plan allows"


def _when(change: Change) -> str:
    if change.before == change.after:
        return "as before"
    if change.limit is Limit.WORKERS:
        return "now" if change.at_once else "within a minute"
    return "within half a minute"
