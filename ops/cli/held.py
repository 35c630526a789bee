"""``imagebatch held``: the jobs that wait for a person, and what that person decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from functions.core.catalog import Catalog, load_catalog
from functions.core.jobs.records import Job, Stage
from ops import held
from ops.cli.asking import agreed
from ops.cli.frame import JsonOption, connect, paragraphs, print_json, stderr, stdout
from ops.cli.views import counted, dollars, held_table
from ops.errors import MovedOnError, UsageError
from ops.held import Decision, Look, MovedOn, Resubmit, Selection
from ops.stack import Stack

_SHOWN = 16  # characters of an id
_NAMED = 5
_WHICH, _WHAT = "Which jobs", "What becomes of them (choose one)"

BatchOption = Annotated[
    str | None,
    typer.Option(
        metavar="BATCH",
        help="Those that a batch asked for: its id or the beginning of it.",
        show_default=False,
        rich_help_panel=_WHICH,
    ),
]

ModelOption = Annotated[
    str | None,
    typer.Option(metavar="MODEL", help="Those of a model.", show_default=False, rich_help_panel=_WHICH),
]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Jobs that wait for you: a call to the provider may have been paid for, and nobody can say. They are not "
    "submitted again before you decide.",
)


def list_held(
    context: typer.Context,
    batch: BatchOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the held jobs, the longest held first: why they are held, and what another call would cost.

    With --json all that is known of each, what was asked for and when it was called among it: by that a call is found
    in the provider's dashboard.
    """
    stack, catalog = connect(context), load_catalog()
    every = held.held_jobs(stack)
    whose, found = _those_of(stack, every, batch, model)
    if as_json:
        print_json({"held": [held.record(catalog, job) for job in found]})
    elif not found:
        stderr.print(f"No job{whose} is held.", markup=False, soft_wrap=True)
    else:
        stdout.print(held_table(found, held.short_ids(every), catalog))
        stderr.print(_summary(found, catalog), style="dim", markup=False, soft_wrap=True)


def resolve(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Ids of held jobs, or the beginnings of ids.", show_default=False),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All held jobs.", rich_help_panel=_WHICH)] = False,
    batch: BatchOption = None,
    model: ModelOption = None,
    look: Annotated[
        bool,
        typer.Option(
            "--look",
            help="Ask the provider again, which is free. Only if it shows that the call never arrived is the "
            "picture submitted, and paid once.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="With --look, for one job: the prediction of this id, which you found in the provider's dashboard, "
            "is this job's. Its picture is fetched, and nothing is paid. If it failed, the job stays held: --resubmit "
            "--not-taken makes a new call.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    resubmit: Annotated[
        bool,
        typer.Option(
            "--resubmit",
            help="Submit again, and pay the price again. If the earlier call was taken after all, the picture is paid "
            "for twice: this is counted as a repay.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    not_taken: Annotated[
        bool,
        typer.Option(
            "--not-taken",
            help="With --resubmit: you know from the provider's dashboard that the earlier call was never taken, or "
            "not charged. No repay is counted.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    give_up: Annotated[
        bool,
        typer.Option(
            "--give-up",
            help="Let the job fail, and pay nothing more. The next batch that asks for the picture pays for it.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    paid: Annotated[
        bool,
        typer.Option(
            "--paid",
            help="With --give-up: you know that the call was charged. Its price is added to the job's cost.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Decide what becomes of held jobs. What it will cost is said first, and asked about.

    Look into the provider's dashboard before, where it has one: whether the call is there, and was charged, decides
    what is right. `imagebatch held list --json` says what each job asked for and when it was called.

    A picture that the provider still reports later is kept, whatever was decided. A batch that has ended keeps its
    numbers and results: submit its file again to have a later picture in them, at no cost.

    Exit code 7: a job was not held any more, and was left as it is; the others were resolved.
    """
    _one_of({"--look": look, "--resubmit": resubmit, "--give-up": give_up}, "what becomes of the jobs")
    # --model narrows --batch down; without that it says which jobs by itself.
    of_model = model is not None and batch is None
    which = {"JOB": bool(jobs), "--all": every, "--batch": batch is not None, "--model": of_model}
    _one_of(which, "which jobs are meant")
    _belongs("--reference", reference is not None, "--look", look)
    if reference == "":  # as of a script's variable that nobody has set
        raise UsageError("--reference needs the id of a prediction.")
    _belongs("--not-taken", not_taken, "--resubmit", resubmit)
    _belongs("--paid", paid, "--give-up", give_up)
    stack, catalog = connect(context), load_catalog()
    chosen = _selected(stack, jobs or [], batch, model)
    decision: Decision
    if look:
        decision = Look(reference or "")
    elif resubmit:
        decision = Resubmit(not_taken, {name: model.price_usd for name, model in catalog.models.items()})
    else:
        decision = held.give_up(catalog, chosen.jobs, paid=paid)
    held.check(stack, catalog, chosen.jobs, decision)
    plan = [_these(chosen.jobs), *_plan(catalog, chosen.jobs, decision)]
    if chosen.jobs and not agreed(plan, yes=yes):
        _leave(chosen.moved_on, as_json=as_json)
        return
    with _bar(len(chosen.jobs)) as advance:
        moved_on = [*chosen.moved_on, *held.resolve(stack, chosen.jobs, decision, advance)]
    _report(chosen.jobs, moved_on, decision, as_json=as_json)


for name, command in (("list", list_held), ("resolve", resolve)):
    app.command(name, help=paragraphs(command))(command)


def _selected(stack: Stack, jobs: Sequence[str], batch: str | None, model: str | None) -> Selection:
    if jobs:
        return held.select(stack, jobs)
    return Selection(_those_of(stack, held.held_jobs(stack), batch, model)[1])


def _those_of(stack: Stack, jobs: list[Job], batch: str | None, model: str | None) -> tuple[str, list[Job]]:
    """The jobs of a batch, of a model or of both, if they are named, and whose jobs those are."""
    whose = ""
    if batch is not None:
        batch_id, jobs = held.of_batch(stack, jobs, batch)
        whose = f" of the batch {batch_id}"
    if model is not None:
        jobs = [job for job in jobs if job.model == model]
        whose = f" of the model {model}{whose}"
    return whose, jobs


def _one_of(choices: dict[str, bool], what: str) -> None:
    given = [name for name, is_given in choices.items() if is_given]
    if len(given) == 1:
        return
    *others, last = choices
    said = f"; {' and '.join(given)} exclude each other" if given else ""
    raise UsageError(f"Say {what}: {', '.join(others)} or {last}{said}.")


def _belongs(option: str, is_given: bool, to: str, is_there: bool) -> None:
    if is_given and not is_there:
        raise UsageError(f"{option} goes with {to} alone.")


def _plan(catalog: Catalog, jobs: Sequence[Job], decision: Decision) -> list[str]:
    """What is about to happen, and what it costs."""
    them = counted(len(jobs), "held job")
    match decision:
        case Look(reference) if reference:
            asking = f"To ask the provider about the prediction {reference}, as that of: {them}. Price: $0."
            return [f"{asking} If the provider does not know it, the job is held again."]
        case Look():
            return _plan_to_look(catalog, jobs, them)
        case Resubmit(not_taken, _):
            said = f"To submit: {them}. Price in all: {dollars(_price(catalog, jobs))}."
            if not_taken:
                return [f"{said} You know that the earlier calls were not taken or not charged; no repay is counted."]
            known = sum(job.stage is Stage.ACCEPTED for job in jobs)
            cheaper = (
                f"The provider has taken {known:,} of the earlier calls; --look asks for those pictures at no cost."
            )
            risk = "The earlier calls may have been paid for as well; each job counts as a repay."
            return [f"{said} {risk}", *([cheaper] if known else [])]
    cost = sum((decision.cost(job) for job in jobs), Decimal(0))
    charged = f"Counted as paid for the earlier calls: {dollars(cost)}."
    return [f"To give up: {them}. Nothing is paid now. {charged} The next batch that asks for them pays for them."]


def _these(jobs: Sequence[Job]) -> str:
    """The first of the jobs by name, so that a beginning of an id that means another one is seen."""
    shown = ", ".join(job.job_id[:_SHOWN] for job in jobs[:_NAMED])
    return f"{shown}{f' and {len(jobs) - _NAMED:,} more' if len(jobs) > _NAMED else ''}"


def _plan_to_look(catalog: Catalog, jobs: Sequence[Job], them: str) -> list[str]:
    asking = f"To ask the provider about: {them}. Price: $0."
    plan = [f"{asking} Where it shows that a call never arrived, the picture is submitted, and paid once."]
    if repaid := [job for job in jobs if held.may_repay(catalog, job)]:
        plan.append(
            f"Where it cannot say what became of a call, another one is made, since the catalog says on_ambiguous = "
            f"repay: {dollars(_price(catalog, repaid))} at most."
        )
    return plan


def _leave(moved_on: Sequence[MovedOn], *, as_json: bool) -> None:
    """Say that nothing was done, as it was answered."""
    if as_json:
        print_json({"resolved": [], "moved_on": [asdict(one) for one in moved_on]})
    stderr.print("Nothing was changed.")


def _report(jobs: Sequence[Job], moved_on: Sequence[MovedOn], decision: Decision, *, as_json: bool) -> None:
    left = {one.job for one in moved_on}
    resolved = [job.job_id for job in jobs if job.job_id not in left]
    unknown = len(moved_on) - (len(jobs) - len(resolved))
    if as_json:
        print_json({"resolved": resolved, "moved_on": [asdict(one) for one in moved_on]})
    elif resolved or not moved_on:
        stdout.print(_done(len(resolved), decision), markup=False, soft_wrap=True)
    for one in moved_on:
        state = f"is {one.state} by now" if one.state else "is not held: it may be on its way again"
        stderr.print(f"The job {one.job[:_SHOWN]} {state}; it was left as it is.", markup=False, soft_wrap=True)
    if moved_on:
        raise MovedOnError(f"Not held any more: {len(moved_on):,} of {counted(len(jobs) + unknown, 'job')}.")


def _done(number: int, decision: Decision) -> str:
    if not number:
        return "No job that was meant is held; there was nothing to do."
    them = counted(number, "job")
    match decision:
        case Look():
            return f"Asking the provider about {them}. What stays unknown is held again: imagebatch held list"
        case Resubmit():
            return f"Submitting {them} again."
    return f"Gave up {them}."


def _summary(jobs: Sequence[Job], catalog: Catalog) -> str:
    return (
        f"Held: {counted(len(jobs), 'job')}. Asking the provider again is free; to pay for all of them again "
        f"costs {dollars(_price(catalog, jobs))}. Decide: imagebatch held resolve --help"
    )


def _price(catalog: Catalog, jobs: Sequence[Job]) -> Decimal:
    return sum((held.price_again(catalog, job) or Decimal(0) for job in jobs), Decimal(0))


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    columns = (BarColumn(bar_width=36), TextColumn("resolving"), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda number: bar.advance(task, number)
