"""A CSV in the bucket becomes pictures and a results.csv, and no picture is paid for twice."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

from functions.core.batches.records import Batch, BatchState
from functions.core.keys import batch_id_for
from tests.check_demo import problems
from tests.e2e.pipeline import CANARY, PRICE, Pipeline, file_of, table

PRODUCTS = Path(__file__).resolve().parents[2] / "events" / "products.csv"


def test_the_products_dropped_in_the_bucket_become_pictures(pipeline: Pipeline) -> None:
    sent = table(PRODUCTS.read_text())

    batch_id = pipeline.put("products.csv", PRODUCTS.read_bytes())
    batch = pipeline.ended(batch_id)

    assert (batch.state, batch.rows, batch.invalid_rows, batch.failed) == (BatchState.COMPLETED, 24, 0, 0)
    assert (batch.requested, batch.jobs, batch.succeeded, batch.duplicates_prevented) == (24, 23, 23, 1)
    rows = pipeline.results(batch_id)
    assert [row["sku"] for row in rows] == [row["sku"] for row in sent]
    for row, asked in zip(rows, sent, strict=True):
        assert {name: row[name] for name in asked} == asked
        assert (row["status"], row["picture_name"]) == ("success", asked["sku"])
        size = int(asked["width"] or 1024), int(asked["height"] or 1024)
        assert (row["result_width"], row["result_height"]) == tuple(map(str, size))
        pipeline.check_picture(row, size)
    charges = pipeline.charges()
    assert charges.keys() == {row["job_id"] for row in rows}
    assert charges.total() == 23
    assert batch.cost_usd == pipeline.net_usd() == 23 * PRICE


def test_a_row_that_is_there_twice_is_paid_once_and_says_whose_picture_it_shows(pipeline: Pipeline) -> None:
    batch_id = pipeline.put("twins.csv", file_of([f"{CANARY} twin", f"{CANARY} other", f"  {CANARY}   twin "]))
    batch = pipeline.ended(batch_id)

    first, _, third = pipeline.results(batch_id)
    assert (third["image"], third["duplicate_of"], third["cost_usd"]) == (first["image"], "1", "0")
    assert (batch.jobs, batch.duplicates_prevented, batch.cost_usd) == (2, 1, 2 * PRICE)
    assert pipeline.charges().total() == 2


def test_variants_are_pictures_of_their_own_named_one_after_the_other(pipeline: Pipeline) -> None:
    text = f"sku,prompt,width,height,variants\nMUG,{CANARY} mug,256,256,3\n"
    batch_id = pipeline.put("variants.csv", text)
    batch = pipeline.ended(batch_id)

    rows = pipeline.results(batch_id)
    assert [row["picture_name"] for row in rows] == ["MUG-1", "MUG-2", "MUG-3"]
    assert len({row["sha256"] for row in rows}) == len({row["seed"] for row in rows}) == 3
    assert (batch.rows, batch.jobs, batch.cost_usd) == (1, 3, 3 * PRICE)


def test_the_aws_cli_starts_a_batch_as_any_upload_does(
    pipeline: Pipeline, aws_cli: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "from-the-cli.csv"
    file.write_text(file_of([f"{CANARY} by the AWS CLI"]))
    bucket = pipeline.stack.inbox_bucket

    aws_cli("s3", "cp", str(file), f"s3://{bucket}/")

    version = pipeline.stack.s3().head_object(Bucket=bucket, Key=file.name)["VersionId"]
    batch = pipeline.ended(batch_id_for(file.name, version))
    assert (batch.state, batch.succeeded) == (BatchState.COMPLETED, 1)


def test_a_file_may_be_called_whatever_a_bucket_takes(pipeline: Pipeline) -> None:
    batch_id = pipeline.put("Neue Töpfe/Frühling & Sommer + 1 %20.csv", file_of([f"{CANARY} by any name"]))

    batch = pipeline.ended(batch_id)

    assert batch_id.startswith("fr-hling-sommer-1-20-")
    assert (batch.state, batch.succeeded) == (BatchState.COMPLETED, 1)


def test_what_was_sent_before_costs_nothing_in_any_order_and_under_any_name(pipeline: Pipeline) -> None:
    prompts = [f"{CANARY} sent again {number}" for number in range(12)]
    first = pipeline.ended(pipeline.put("first.csv", file_of(prompts)))
    assert first.cost_usd == 12 * PRICE
    shuffled = random.Random(1).sample(prompts, len(prompts))

    again = pipeline.put("other/name.csv", file_of(prompts))
    reordered = pipeline.put("reordered.csv", file_of(shuffled))

    for batch_id, order in ((again, prompts), (reordered, shuffled)):
        free_of_charge(pipeline, pipeline.ended(batch_id), order, paid_by=first.batch_id)
    assert pipeline.charges().total() == 12
    assert [row["duplicate_of"] for row in pipeline.results(first.batch_id)] == [""] * 12


def free_of_charge(pipeline: Pipeline, batch: Batch, prompts: list[str], *, paid_by: str) -> None:
    """See that a batch has all of its pictures, in its own order, at another one's expense."""
    assert (batch.state, batch.succeeded, batch.requested) == (BatchState.COMPLETED, 12, 12)
    assert (batch.duplicates_prevented, str(batch.cost_usd)) == (12, "0")
    rows = pipeline.results(batch.batch_id)
    assert [row["prompt"] for row in rows] == prompts
    assert {(row["status"], row["cost_usd"], row["duplicate_of"]) for row in rows} == {("success", "0", paid_by)}
    for row in rows:
        pipeline.check_picture(row, (256, 256))


def test_two_files_at_a_time_share_their_pictures(pipeline: Pipeline) -> None:
    prompts = [f"{CANARY} shared {number}" for number in range(30)]
    batches = [pipeline.put(f"{name}.csv", file_of(prompts)) for name in ("left", "right")]

    left, right = (pipeline.ended(batch_id) for batch_id in batches)

    assert (left.succeeded, right.succeeded) == (30, 30)
    assert left.cost_usd + right.cost_usd == 30 * PRICE == pipeline.net_usd()
    assert left.duplicates_prevented + right.duplicates_prevented == 30
    assert set(pipeline.charges().values()) == {1}
    for batch_id in batches:
        assert [row["prompt"] for row in pipeline.results(batch_id)] == prompts


def test_the_command_line_submits_waits_and_fetches(pipeline: Pipeline, tmp_path: Path) -> None:
    status = json.loads(pipeline.imagebatch("submit", str(PRODUCTS), "--wait", "--json"))
    assert (status["state"], status["rows"], status["succeeded"]) == ("completed", 24, 23)

    folder = tmp_path / "out"
    pipeline.imagebatch("results", status["batch_id"], "--output", str(folder))

    assert problems(folder) == []
    with (folder / "results.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 24


def test_a_file_cut_into_many_chunks_comes_back_whole_and_in_its_order(pipeline: Pipeline) -> None:
    """The stack of the tests cuts after every 40 rows."""
    prompts = [f"{CANARY} row {number}" if number % 10 else f"{CANARY} tenth" for number in range(130)]

    batch_id = pipeline.put("long.csv", file_of(prompts))
    batch = pipeline.ended(batch_id)

    assert (batch.parts_done, batch.rows, batch.jobs, batch.duplicates_prevented) == (4, 130, 118, 12)
    assert [row["prompt"] for row in pipeline.results(batch_id)] == prompts
    assert pipeline.charges().total() == 118
