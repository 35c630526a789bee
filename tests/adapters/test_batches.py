"""The batches table carries out what the rules mean, and finds open batches and parts."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from functions.adapters.batches import DynamoBatchStore
from functions.adapters.indexes import LISTING_INDEX
from functions.core.batches import changes as batch_changes
from functions.core.batches.counting import exactly
from functions.core.batches.records import CLOSED, Batch, BatchState, Part, RowProblem, Source
from functions.core.writes import StaleWriteError
from ops.local.session import EmbeddedSession

pytestmark = pytest.mark.e2e

NOW_MS = 1_790_000_000_000
SOURCE = Source("inbox", "shop/a.csv", "v1")
PART = Part(offset=7, end=107, end_line=12, first_row=1, rows=10, invalid_rows=1, requested=9)
COUNTED = batch_changes.count({"parts_done": 1, "rows": 10, "cost_usd": Decimal("0.003")}, NOW_MS + 1)


def string(name: str) -> Any:
    return {"AttributeName": name, "AttributeType": "S"}


@pytest.fixture
def store(embedded: EmbeddedSession) -> DynamoBatchStore:
    client = embedded.client("dynamodb")
    name = f"batches-{uuid.uuid4().hex}"
    client.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "batch_id", "KeyType": "HASH"},
            {"AttributeName": "item", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[string(each) for each in ("batch_id", "item", "listing", "created_at")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": LISTING_INDEX,
                "KeySchema": [
                    {"AttributeName": "listing", "KeyType": "HASH"},
                    {"AttributeName": "created_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return DynamoBatchStore(client, name)


def opened(store: DynamoBatchStore, batch_id: str = "a-1", now_ms: int = NOW_MS) -> Batch:
    write = batch_changes.open_batch(
        batch_id,
        SOURCE,
        recipe="shop",
        recipe_text='template = "{Title}"',
        chunk_rows=5000,
        deadline_hours=6,
        now_ms=now_ms,
    )
    return store.write(batch_id, write)


def test_a_batch_reads_back_as_it_was_opened(store: DynamoBatchStore) -> None:
    batch = opened(store)
    assert store.get("a-1") == batch
    assert (batch.source, batch.recipe, batch.chunk_rows, batch.state) == (SOURCE, "shop", 5000, BatchState.SCANNING)
    assert store.get("a-2") is None


def test_a_batch_is_opened_once(store: DynamoBatchStore) -> None:
    opened(store)
    with pytest.raises(StaleWriteError) as stale:
        opened(store, now_ms=NOW_MS + 5)
    assert stale.value.record["created_at"] == store.get("a-1").created_at  # type: ignore[union-attr]


def test_counters_add_up_and_a_closed_batch_keeps_them(store: DynamoBatchStore) -> None:
    opened(store)
    store.write("a-1", COUNTED)
    assert store.write("a-1", COUNTED).cost_usd == Decimal("0.006")
    recounting = store.write("a-1", batch_changes.begin_recount(NOW_MS, NOW_MS + 660_000))
    counts = exactly({"rows": 10, "jobs": 9, "succeeded": 9})
    closed = store.write("a-1", batch_changes.close(recounting, counts, results_key="r.csv", reason="", now_ms=NOW_MS))
    assert (closed.listing, closed.state, closed.succeeded) == (CLOSED, BatchState.COMPLETED, 9)
    for write in (
        COUNTED,
        batch_changes.touch(NOW_MS),
        batch_changes.recount_again(),
        batch_changes.rung(["m-1.a"], NOW_MS),
    ):
        with pytest.raises(StaleWriteError):
            store.write("a-1", write)
    assert store.get("a-1") == closed


def test_counting_makes_no_batch(store: DynamoBatchStore) -> None:
    with pytest.raises(StaleWriteError):
        store.write("a-1", COUNTED)
    assert store.get("a-1") is None


def test_open_batches_are_listed_with_the_oldest_first(store: DynamoBatchStore) -> None:
    for number in (2, 1, 3):
        opened(store, f"a-{number}", NOW_MS + number)
    store.write("a-2", batch_changes.reject("no", NOW_MS))
    assert store.open_batches() == ("a-1", "a-3")


def test_a_part_and_its_count_are_written_once_and_together(store: DynamoBatchStore) -> None:
    opened(store)
    assert store.add_part("a-1", PART, COUNTED)
    assert not store.add_part("a-1", PART, COUNTED)
    assert store.get_part("a-1", 7) == PART
    assert store.get("a-1").parts_done == 1  # type: ignore[union-attr]


def test_a_closed_batch_gets_no_part(store: DynamoBatchStore) -> None:
    opened(store)
    store.write("a-1", batch_changes.reject("no", NOW_MS))
    with pytest.raises(StaleWriteError):
        store.add_part("a-1", PART, COUNTED)
    assert store.get_part("a-1", 7) is None


def test_parts_come_in_the_order_of_the_file_with_their_problems(store: DynamoBatchStore) -> None:
    opened(store)
    offsets = (1_000_000, 7, 20_000)
    problems = (RowProblem(3, 4, "seed", "seed 'abc' is not a whole number"),)
    for offset in offsets:
        part = Part(offset, offset + 1, end_line=3, first_row=1, rows=1, invalid_rows=1, requested=0, problems=problems)
        assert store.add_part("a-1", part, COUNTED)
    parts = list(store.parts("a-1"))
    assert [part.offset for part in parts] == sorted(offsets)
    assert parts[0].problems == problems


def test_counts_of_many_writers_at_a_time_are_all_there(store: DynamoBatchStore) -> None:
    opened(store)
    with ThreadPoolExecutor(8) as threads:
        added = threads.map(
            lambda at: store.add_part(
                "a-1", Part(at, at + 1, end_line=at, first_row=at, rows=10, invalid_rows=0, requested=0), COUNTED
            ),
            range(20),
        )
        list(threads.map(lambda _: store.write("a-1", COUNTED), range(20)))
        assert all(added)
    assert store.get("a-1").rows == 400  # type: ignore[union-attr]


def test_a_batch_is_nudged_once_for_what_was_seen(store: DynamoBatchStore) -> None:
    seen = opened(store)
    store.write("a-1", batch_changes.nudge(seen, NOW_MS))
    with pytest.raises(StaleWriteError):
        store.write("a-1", batch_changes.nudge(seen, NOW_MS + 1))


def test_one_recount_at_a_time_until_its_time_is_over(store: DynamoBatchStore) -> None:
    opened(store)
    store.write("a-1", batch_changes.begin_recount(NOW_MS, NOW_MS + 660_000))
    with pytest.raises(StaleWriteError):
        store.write("a-1", batch_changes.begin_recount(NOW_MS + 1, NOW_MS + 660_001))
    assert store.write("a-1", batch_changes.recount_again()).recount_again
    after = store.write("a-1", batch_changes.begin_recount(NOW_MS + 660_000, NOW_MS + 999_000))
    assert not after.recount_again


def test_ringing_is_noted_for_each_model_whatever_its_name(store: DynamoBatchStore) -> None:
    opened(store)
    assert store.write("a-1", batch_changes.rung(["flux-1.1/pro", "other"], NOW_MS)).rung
    store.write("a-1", batch_changes.ring_again("third", NOW_MS, NOW_MS))
    with pytest.raises(StaleWriteError):
        store.write("a-1", batch_changes.ring_again("flux-1.1/pro", NOW_MS + 5, NOW_MS - 1))
    store.write("a-1", batch_changes.ring_again("flux-1.1/pro", NOW_MS + 5, NOW_MS))


def test_a_batch_says_that_it_waits_for_a_lane_until_that_is_back(store: DynamoBatchStore) -> None:
    opened(store)
    assert "'gone'" in store.write("a-1", batch_changes.wait_for_lane("gone")).reason
    assert store.write("a-1", batch_changes.lane_is_back("gone")).reason == ""
