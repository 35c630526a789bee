"""Bad input says so in words with line and column; the good rows run, nothing is lost, nothing is paid for bad rows."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import NamedTuple

import pytest

from functions.core.batches.records import BatchState
from tests.e2e.pipeline import CANARY, PRICE, Pipeline

HEADER = "prompt,width,height"
GOOD, LAST = f"{CANARY} good", f"{CANARY} good and last"


class Bad(NamedTuple):
    """A bad row of a results.csv: its line in the file, and how its error begins after the line."""

    line: int
    error: str


def lines(*texts: str) -> bytes:
    return "\n".join([*texts, ""]).encode()


def png() -> bytes:
    """A PNG picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def workbook() -> bytes:
    """A zip file, which is what an Excel workbook is."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", f"<c>{CANARY}</c>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("key", "content", "reason"),
    [
        ("empty.csv", b"", "Line 1, column 1: the file is empty"),
        ("blank.csv", b"\n  \n", "Line 1, column 1: the file is empty"),
        ("header-only.csv", b"prompt,width\n", "The file has a header but no rows below it"),
        ("utf-16.csv", f"prompt\n{GOOD}\n".encode("utf-16"), "Line 1, column 1: this file is in UTF-16"),
        ("utf-16-no-bom.csv", f"prompt\n{GOOD}\n".encode("utf-16-le"), "Line 1, column 2: this is not a text file"),
        ("latin-1-header.csv", "prompt,Größe\na,b\n".encode("latin-1"), "Line 1, column 10: byte 0xf6 is not UTF-8"),
        ("no-prompt.csv", f"prompts,width\n{GOOD},256\n".encode(), "The file has no column 'prompt'; did you mean"),
        ("two-prompts.csv", b"prompt,Prompt\na,b\n", "Line 1, column 1: the column 'Prompt' is there twice"),
        ("header-quote.csv", f'prompt,"width\n{GOOD},256\n'.encode(), "Line 1, column 8: a quote in the header"),
        ("picture.csv", png(), "Line 1, column 1: this is a PNG picture, not a CSV"),
        ("workbook.csv", workbook(), "Line 1, column 1: this is a zip file or an Excel workbook"),
        ("letter.txt", f"Dear {CANARY},\n\nplease make 3 pictures.\n".encode(), "The file has no column 'prompt'"),
        ("noise.csv", bytes(range(1, 256)) * 40, "The file has no column 'prompt'"),
    ],
)
def test_a_file_that_cannot_be_used_is_rejected_with_its_reason(
    pipeline: Pipeline, key: str, content: bytes, reason: str
) -> None:
    batch = pipeline.ended(pipeline.put(key, content))

    assert batch.state is BatchState.REJECTED
    assert batch.reason.startswith(reason)
    assert pipeline.status(batch)["state"] == "rejected"
    assert batch.jobs == batch.cost_usd == 0
    assert pipeline.sandbox.ledger()["summary"]["submits"] == 0


@pytest.mark.parametrize(
    ("name", "content", "bad"),
    [
        (
            "values",
            lines(
                "prompt,model,width,height,seed,format,variants",
                f"{GOOD},,256,256,,,",
                f"{GOOD},flux-schnel,256,256,,,",
                f"{GOOD},,256,256,abc,,",
                f"{GOOD},,-5,256,,,",
                f"{GOOD},,256,9999,,,",
                f"{GOOD},,256,256,,gif,",
                f"{GOOD},,256,256,,,0",
                ",,256,256,,,",
                f"{LAST},flux-schnell,256,256,7,png,1",
            ),
            [
                Bad(3, "column model: model 'flux-schnel' is not in the catalog; did you mean 'flux-schnell'?"),
                Bad(4, "column seed: seed 'abc' is not a whole number"),
                Bad(5, "column width: width -5 is not possible with flux-schnell; give a number of pixels"),
                Bad(6, "column height: height 9999 is not possible with flux-schnell"),
                Bad(7, "column format: format 'gif' is not known"),
                Bad(8, "column variants: variants 0 is outside 1 to 100"),
                Bad(9, "column prompt: the prompt is empty"),
            ],
        ),
        (
            "ragged",
            lines(HEADER, f"{GOOD},256,256", f"{GOOD},256", f"{GOOD},256,256,extra", "", f"{LAST},256,256"),
            [
                Bad(3, "column height: this row has 2 cells, the header has 3 cells"),
                Bad(4, "column 4: this row has 4 cells, the header has 3 cells"),
            ],
        ),
        (
            "open-quote",
            lines(HEADER, f"{GOOD},256,256", f'"{GOOD},256,256', f"{GOOD} two,256,256", f"{LAST},256,256"),
            [Bad(3, "column prompt: the quote at character 1 opens a cell that is not properly closed")],
        ),
        (
            "latin-1-row",
            lines(HEADER, f"{GOOD},256,256", f"{CANARY} Käse,256,256", f"{LAST},256,256").decode().encode("latin-1"),
            [Bad(3, f"column prompt: byte 0xe4 at character {len(CANARY) + 3} is not UTF-8")],
        ),
        (
            "huge-cell",
            lines(HEADER, f"{GOOD},256,256", f"{'x' * 1024 * 1024},256,256", f"{LAST},256,256"),
            [Bad(3, "this row is longer than 128 KiB")],
        ),
        (
            "long-prompt",
            lines(HEADER, f"{GOOD},256,256", f"{'x' * 10_001},256,256", f"{'y' * 40_000},256,256", f"{LAST},256,256"),
            [
                Bad(3, "column prompt: the prompt has 10,001 characters; shorten it to 10,000 at most"),
                Bad(4, "column prompt: this cell has 40,000 characters"),
            ],
        ),
        (
            "nul",
            lines(HEADER, f"{GOOD},256,256", f"{CANARY}\0,256,256", f"{LAST},256,256"),
            [Bad(3, f"column prompt: character {len(CANARY) + 1} is a NUL")],
        ),
    ],
)
def test_bad_rows_are_reported_with_line_and_column_and_the_good_ones_made(
    pipeline: Pipeline, name: str, content: bytes, bad: list[Bad]
) -> None:
    batch_id = pipeline.put(f"{name}.csv", content)
    batch = pipeline.ended(batch_id)

    assert (batch.state, batch.invalid_rows, batch.failed) == (BatchState.COMPLETED, len(bad), 0)
    rows = pipeline.results(batch_id)
    assert len(rows) == batch.rows
    assert [int(row["row"]) for row in rows] == list(range(1, batch.rows + 1)), "no row is lost"
    reported = [row for row in rows if row["status"] == "invalid"]
    for row, expected in zip(reported, bad, strict=True):
        where = f"line {expected.line}, " if expected.error.startswith("column") else f"line {expected.line}: "
        assert row["error"].startswith(where + expected.error)
        assert (row["line"], row["error_class"], row["job_id"]) == (str(expected.line), "invalid", "")
    problems = pipeline.status(batch)["problems"]
    assert [one["line"] for one in problems] == [expected.line for expected in bad]
    good = [row for row in rows if row["status"] == "success"]
    assert [row["prompt"] for row in (good[0], good[-1])] == [GOOD, LAST]
    assert len(good) + len(bad) == batch.rows
    for row in good:
        pipeline.check_picture(row, (256, 256))
    assert pipeline.charges().keys() <= {row["job_id"] for row in good}
    assert batch.cost_usd == pipeline.net_usd() <= len(good) * PRICE


def test_a_file_of_bad_rows_alone_completes_with_all_of_them_reported(pipeline: Pipeline) -> None:
    batch_id = pipeline.put("all-bad.csv", "prompt,seed\n,\ncat,abc\n")
    batch = pipeline.ended(batch_id)

    assert (batch.state, batch.rows, batch.invalid_rows, batch.jobs) == (BatchState.COMPLETED, 2, 2, 0)
    assert [row["status"] for row in pipeline.results(batch_id)] == ["invalid", "invalid"]
    assert pipeline.charges().total() == 0


def test_a_row_with_several_faults_names_them_all(pipeline: Pipeline) -> None:
    batch_id = pipeline.put("faults.csv", "prompt,model,width,seed\n,nope,0.5,-1\n")
    batch = pipeline.ended(batch_id)

    assert {one["column"] for one in pipeline.status(batch)["problems"]} == {"prompt", "model", "width", "seed"}
    error = pipeline.results(batch_id)[0]["error"]
    assert all(f"line 2, column {column}: " in error for column in ("prompt", "model", "width", "seed"))


def test_a_recipe_that_cannot_be_used_rejects_the_files_of_its_folder(pipeline: Pipeline) -> None:
    pipeline.put_recipe("broken", 'template = "photo of {Title"\nwidht = 3\n')

    batch = pipeline.ended(pipeline.put("broken/a.csv", "Title\nmug\n"))

    assert batch.state is BatchState.REJECTED
    assert batch.reason.startswith("Recipe 'broken': ")
    assert "'widht' is not a key of a recipe" in batch.reason
    assert "'template': character 10: '{' has no partner" in batch.reason


def test_a_file_without_the_templates_column_is_rejected_with_its_name(pipeline: Pipeline) -> None:
    pipeline.put_recipe("titles", 'template = "photo of {Title}"\n')

    batch = pipeline.ended(pipeline.put("titles/a.csv", "Titel,Price\nmug,3\n"))

    assert batch.state is BatchState.REJECTED
    assert batch.reason.startswith("The template needs a column 'Title', which the file does not have; did you mean")
