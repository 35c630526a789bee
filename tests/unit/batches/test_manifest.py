"""The manifest keeps each row with its jobs, and the same rows as the same bytes."""

from __future__ import annotations

from functions.core.batches import manifest
from tests.fakes.plant import FILE, MODEL, Plant


def test_a_manifest_part_reads_back_as_it_was_written(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "\ufeffsku,prompt\nä\u2028;,=cat\n,\n")
    plant.split()
    (part,) = plant.batches.parts(batch_id)
    content = manifest.load(plant.metadata, batch_id, part.offset)
    assert content.bom
    assert content.columns == ("sku", "prompt")
    assert [row.cells for row in content.rows] == [("ä\u2028;", "=cat"), ("", "")]
    assert content.rows[0].picture_name.startswith("ä")
    assert content.job_ids(MODEL) == content.rows[0].job_ids
    assert content.rows[1].problems


def test_the_manifest_is_the_same_bytes_when_a_part_is_made_again() -> None:
    plant, twin = Plant(), Plant()
    twin.clock.pass_time(1000)
    for one in (plant, twin):
        one.upload("a.csv", FILE)
        one.split()
    assert plant.metadata.objects == twin.metadata.objects
    assert {body[4:8] for body in plant.metadata.objects.values()} == {bytes(4)}, "gzip's time of writing"
