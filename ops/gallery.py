"""A batch as a folder: results.csv, the pictures under names that a person recognises, and a page that shows them.

DIR/results.csv    as published, with one more column: the picture's file
DIR/images/        the pictures
DIR/index.html     the contact sheet
DIR/.batch         the batch's id: a folder holds one batch
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from functions.core.batches.records import Batch
from functions.core.errors import MissingObjectError
from functions.core.input.identity import PictureSpec, spec_from_json
from functions.core.input.text import field_key
from ops.batches import file_name
from ops.downloads import Outcome, Wanted, fetch_all, whole_file
from ops.errors import CommandError, UsageError
from ops.file_names import FileNames
from ops.page import PageBatch, PageRow, render_page
from ops.results_file import Heading, ResultLine, append_cell, read_results, shown_cell

if TYPE_CHECKING:
    from ops.stack import Stack

ROWS_ON_PAGE = 20_000
"""Lines that the page shows: more of them make a file that browsers open slowly."""

_COLUMNS_ON_PAGE = 12  # a row's own cells in the page: enough to recognise it by
_CELL_ON_PAGE = 300
_LINES_AT_A_TIME = 1000
_GONE = "The picture is not in the bucket any more; submit the file again to have it made anew."


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was written. `files`: pictures in the folder; `fetched`, `gone`: of the different ones."""

    folder: Path
    lines: int
    files: int
    fetched: int
    gone: int

    @property
    def page(self) -> Path:
        """The contact sheet."""
        return self.folder / "index.html"


@dataclass(slots=True)
class _Plan:
    """files: by line that of its picture, or ""; wanted: by picture its hash and files; rows: the page's."""

    files: list[str] = field(default_factory=list)
    wanted: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    rows: list[PageRow] = field(default_factory=list)


def claim_folder(folder: Path, batch_id: str, *, force: bool = False) -> None:
    """Make a folder the batch's own, so that nothing of a person's or of another batch is written over.

    Raises:
        UsageError: it holds files of our names that are not this batch's, and not `force`.
    """
    claim = folder / ".batch"
    owner = claim.read_text(errors="replace").strip() if claim.exists() else ""
    foreign = [name for name in ("results.csv", "index.html", "images") if (folder / name).exists()]
    if owner != batch_id and foreign and not force:
        whose = f"the batch {owner}" if owner else "something else"
        raise UsageError(
            f"{folder} holds {', '.join(foreign)} of {whose}. Name another folder, or write over it with --force."
        )
    folder.mkdir(parents=True, exist_ok=True)
    claim.write_text(f"{batch_id}\n")


def write_gallery(
    stack: Stack, batch: Batch, folder: Path, on_total: Callable[[int], None], on_done: Callable[[Outcome], None]
) -> Gallery:
    """Write a batch's published results into a folder; what is there already is not fetched again.

    on_total is told how many different pictures there are, on_done the outcome of each.

    Raises:
        CommandError: when the published results are gone or a picture in the bucket is damaged.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as published:
        _fetch_results(stack, batch, published)
        plan = _plan(stack, batch, published)
        pictures = [
            Wanted(key, sha256, tuple(folder / file for file in files)) for key, (sha256, files) in plan.wanted.items()
        ]
        on_total(len(pictures))
        outcomes = fetch_all(stack.images(), pictures, on_done)
        gone = {file for key, (_, files) in plan.wanted.items() if outcomes[key] is Outcome.GONE for file in files}
        with whole_file(folder / "results.csv") as target:
            _write_results(published, plan, gone, target)
    with whole_file(folder / "index.html") as target:
        rows = [_without_picture(row) if row.file in gone else row for row in plan.rows]
        target.write(render_page(_page_batch(batch, len(plan.files)), rows).encode())
    return Gallery(
        folder=folder,
        lines=len(plan.files),
        files=sum(1 for file in plan.files if file and file not in gone),
        fetched=sum(1 for outcome in outcomes.values() if outcome is Outcome.FETCHED),
        gone=sum(1 for outcome in outcomes.values() if outcome is Outcome.GONE),
    )


def _fetch_results(stack: Stack, batch: Batch, target: IO[bytes]) -> None:
    try:
        for piece in stack.metadata().read_range(batch.results_key, "", 0):
            target.write(piece)
    except MissingObjectError as error:
        raise CommandError(
            f"The results of {batch.batch_id} are not in the bucket any more; submit the file again: pictures that are "
            "still there cost nothing."
        ) from error


def _plan(stack: Stack, batch: Batch, published: IO[bytes]) -> _Plan:
    heading, lines = _read(published)
    prompt_at = next((at for at, name in enumerate(heading.columns) if field_key(name) == "prompt"), None)
    names = FileNames(batch.rows)
    plan = _Plan()
    for chunk in _chunks(lines):
        specs = _specs(stack, chunk) if len(plan.files) < ROWS_ON_PAGE else {}
        for line in chunk:
            spec = specs.get(line.outcome["job_id"])
            cell = shown_cell(line.cells[prompt_at]) if prompt_at is not None else ""
            prompt = spec.prompt if spec else cell
            file = _claim(names, line, prompt, plan)
            plan.files.append(file)
            if len(plan.rows) < ROWS_ON_PAGE:
                plan.rows.append(_page_row(heading, line, file, prompt, spec))
    return plan


def _claim(names: FileNames, line: ResultLine, prompt: str, plan: _Plan) -> str:
    """The path of the line's picture, and that it is wanted. Lines without one claim a name too: it is theirs later."""
    key = line.outcome["image"]
    extension = PurePosixPath(key).suffix.removeprefix(".")
    name = names.claim(line.integer("row") or 0, shown_cell(line.outcome["picture_name"]), prompt, extension)
    if not key:
        return ""
    file = f"images/{name}"
    plan.wanted.setdefault(key, (line.outcome["sha256"], []))[1].append(file)
    return file


def _specs(stack: Stack, lines: list[ResultLine]) -> Mapping[str, PictureSpec]:
    """What was asked for by job id: a template's prompts stand in no column of the file."""
    ids = [line.outcome["job_id"] for line in lines if line.outcome["job_id"]]
    jobs = stack.jobs().get_many(ids, consistent=False)
    return {job_id: spec_from_json(job.spec) for job_id, job in jobs.items()}


def _page_row(heading: Heading, line: ResultLine, file: str, prompt: str, spec: PictureSpec | None) -> PageRow:
    outcome = line.outcome
    return PageRow(
        row=line.integer("row") or 0,
        status=outcome["status"],
        line=line.integer("line"),
        name=shown_cell(outcome["picture_name"]),
        prompt=prompt,
        negative_prompt=spec.negative_prompt if spec else "",
        file=file,
        same_as=line.same_as,
        paid_by=line.paid_by,
        model=outcome["made_by"],
        width=line.integer("width") or (spec.width if spec else None),
        height=line.integer("height") or (spec.height if spec else None),
        seed=outcome["seed"],
        cost_usd=line.amount("cost_usd"),
        attempts=line.integer("attempts"),
        latency_ms=line.integer("latency_ms"),
        sha256=outcome["sha256"],
        error_class=outcome["error_class"],
        reason=shown_cell(outcome["error"]),
        columns=_recognisable(heading, line),
    )


def _recognisable(heading: Heading, line: ResultLine) -> dict[str, str]:
    cells = [(name, shown_cell(cell)) for name, cell in zip(heading.columns, line.cells, strict=True) if cell.strip()]
    return {
        shown_cell(name): cell if len(cell) <= _CELL_ON_PAGE else f"{cell[:_CELL_ON_PAGE]}…"
        for name, cell in cells[:_COLUMNS_ON_PAGE]
    }


def _without_picture(row: PageRow) -> PageRow:
    return replace(row, file="", reason=_GONE)


def _write_results(published: IO[bytes], plan: _Plan, gone: set[str], target: IO[bytes]) -> None:
    heading, lines = _read(published)
    column = "file"
    while column in heading.names:
        column = f"result_{column}"
    target.write(append_cell(heading.text, column).encode())
    for line, file in zip(lines, plan.files, strict=True):
        target.write(append_cell(line.text, "" if file in gone else file).encode())


def _read(published: IO[bytes]) -> tuple[Heading, Iterator[ResultLine]]:
    published.seek(0)
    return read_results(line.decode() for line in published)


def _chunks(lines: Iterator[ResultLine]) -> Iterator[list[ResultLine]]:
    while chunk := list(itertools.islice(lines, _LINES_AT_A_TIME)):
        yield chunk


def _page_batch(batch: Batch, lines: int) -> PageBatch:
    return PageBatch(
        batch_id=batch.batch_id,
        name=file_name(batch),
        state=batch.state,
        recipe=batch.recipe,
        created_at=batch.created_at,
        late=batch.late,
        rows=batch.rows,
        jobs=batch.jobs,
        pending=batch.pending,
        running=batch.running,
        held=batch.held,
        succeeded=batch.succeeded,
        failed=batch.failed,
        repaid=batch.repaid,
        invalid_rows=batch.invalid_rows,
        duplicates_prevented=batch.duplicates_prevented,
        cost_usd=batch.cost_usd,
        lines=lines,
    )
