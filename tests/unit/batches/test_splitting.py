"""A file becomes jobs, a manifest and doorbells; run twice, or stopped anywhere and run again, it is the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.batches import manifest
from functions.core.batches.records import BatchState, epoch_ms, part_record
from functions.core.catalog import parse_catalog
from functions.core.errors import ErrorClass
from functions.core.jobs import lifecycle
from functions.core.jobs.records import State
from functions.core.messages import Chunk, Scan, Tick, dump, parse_intake
from tests.fakes.plant import CATALOG, MODEL, PRICE, CrashError, Plant, counters

FILE = "sku,prompt,variants\n1,cat,\n2,dog,2\n3,cat,\n4,,\n5,bird,\n6,cat,\n7,fish,\n"


def run_through(plant: Plant) -> str:
    batch_id = plant.upload("a.csv", FILE)
    plant.heal()
    return batch_id


def outcome(plant: Plant, batch_id: str) -> object:
    """What people and the provider's bill get to see."""
    jobs = {job_id: (record["state"], record["batch_id"]) for job_id, record in plant.jobs.records.items()}
    attempts = {record["attempt_count"] for record in plant.jobs.records.values()}
    batch = plant.batch(batch_id)
    return batch.state, counters(batch), plant.results(batch_id), jobs, attempts


UNDISTURBED = Plant(chunk_rows=3)
EXPECTED = outcome(UNDISTURBED, run_through(UNDISTURBED))


def test_the_counters_of_a_closed_batch_are_those_of_its_rows() -> None:
    plant = Plant(chunk_rows=3)
    batch = plant.batch(run_through(plant))
    assert batch.state is BatchState.COMPLETED
    assert counters(batch) == {
        "rows": 7,
        "invalid_rows": 1,
        "requested": 7,
        "jobs": 5,
        "pending": 0,
        "running": 0,
        "held": 0,
        "succeeded": 5,
        "failed": 0,
        "repaid": 0,
        "duplicates_prevented": 2,
        "cost_usd": 5 * PRICE,
    }


PART_JOBS = [pytest.param(10_000, id="whole chunks"), pytest.param(2, id="chunks of several parts")]


@pytest.mark.parametrize("part_jobs", PART_JOBS)
@pytest.mark.parametrize("call", range(1, 220))
def test_dying_after_any_call_to_a_store_or_queue_changes_nothing(call: int, part_jobs: int) -> None:
    plant = Plant(chunk_rows=3, part_jobs=part_jobs)
    plant.crashes.countdown = call
    assert outcome(plant, run_through(plant)) == EXPECTED


@pytest.mark.parametrize("part_jobs", PART_JOBS)
def test_the_crashes_above_cover_every_call_of_a_run(part_jobs: int) -> None:
    plant = Plant(chunk_rows=3, part_jobs=part_jobs)
    plant.crashes.countdown = 10_000
    run_through(plant)
    assert 10_000 - plant.crashes.countdown < 220


@given(st.data())
def test_messages_that_come_twice_in_any_order_change_nothing(data: st.DataObject) -> None:
    plant = Plant(chunk_rows=data.draw(st.integers(1, 4)), part_jobs=data.draw(st.integers(1, 9)))
    batch_id = plant.upload("a.csv", FILE)
    for _ in range(40):
        if not plant.intake.messages:
            break
        plant.intake.messages = data.draw(st.permutations(plant.intake.messages))
        body, _ = plant.intake.messages.pop(0)
        for _ in range(data.draw(st.integers(1, 2))):
            plant.handle_intake(body)
        if data.draw(st.booleans()):
            plant.work()
        if data.draw(st.booleans()):
            plant.track()
    plant.heal()
    assert outcome(plant, batch_id) == EXPECTED


@given(st.data())
def test_messages_that_are_lost_heal(data: st.DataObject) -> None:
    plant = Plant(chunk_rows=data.draw(st.integers(1, 9)), part_jobs=data.draw(st.integers(1, 9)))
    batch_id = plant.upload("a.csv", FILE)
    plant.split(1)
    for _ in range(data.draw(st.integers(1, 8))):
        for queue in (plant.intake, plant.lane, plant.reports):
            queue.messages = [one for one in queue.messages if data.draw(st.booleans())]
        plant.jobs.stream = plant.jobs.stream[: data.draw(st.integers(0, len(plant.jobs.stream)))]
        plant.split(1)
        plant.work()
        plant.track()
        plant.report(1)
    plant.heal()
    assert outcome(plant, batch_id) == EXPECTED


def test_the_same_file_sent_twice_costs_nothing_the_second_time() -> None:
    plant = Plant(chunk_rows=3)
    run_through(plant)
    again = plant.upload("a.csv", FILE, version="v2")
    plant.heal()
    batch = plant.batch(again)
    assert (batch.jobs, batch.succeeded, batch.requested, batch.duplicates_prevented) == (5, 5, 7, 7)
    assert batch.cost_usd == 0
    assert {line["cost_usd"] for line in plant.results(again)} == {"0", ""}
    assert {record["attempt_count"] for record in plant.jobs.records.values()} == {1}


def test_a_batch_whose_jobs_had_all_ended_closes_without_any_job_changing() -> None:
    plant = Plant(chunk_rows=3)
    run_through(plant)
    again = plant.upload("a.csv", FILE, version="v2")
    plant.split()
    plant.report()
    assert plant.jobs.stream == []
    assert plant.batch(again).state is BatchState.COMPLETED


def test_two_batches_at_a_time_make_each_picture_once_and_both_have_it() -> None:
    plant = Plant(chunk_rows=3)
    first = plant.upload("a.csv", FILE)
    second = plant.upload("b.csv", FILE)
    plant.heal()
    costs = [plant.batch(one).cost_usd for one in (first, second)]
    assert sum(costs) == 5 * PRICE
    assert [line["image"] for line in plant.results(first)] == [line["image"] for line in plant.results(second)]


def fail_all(plant: Plant, text: str, error: ErrorClass) -> str:
    batch_id = plant.upload("a.csv", text)
    plant.split()
    for job_id in list(plant.jobs.records):
        plant.end_job(job_id, State.FAILED, error)
    plant.lane.messages.clear()
    plant.heal()
    return batch_id


def test_a_job_that_failed_for_a_passing_reason_gets_fresh_tries_from_the_next_batch() -> None:
    plant = Plant()
    failed = fail_all(plant, "prompt\ncat\n", ErrorClass.FUNDS)
    assert plant.batch(failed).failed == 1
    again = plant.upload("b.csv", "prompt\ncat\n")
    plant.heal()
    assert (plant.batch(again).succeeded, plant.batch(again).cost_usd) == (1, PRICE)
    assert plant.batch(failed).failed == 1, "a closed batch does not change"


def test_a_job_that_failed_for_good_fails_the_next_batch_at_once() -> None:
    plant = Plant()
    fail_all(plant, "prompt\ncat\n", ErrorClass.MODERATED)
    again = plant.upload("b.csv", "prompt\ncat\n")
    plant.heal()
    assert (plant.batch(again).failed, plant.batch(again).jobs) == (1, 1)
    (line,) = plant.results(again)
    assert (line["status"], line["error_class"]) == ("failed", "moderated")


def test_a_batch_does_not_revive_its_own_failures() -> None:
    plant = Plant(chunk_rows=1)
    plant.upload("a.csv", "prompt\ncat\ncat\n")
    plant.split(2)
    (job_id,) = plant.jobs.records
    plant.end_job(job_id, State.FAILED)
    plant.heal()
    assert plant.job(job_id).state is State.FAILED


class JobThatEndsWhileItIsJoined:
    """A job of another batch that succeeds between being read and being joined."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.write_many = plant.jobs.write_many
        plant.jobs.write_many = self  # type: ignore[method-assign]

    def __call__(self, writes):  # type: ignore[no-untyped-def]
        for job_id in writes:
            if self.plant.job(job_id).state is State.PENDING:
                self.plant.end_job(job_id, State.SUCCESS)
        return self.write_many(writes)


def test_a_job_that_ends_while_it_is_joined_is_counted_as_ended() -> None:
    plant = Plant()
    plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    JobThatEndsWhileItIsJoined(plant)
    second = plant.upload("b.csv", "prompt\ncat\n")
    plant.split()
    batch = plant.batch(second)
    assert (batch.jobs, batch.succeeded, batch.pending) == (1, 1, 0)


def test_a_part_keeps_its_first_problems_with_line_and_column() -> None:
    plant = Plant()
    batch_id = plant.upload("a.csv", "prompt,seed\ncat,abc\n" + "dog,\n" + ",\n" * 30)
    plant.split()
    (part,) = plant.batches.parts(batch_id)
    assert (part.rows, part.invalid_rows, len(part.problems)) == (32, 31, 20)
    first = part.problems[0]
    assert (first.row, first.line, first.column) == (1, 2, "seed")


def test_the_manifest_is_the_same_bytes_when_a_part_is_made_again() -> None:
    plant, twin = Plant(), Plant()
    twin.clock.pass_time(1000)
    for one in (plant, twin):
        one.upload("a.csv", FILE)
        one.split()
    assert plant.metadata.objects == twin.metadata.objects
    assert {body[4:8] for body in plant.metadata.objects.values()} == {bytes(4)}, "gzip's time of writing"


def test_a_manifest_part_reads_back_as_it_was_written() -> None:
    plant = Plant()
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


def test_a_chunk_of_a_batch_that_was_closed_meanwhile_adds_nothing() -> None:
    plant = Plant()
    batch_id = plant.upload("a.csv", "prompt\ncat\n")
    plant.split(1)
    plant.batches.records[batch_id]["listing"] = "closed"
    plant.split()
    assert list(plant.batches.parts(batch_id)) == []
    assert plant.jobs.records == {}


def test_chunks_are_cut_at_the_row_count_the_batch_began_with() -> None:
    plant = Plant(chunk_rows=2)
    plant.upload("a.csv", "prompt\n" + "cat\n" * 5)
    plant.split(1)
    later = Plant(chunk_rows=5, inbox=plant.inbox, batches=plant.batches, metadata=plant.metadata, jobs=plant.jobs)
    later.upload("a.csv", plant.inbox.objects["a.csv"])
    later.split(1)
    places = [
        [(one.row, one.offset) for body in queue.bodies for one in parse_intake(body) if isinstance(one, Chunk)]
        for queue in (plant.intake, later.intake)
    ]
    assert places[0] == [(1, 7), (3, 15), (5, 23)]
    assert places[1] == [], "the batch was scanned before, so nothing is to be done"


def test_joining_waits_for_held_jobs_too() -> None:
    plant = Plant()
    plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    (job_id,) = plant.jobs.records
    plant.end_job(job_id, State.HELD)
    second = plant.upload("b.csv", "prompt\ncat\n")
    plant.split()
    plant.track()
    assert plant.batch(second).held == 1
    assert second in plant.job(job_id).batches
    assert not lifecycle.revivable(plant.job(job_id))


def test_duplicates_are_counted_as_soon_as_they_are_known() -> None:
    plant = Plant()
    batch_id = plant.upload("a.csv", FILE)
    plant.split()
    assert plant.batch(batch_id).duplicates_prevented == 2


def test_a_job_that_ended_while_it_was_joined_is_not_rung() -> None:
    plant = Plant()
    plant.upload("a.csv", "prompt\ncat\n")
    plant.split()
    plant.lane.messages.clear()
    JobThatEndsWhileItIsJoined(plant)
    plant.upload("b.csv", "prompt\ncat\n")
    plant.split()
    assert plant.lane.messages == []


def test_a_part_that_exists_is_not_made_again() -> None:
    plant = Plant()
    plant.upload("a.csv", FILE)
    plant.split(1)
    (chunk,) = plant.intake.bodies
    plant.split()
    parts, jobs = dict(plant.batches.part_records), list(plant.jobs.written)
    plant.inbox.objects.clear()
    plant.handle_intake(chunk)
    assert (plant.batches.part_records, plant.jobs.written) == (parts, jobs)


def test_a_first_chunk_that_died_before_it_rang_rings_when_it_comes_back() -> None:
    plant = Plant()
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


def test_a_part_is_bounded_by_the_pictures_that_its_rows_ask_for() -> None:
    plant = Plant(chunk_rows=100, part_jobs=250)
    batch_id = plant.upload("a.csv", "prompt,variants\n" + "".join(f"cat {row},100\n" for row in range(8)))
    plant.heal()
    parts = list(plant.batches.parts(batch_id))
    assert [(part.first_row, part.rows, part.requested) for part in parts] == [(1, 3, 300), (4, 3, 300), (7, 2, 200)]
    assert [part.end for part in parts[:-1]] == [part.offset for part in parts[1:]]
    batch = plant.batch(batch_id)
    assert (batch.state, batch.rows, batch.succeeded) == (BatchState.COMPLETED, 8, 800)


def test_a_scan_sends_a_chunk_again_if_the_rest_of_it_was_lost() -> None:
    plant = Plant(chunk_rows=4, part_jobs=2)
    batch_id = plant.upload("a.csv", FILE)
    plant.split(2)
    plant.intake.messages.clear()
    plant.handle_intake(dump(Scan(batch_id, "a.csv", "v1", 0, 1, 1)))
    chunks = [one for body in plant.intake.bodies for one in parse_intake(body) if isinstance(one, Chunk)]
    assert [one.row for one in chunks] == [1, 5], "of the first there is a part, but not of all its rows"
    plant.split()
    assert plant.batch(batch_id).whole
    plant.heal()
    assert outcome(plant, batch_id) == EXPECTED


def withdrawn(plant: Plant) -> Plant:
    """The same plant after a deploy that took the model of its recipe away."""
    catalog = parse_catalog(CATALOG.replace("[models.flux-schnell]", "[models.other]"))
    return replace(plant, catalog=catalog, lanes=("other",))


def with_recipe(chunk_rows: int) -> tuple[Plant, str]:
    plant = Plant(chunk_rows=chunk_rows)
    plant.metadata.objects["recipes/shop.toml"] = b'[defaults]\nmodel = "flux-schnell"\n'
    return plant, plant.upload("shop/a.csv", "prompt\ncat\ndog\n")


def test_a_catalog_that_a_deploy_changed_under_a_scanned_file_rejects_its_batch() -> None:
    plant, batch_id = with_recipe(chunk_rows=5)
    plant.split(1)
    plant = withdrawn(plant)
    plant.split()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.is_open) == (BatchState.REJECTED, False)
    assert "'flux-schnell' is not in the catalog" in batch.reason


def test_a_file_that_was_deleted_between_scan_and_chunk_rejects_its_batch() -> None:
    plant = Plant()
    batch_id = plant.upload("a.csv", FILE)
    plant.split(1)
    plant.inbox.objects.clear()
    plant.split()
    assert plant.batch(batch_id).state is BatchState.REJECTED
    assert "deleted" in plant.batch(batch_id).reason


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
        gone.reports.send([dump(Tick())])
        gone.report()
        gone.split()
    assert "'flux-schnell' wait" in gone.batch(batch_id).reason
    assert gone.batch(batch_id).pending == 2
    plant = replace(gone, catalog=plant.catalog, lanes=plant.lanes)
    for _ in range(20):
        plant.clock.pass_time(60)
        plant.reports.send([dump(Tick())])
        plant.report()
        plant.split()
    assert plant.lane.messages
    assert (plant.batch(batch_id).is_open, plant.batch(batch_id).reason) == (True, "")
    plant.heal()
    batch = plant.batch(batch_id)
    assert (batch.state, batch.succeeded, batch.reason) == (BatchState.COMPLETED, 2, "")


def test_a_part_with_the_longest_names_and_messages_fits_a_record() -> None:
    plant = Plant()
    names = [f"params.{number:03}{'ä' * 180}" for number in range(300)]
    rows = ("cat" + ",1" * 300 + "\n") * 30
    batch_id = plant.upload("a.csv", ",".join(["prompt", *names]) + "\n" + rows)
    plant.heal()
    (part,) = plant.batches.parts(batch_id)
    assert len(json.dumps(part_record(part), ensure_ascii=False).encode()) < 400 * 1024 // 2
    assert max(len(cell) for line in plant.results(batch_id) for cell in line.values()) < 32_767
