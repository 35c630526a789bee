"""A file, a model or a lane that is there when a batch begins, and gone before it ends."""

from __future__ import annotations

from dataclasses import replace

from functions.core.batches.messages import Scan
from functions.core.batches.records import BatchState, epoch_ms
from functions.core.catalog import parse_catalog
from functions.core.jobs.records import State
from functions.core.messages import dump
from tests.fakes.plant import CATALOG, FILE, Plant


def withdrawn(plant: Plant) -> Plant:
    """The same plant after a deploy that took the model of its recipe away."""
    catalog = parse_catalog(CATALOG.replace("[models.flux-schnell]", "[models.other]"))
    return replace(plant, catalog=catalog, lanes=("other",))


def with_recipe(chunk_rows: int) -> tuple[Plant, str]:
    plant = Plant(chunk_rows=chunk_rows)
    plant.metadata.objects["recipes/shop.toml"] = b'[defaults]\nmodel = "flux-schnell"\n'
    return plant, plant.upload("shop/a.csv", "prompt\ncat\ndog\n")


def test_a_file_that_was_deleted_between_scan_and_chunk_rejects_its_batch(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", FILE)
    plant.split(1)
    plant.inbox.objects.clear()
    plant.split()
    assert plant.batch(batch_id).state is BatchState.REJECTED
    assert "deleted" in plant.batch(batch_id).reason


def test_a_file_that_is_deleted_while_it_is_split_keeps_what_was_made_of_it() -> None:
    plant = Plant(chunk_rows=3)
    batch_id = plant.upload("a.csv", FILE)
    plant.split(2)
    plant.batches.records[batch_id] |= {"state": "scanning", "scanned": False}
    plant.inbox.objects.clear()
    plant.handle_intake(dump(Scan(batch_id, "a.csv", "v1", 0, 1, 1)))
    assert plant.batch(batch_id).is_open
    plant.intake.messages = [one for one in plant.intake.messages if '"chunk"' not in one[0]]
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows, batch.succeeded) == (BatchState.REJECTED, 3, 3)
    assert batch.reason.startswith("3 of the file's rows became")
    assert "deleted" in batch.reason
    assert len(plant.results(batch_id)) == 4


def test_a_catalog_that_a_deploy_changed_under_a_scanned_file_rejects_its_batch() -> None:
    plant, batch_id = with_recipe(chunk_rows=5)
    plant.split(1)
    plant = withdrawn(plant)
    plant.split()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.is_open) == (BatchState.REJECTED, False)
    assert "'flux-schnell' is not in the catalog" in batch.reason


def test_a_batch_that_has_parts_ends_with_them_and_with_the_reason_once_the_rest_is_unusable() -> None:
    plant, batch_id = with_recipe(chunk_rows=1)
    plant.split(2)
    (job_id,) = plant.jobs.records
    plant.end_job(job_id, State.SUCCESS)
    plant.lane.messages.clear()
    plant = withdrawn(plant)
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows, batch.succeeded) == (BatchState.REJECTED, 1, 1)
    assert "not in the catalog" in batch.reason
    assert [line["status"] for line in plant.results(batch_id)] == ["success"]
    assert epoch_ms(batch.finished_at) - epoch_ms(batch.created_at) < 3600_000


def test_jobs_whose_lane_a_deploy_took_away_wait_for_it_and_their_batch_says_so() -> None:
    plant, batch_id = with_recipe(chunk_rows=5)
    plant.split(2)
    plant.track()
    plant.lane.messages.clear()
    gone = withdrawn(plant)
    for _ in range(8):
        gone.clock.pass_time(60)
        gone.tick()
        gone.split()
    assert "'flux-schnell' wait" in gone.batch(batch_id).reason
    assert gone.batch(batch_id).pending == 2
    plant = replace(gone, catalog=plant.catalog, lanes=plant.lanes)
    for _ in range(20):
        plant.clock.pass_time(60)
        plant.tick()
        plant.split()
    assert plant.lane.messages
    assert (plant.batch(batch_id).is_open, plant.batch(batch_id).reason) == (True, "")
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded, batch.reason) == (BatchState.COMPLETED, 2, "")
