"""Chunks become parts: how they are cut, what they keep, and that each is made once."""

from __future__ import annotations

import json
from typing import Any

from functions.core.batches.messages import Chunk, Scan
from functions.core.batches.records import BatchState, part_record
from functions.core.messages import dump
from tests.fakes.plant import FILE, CrashError, Plant


def test_chunks_are_cut_at_the_row_count_the_batch_began_with() -> None:
    plant = Plant(chunk_rows=2)
    batch_id = plant.upload("a.csv", "prompt\n" + "cat\n" * 5)
    plant.split(1)
    assert [(one.row, one.offset) for one in plant.sent(Chunk)] == [(1, 7), (3, 15), (5, 23)]
    deployed_anew = Plant(chunk_rows=5, inbox=plant.inbox, batches=plant.batches)
    deployed_anew.handle_intake(dump(Scan(batch_id, "a.csv", "v1", 0, 1, 1)))
    assert deployed_anew.intake.bodies == plant.intake.bodies


def test_a_part_is_bounded_by_the_pictures_that_its_rows_ask_for() -> None:
    plant = Plant(chunk_rows=100, part_jobs=250)
    batch_id = plant.upload("a.csv", "prompt,variants\n" + "".join(f"cat {row},100\n" for row in range(8)))
    plant.heal()
    parts = list(plant.batches.parts(batch_id))
    assert [(part.first_row, part.rows, part.requested) for part in parts] == [(1, 3, 300), (4, 3, 300), (7, 2, 200)]
    assert [part.end for part in parts[:-1]] == [part.offset for part in parts[1:]]
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows, batch.succeeded) == (BatchState.COMPLETED, 8, 800)


def test_a_part_that_exists_is_not_made_again(plant: Plant) -> None:
    plant.upload("a.csv", FILE)
    plant.split(1)
    (chunk,) = plant.intake.bodies
    plant.split()
    parts, jobs = dict(plant.batches.part_records), list(plant.jobs.written)
    plant.inbox.objects.clear()
    plant.handle_intake(chunk)
    assert (plant.batches.part_records, plant.jobs.written) == (parts, jobs)


def test_of_two_who_make_a_part_at_a_time_one_counts_its_duplicates(plant: Plant) -> None:
    plant.upload("a.csv", FILE)
    plant.split(1)
    (chunk,) = plant.intake.bodies
    add_part = plant.batches.add_part

    def meanwhile(*arguments: Any) -> bool:
        plant.batches.add_part = add_part  # type: ignore[method-assign]
        plant.handle_intake(chunk)
        return add_part(*arguments)

    plant.batches.add_part = meanwhile  # type: ignore[method-assign,assignment]
    plant.handle_intake(chunk)
    assert [line["duplicates"] for line in plant.log.of("part_made")] == [2]


def test_a_first_chunk_that_died_before_it_rang_rings_when_it_comes_back(plant: Plant) -> None:
    plant.upload("a.csv", FILE)
    plant.split(1)
    (chunk,) = plant.intake.bodies
    send = plant.lane.send

    def die(bodies: list[str], *, delay_seconds: int = 0) -> None:
        plant.lane.send = send  # type: ignore[method-assign]
        raise CrashError

    plant.lane.send = die  # type: ignore[method-assign,assignment]
    plant.split()
    assert len(plant.lane.messages) == 5
    plant.handle_intake(chunk)
    assert len(plant.lane.messages) == 5, "a third delivery rings nobody"


def test_a_chunk_of_a_batch_that_was_closed_meanwhile_adds_nothing(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split(1)
    plant.batches.records[batch_id]["listing"] = "closed"
    plant.split()
    assert list(plant.batches.parts(batch_id)) == []
    assert plant.jobs.records == {}


def test_a_part_keeps_its_first_problems_with_line_and_column(plant: Plant) -> None:
    batch_id = plant.upload("a.csv", "prompt,seed\ncat,abc\n" + "dog,\n" + ",\n" * 30)
    plant.split()
    (part,) = plant.batches.parts(batch_id)
    assert (part.rows, part.invalid_rows, len(part.problems)) == (32, 31, 20)
    first = part.problems[0]
    assert (first.row, first.line, first.column) == (1, 2, "seed")


def test_a_part_with_the_longest_names_and_messages_fits_a_record(plant: Plant) -> None:
    names = [f"params.{number:03}{'ä' * 180}" for number in range(300)]
    rows = ("cat" + ",1" * 300 + "\n") * 30
    batch_id = plant.upload("a.csv", ",".join(["prompt", *names]) + "\n" + rows)
    plant.heal()
    (part,) = plant.batches.parts(batch_id)
    assert len(json.dumps(part_record(part), ensure_ascii=False).encode()) < 400 * 1024 // 2
    assert max(len(cell) for line in plant.results(batch_id) for cell in line.values()) < 32_767
