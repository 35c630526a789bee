"""Scanning: from an upload to its chunks, or to a sentence that says why not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from functions.core.batches import changes as batch_changes
from functions.core.batches.messages import Chunk, Scan, Uploaded
from functions.core.batches.records import CLOSED, Batch, BatchState
from functions.core.batches.scanning import SAFETY_SECONDS, SCAN_SECONDS
from functions.core.input.lines import RECORD_LIMIT
from functions.core.writes import Write
from tests.fakes.plant import PLENTY, Plant

ROWS = "prompt\n" + "cat\n" * 100


def split(plant: Plant, key: str) -> Batch:
    """The batch that becomes of an upload."""
    batch_id = plant.upload(key, ROWS)
    plant.split()
    return plant.batch(batch_id)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Line 1, column 1: the file is empty"),
        (b"prompt\n", "no rows"),
        (b"\xff\xfep\0r\0", "UTF-16"),
        (b"title\ncat\n", "prompt"),
        (b"\x89PNG\r\n\x1a\n", "PNG picture"),
        (b"PK\x03\x04", "Excel"),
        (b'"prompt\ncat\n', "quote"),
        (b"p" * (RECORD_LIMIT + 1), "header line is longer"),
    ],
)
def test_a_file_that_cannot_be_used_ends_as_rejected_with_its_reason(plant: Plant, content: bytes, reason: str) -> None:
    batch_id = plant.upload("a.csv", content)
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.listing) == (BatchState.REJECTED, CLOSED)
    assert reason in batch.reason
    assert batch.finished_at
    assert plant.jobs.records == {}


def test_a_folder_marker_is_no_upload(plant: Plant) -> None:
    plant.upload("catalogue/", "")
    plant.split()
    assert plant.batches.records == {}


def test_an_event_that_is_delivered_twice_opens_one_batch(plant: Plant) -> None:
    plant.upload("a.csv", ROWS)
    plant.upload("a.csv", ROWS)
    plant.split()
    assert len(plant.batches.records) == 1
    assert len(plant.batches.part_records) == 1


def test_a_new_version_of_an_object_is_a_new_batch(plant: Plant) -> None:
    batches = {plant.upload("a.csv", ROWS, version) for version in ("v1", "v2")}
    plant.split()
    assert plant.batches.records.keys() == plant.batches.part_records.keys() == batches
    assert {plant.batch(one).source.version for one in batches} == {"v1", "v2"}


def test_a_file_that_was_deleted_before_it_was_read_ends_as_rejected(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", ROWS)
    plant.inbox.objects.clear()
    plant.split()
    assert plant.batch(batch_id).state is BatchState.REJECTED
    assert "deleted" in plant.batch(batch_id).reason


RECIPE = 'template = "photo of {Title}"\ndeadline_hours = 2\n[defaults]\nwidth = 512\n'


def test_the_folder_names_the_recipe_which_is_frozen_in_the_batch(plant: Plant) -> None:
    plant.metadata.objects["recipes/shop.toml"] = RECIPE.encode()
    batch_id = plant.upload("shop/week 1/a.csv", "Title\nchair\n\n")
    plant.split(1)
    plant.metadata.objects["recipes/shop.toml"] = b'template = "something else"'
    plant.split()
    (record,) = plant.jobs.records.values()
    spec = json.loads(record["spec"])
    assert (spec["prompt"], spec["width"]) == ("photo of chair", 512)
    batch = plant.batch(batch_id)
    assert (batch.recipe, batch.recipe_text) == ("shop", RECIPE)
    assert (batch.created_at[11:13], batch.deadline_at[11:13]) == ("14", "16")


def test_a_folder_without_a_recipe_has_none(plant: Plant) -> None:
    batch = split(plant, "folder/a.csv")
    assert (batch.recipe, batch.state) == ("", BatchState.RUNNING)


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (b"template = ", "not TOML"),
        (b"width = 3", "'width' is not a key"),
        (b'template = "\xe9"', "UTF-8"),
        (b"#" * 100_000, "longer than"),
        (b'template = "photo of {Name}"', "'Name'"),
    ],
)
def test_a_recipe_that_cannot_be_used_rejects_the_batch(plant: Plant, recipe: bytes, reason: str) -> None:
    plant.metadata.objects["recipes/shop.toml"] = recipe
    batch = split(plant, "shop/a.csv")
    assert batch.state is BatchState.REJECTED
    assert reason in batch.reason


def test_chunks_lie_end_to_end_and_are_numbered_by_rows_and_lines() -> None:
    plant = Plant(chunk_rows=40)
    batch_id = plant.upload("a.csv", ROWS)
    plant.split(1)
    chunks = plant.sent(Chunk)
    assert [(one.offset, one.row, one.line) for one in chunks] == [(7, 1, 2), (167, 41, 42), (327, 81, 82)]
    assert [one.end for one in chunks] == [167, 327, 407]
    batch = plant.batch(batch_id)
    assert (batch.state, batch.scanned, batch.rows_expected) == (BatchState.RUNNING, True, 100)


def continued(plant: Plant, remaining: float = PLENTY, step: float = 0.0) -> int:
    """Scan to the end, `step` seconds passing with each chunk; how many invocations it took."""
    send = plant.intake.send

    def slowly(bodies: list[str], *, delay_seconds: int = 0) -> None:
        plant.clock.pass_time(step)
        send(bodies, delay_seconds=delay_seconds)

    plant.intake.send = slowly  # type: ignore[assignment,method-assign]
    plant.splitter.handle(Uploaded("a.csv", "v1", len(ROWS)), lambda: remaining)
    invocations = 1
    while scans := plant.sent(Scan):
        plant.intake.messages = [one for one in plant.intake.messages if '"kind":"scan"' not in one[0]]
        plant.splitter.handle(scans[0], lambda: remaining)
        invocations += 1
    return invocations


@pytest.mark.parametrize(
    ("remaining", "step", "invocations"),
    [
        (PLENTY, 0.0, 1),
        (PLENTY, SCAN_SECONDS / 2, 6),
        (PLENTY, SCAN_SECONDS, 11),
        (SAFETY_SECONDS - 1, 0.0, 11),
    ],
)
def test_a_scan_hands_over_to_itself_when_time_runs_out(remaining: float, step: float, invocations: int) -> None:
    plant, unhurried = Plant(chunk_rows=10), Plant(chunk_rows=10)
    for one in (plant, unhurried):
        one.inbox.objects["a.csv"] = ROWS.encode()
    assert continued(plant, remaining, step) == invocations
    continued(unhurried)
    assert plant.sent(Chunk) == unhurried.sent(Chunk)
    assert all(batch["rows_expected"] == 100 for batch in plant.batches.records.values())


def test_a_scan_from_the_beginning_sends_only_the_chunks_that_are_missing() -> None:
    plant = Plant(chunk_rows=40)
    batch_id = plant.upload("a.csv", ROWS)
    plant.split(2)
    plant.intake.messages.clear()
    plant.splitter.handle(Scan(batch_id, "a.csv", "v1", 0, 1, 1), lambda: PLENTY)
    assert [one.row for one in plant.sent(Chunk)] == [41, 81]


def test_bad_rows_never_harm_good_ones() -> None:
    plant = Plant(chunk_rows=2)
    rows = ["cat,1,64", 'an "open quote,1,64', "dog,abc,64", "bird,1,-5", "ragged", "fish,1,64", "x" * 1_000_000]
    batch_id = plant.upload("a.csv", "prompt,seed,width\n" + "\n".join(rows) + "\n")
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.rows, batch.invalid_rows, batch.succeeded) == (7, 4, 3)
    statuses = [line["status"] for line in plant.results(batch_id)]
    assert statuses == ["success", "success", "invalid", "invalid", "invalid", "success", "invalid"]


def test_a_reason_names_the_first_misfits_and_how_many_more_there_are(plant: Plant) -> None:
    template = " ".join(f"{{Column {number}}}" for number in range(900))
    plant.metadata.objects["recipes/shop.toml"] = f'template = "{template}"'.encode()
    reason = split(plant, "shop/a.csv").reason
    assert reason.startswith("The template needs a column 'Column 0'")
    assert re.search(r"And 8\d\d more\.$", reason)


def test_a_misfit_of_any_length_leaves_room_for_how_many_more_there_are(plant: Plant) -> None:
    plant.metadata.objects["recipes/shop.toml"] = f'template = "{{{"x" * 30_000}}} {{{"y" * 30_000}}}"'.encode()
    assert split(plant, "shop/a.csv").reason.endswith("x… And 1 more.")


def test_a_column_name_that_fits_no_message_rejects_the_file(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", f"prompt,{'x' * 201}\ncat,1\n")
    plant.split()
    assert "column 2" in plant.batch(batch_id).reason
    assert "201 characters; shorten it to 200" in plant.batch(batch_id).reason


@pytest.mark.parametrize("write", [batch_changes.reject, batch_changes.cut_short])
def test_no_reason_of_any_length_gets_into_a_record(write: Callable[[str, int], Write]) -> None:
    reason = write("x" * 9_000, 0).sets["reason"]
    assert isinstance(reason, str)
    assert len(reason) == 2_000
