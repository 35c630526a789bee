import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.core.batches.records import Batch
from functions.core.jobs.records import State
from functions.core.keys import results_key
from ops import gallery
from ops.batches import find_batch
from ops.downloads import Outcome
from ops.errors import CommandError, UsageError
from ops.gallery import Gallery, claim_folder, write_gallery
from ops.stack import Stack

BATCH = "products-1234567890"


@pytest.fixture
def batch(stack: Stack, put_batch: Callable[..., None]) -> Batch:
    put_batch(BATCH, rows=4, jobs=2, succeeded=2, results_key=results_key(BATCH))
    return find_batch(stack, BATCH)


def write(stack: Stack, batch: Batch, folder: Path) -> Gallery:
    return write_gallery(stack, batch, folder, lambda _: None, lambda _: None)


def page_rows(folder: Path) -> list[dict[str, Any]]:
    page = (folder / "index.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    rows: list[dict[str, Any]] = json.loads(found[1])["rows"]
    return rows


def result_lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as source:
        return list(csv.DictReader(source))


def test_a_batch_becomes_a_folder(stack: Stack, batch: Batch, published: Any, tmp_path: Path) -> None:
    results = published(BATCH, "sku", "prompt")
    results.row("MUG-1", "a mug", prompt="a mug", name="MUG-1")
    results.row("POT-1", "a pot", prompt="a pot", name="POT-1")
    text = results.publish().decode()

    written = write(stack, batch, tmp_path / "out")

    assert written == Gallery(tmp_path / "out", lines=2, files=2, fetched=2, gone=0)
    assert (tmp_path / "out/images/MUG-1.jpg").read_bytes() == b"picture of a mug"
    assert [line["file"] for line in result_lines(tmp_path / "out")] == ["images/MUG-1.jpg", "images/POT-1.jpg"]
    with_files = (tmp_path / "out/results.csv").read_bytes().decode().splitlines()
    assert [line.rpartition(",")[0] for line in with_files] == text.splitlines()
    assert [row["file"] for row in page_rows(tmp_path / "out")] == ["images/MUG-1.jpg", "images/POT-1.jpg"]


def test_rows_that_share_a_picture_each_have_a_file_of_it(
    stack: Stack, batch: Batch, published: Any, tmp_path: Path
) -> None:
    results = published(BATCH, "sku", "prompt")
    results.row("A", "a mug", prompt="a mug", name="A")
    results.row("B", "a mug", prompt="a mug", name="B")
    results.publish()

    written = write(stack, batch, tmp_path)

    assert (written.files, written.fetched) == (2, 1)
    assert (tmp_path / "images/A.jpg").read_bytes() == (tmp_path / "images/B.jpg").read_bytes()
    assert page_rows(tmp_path)[1]["same_as"] == 1


def test_a_template_s_prompt_is_shown_though_no_column_has_it(
    stack: Stack, batch: Batch, published: Any, tmp_path: Path
) -> None:
    results = published(BATCH, "Title")
    results.row("Mug", prompt="product photo of Mug, studio light")
    results.publish()

    write(stack, batch, tmp_path)

    (row,) = page_rows(tmp_path)
    assert row["prompt"] == "product photo of Mug, studio light"
    assert row["file"] == "images/01-product-photo-of-mug-studio-light.jpg"
    assert row["columns"] == {"Title": "Mug"}


def test_rows_without_a_picture_say_why(stack: Stack, batch: Batch, published: Any, tmp_path: Path) -> None:
    results = published(BATCH, "sku", "prompt")
    results.row("A", "a mug", prompt="a mug", state=State.FAILED, error_message="the provider is out of funds")
    results.row("B", "", problem="the prompt is empty")
    results.publish()

    write(stack, batch, tmp_path)

    failed, invalid = page_rows(tmp_path)
    assert (failed["status"], invalid["status"]) == ("failed", "invalid")
    assert invalid["reason"] == "the prompt is empty"
    assert [line["file"] for line in result_lines(tmp_path)] == ["", ""]


def test_running_it_again_fetches_what_is_missing_and_no_more(
    stack: Stack, batch: Batch, published: Any, tmp_path: Path
) -> None:
    results = published(BATCH, "sku", "prompt")
    results.row("A", "a mug", prompt="a mug", name="A")
    results.row("B", "a pot", prompt="a pot", name="B")
    results.publish()
    write(stack, batch, tmp_path)
    (tmp_path / "images/B.jpg").unlink()
    outcomes: list[Outcome] = []

    again = write_gallery(stack, batch, tmp_path, lambda _: None, outcomes.append)

    assert again.fetched == 1
    assert sorted(outcome.name for outcome in outcomes) == ["FETCHED", "WAS_THERE"]
    assert (tmp_path / "images/B.jpg").exists()


def test_a_picture_that_left_the_bucket_is_told(stack: Stack, batch: Batch, published: Any, tmp_path: Path) -> None:
    results = published(BATCH, "sku", "prompt")
    key = results.row("A", "a mug", prompt="a mug", name="A")
    results.publish()
    stack.s3().delete_object(Bucket="images", Key=key)

    written = write(stack, batch, tmp_path)

    assert (written.files, written.gone) == (0, 1)
    (row,) = page_rows(tmp_path)
    assert "file" not in row
    assert "not in the bucket" in row["reason"]
    assert result_lines(tmp_path)[0]["file"] == ""


def test_a_column_named_file_stays_the_files_own(stack: Stack, batch: Batch, published: Any, tmp_path: Path) -> None:
    results = published(BATCH, "file", "prompt")
    results.row("mine.txt", "a mug", prompt="a mug", name="A")
    results.publish()

    write(stack, batch, tmp_path)

    (line,) = result_lines(tmp_path)
    assert (line["file"], line["result_file"]) == ("mine.txt", "images/A.jpg")


def test_a_long_batch_s_page_has_its_first_rows(
    stack: Stack, batch: Batch, published: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "ROWS_ON_PAGE", 2)
    results = published(BATCH, "prompt")
    for number in range(3):
        results.row(f"mug {number}", prompt=f"mug {number}")
    results.publish()

    written = write(stack, batch, tmp_path)

    assert (written.lines, written.files) == (3, 3)
    assert len(page_rows(tmp_path)) == 2
    assert '"lines":3' in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("name", ["results.csv", "index.html", "images"])
def test_a_folder_with_something_else_of_that_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    with pytest.raises(UsageError, match=f"{name} of something else.*--force"):
        claim_folder(tmp_path, BATCH)
    claim_folder(tmp_path, BATCH, force=True)
    claim_folder(tmp_path, BATCH)  # it is the batch's own now


def test_a_folder_holds_one_batch(tmp_path: Path) -> None:
    claim_folder(tmp_path / "out", BATCH)
    (tmp_path / "out" / "images").mkdir()  # as far as it came when it was interrupted

    claim_folder(tmp_path / "out", BATCH)
    with pytest.raises(UsageError, match=f"images of the batch {BATCH}"):
        claim_folder(tmp_path / "out", "posters-1")


def test_a_folder_with_other_files_is_as_good_as_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    claim_folder(tmp_path, BATCH)


def test_results_that_are_gone_are_a_sentence(stack: Stack, batch: Batch, tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        write(stack, batch, tmp_path)
