"""DynamoDB carries out a write exactly as the rules mean it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from functions.adapters import dynamodb
from functions.adapters.attribute_values import from_item, to_item
from functions.adapters.dynamodb import DynamoJobStore, Table
from functions.adapters.indexes import HELD_INDEX, REFERENCE_INDEX
from functions.core.catalog import load_catalog
from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import demand, lifecycle, operator
from functions.core.jobs.records import Job, Picture, State, job_from_record
from functions.core.lanes.pacing import Bucket, Holding, landed
from functions.core.writes import (
    Above,
    AllOf,
    AnyOf,
    AtMost,
    Lacks,
    Missing,
    OneOf,
    StaleWriteError,
    Write,
    apply,
    equals,
)
from ops.local.session import EmbeddedSession

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PICTURE = Picture(width=64, height=64, size=900, format="png", sha256="00" * 32)
PRICE = Decimal("0.003")
FAULT = Fault(ErrorClass.CAPACITY, "HTTP 503", 503)
LOST = Fault(ErrorClass.AMBIGUOUS, "the answer was lost")
LEASE_MS = 120_000

START_US = 1_790_000_000_000_000


pytestmark = pytest.mark.e2e


@pytest.fixture
def table(embedded: EmbeddedSession) -> Table:
    client: DynamoDBClient = embedded.client("dynamodb")
    name = f"jobs-{uuid.uuid4().hex}"
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": "job_id", "AttributeType": "S"},
            {"AttributeName": "reference", "AttributeType": "S"},
            {"AttributeName": "held", "AttributeType": "S"},
            {"AttributeName": "held_at", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": REFERENCE_INDEX,
                "KeySchema": [{"AttributeName": "reference", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
            {
                "IndexName": HELD_INDEX,
                "KeySchema": [
                    {"AttributeName": "held", "KeyType": "HASH"},
                    {"AttributeName": "held_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return Table(client, name, "job_id")


@pytest.fixture
def jobs(table: Table) -> DynamoJobStore:
    return DynamoJobStore(table)


def stored(table: Table, key: str) -> dict[str, Any]:
    return from_item(table.client.get_item(TableName=table.name, Key={table.key: {"S": key}})["Item"])


def create(number: int, batch: str = "a") -> tuple[str, Write]:
    job_id = f"{number:064x}"
    return job_id, demand.create(job_id, model="m", spec='{"v":1}', batch_id=batch, now_ms=number)


LIFE: tuple[Callable[[Job], Write], ...] = (
    lambda _: demand.join("b"),
    lambda _: lifecycle.claim_to_submit("w", 1, LEASE_MS),
    lambda _: lifecycle.heartbeat(1, 3, LEASE_MS),
    lambda job: lifecycle.give_back(1, job, FAULT, 4),
    lambda job: lifecycle.claim_to_look(job, "v", 5, LEASE_MS),
    lambda job: lifecycle.announce(2, job, 6),
    lambda _: lifecycle.doubt(2, LOST, 7),
    lambda job: lifecycle.claim_to_look(job, "u", 8, LEASE_MS),
    lambda job: lifecycle.hold(3, job, LOST, 9),
    lambda job: operator.resubmit(job, repays=True, price_usd=PRICE, now_ms=10),
    lambda job: lifecycle.claim_to_look(job, "t", 11, LEASE_MS),
    lambda job: lifecycle.announce(4, job, 12),
    lambda _: lifecycle.accept(4, reference="p2", response_code=200, leaving=True, now_ms=13),
    lambda job: lifecycle.count_payment(job, "p3", PRICE, 14),
    lambda job: lifecycle.finish(
        job,
        PICTURE,
        attempt=1,
        reference="p1",
        image_key="k",
        price_usd=PRICE,
        latency_ms=5,
        event_id="e1",
        now_ms=15,
    ),
)


def a_life() -> list[Write]:
    """Writes that use every kind of change."""
    writes = [create(1)[1]]
    record = apply(writes[0], {})
    for step in LIFE:
        writes.append(step(job_from_record(record)))
        record = apply(writes[-1], record)
    return writes


def test_a_life_in_the_table_is_the_life_the_rules_describe(table: Table) -> None:
    job_id, record = create(1)[0], dict[str, Any]()
    for write in a_life():
        record = apply(write, record)
        assert table.write(job_id, write) == record
        assert stored(table, job_id) == record


def test_a_write_whose_condition_does_not_hold_changes_nothing_and_says_what_is_stored(table: Table) -> None:
    job_id, first = create(1)
    table.write(job_id, first)
    with pytest.raises(StaleWriteError) as stale:
        table.write(job_id, create(1, batch="other")[1])
    assert stale.value.record == stored(table, job_id)
    assert stale.value.record["batch_id"] == "a"


def test_a_write_on_nothing_says_so(table: Table) -> None:
    with pytest.raises(StaleWriteError) as stale:
        table.write("nobody", lifecycle.claim_to_submit("w", 1, LEASE_MS))
    assert stale.value.record == {}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Missing("x"), True),
        (Missing("n"), False),
        (equals("s", "a"), True),
        (OneOf("s", ("b", "a")), True),
        (OneOf("s", ("b",)), False),
        (AtMost("n", 5), True),
        (AtMost("n", 4), False),
        (AtMost("x", 4), False),
        (Above("n", 4), True),
        (Above("n", 5), False),
        (Above("x", 4), False),
        (Lacks("x", "a"), True),
        (Lacks("set", "c"), True),
        (Lacks("set", "a"), False),
        (AllOf((equals("s", "a"), AtMost("n", 5))), True),
        (AllOf((equals("s", "a"), AnyOf((Missing("n"), Above("n", 9))))), False),
        (AnyOf((equals("s", "b"), AllOf((Above("n", 1), AtMost("n", 9))))), True),
    ],
)
def test_a_condition_holds_in_the_table_when_it_holds_for_the_rules(
    table: Table, condition: Any, expected: bool
) -> None:
    record: dict[str, Any] = {"job_id": "j", "n": Decimal(5), "s": "a", "set": frozenset({"a", "b"})}
    table.write("j", Write(name="seed", when=Missing("job_id"), sets=record))
    write = Write(name="probe", when=condition, sets={"touched": True})
    if expected:
        assert table.write("j", write)["touched"] is apply(write, record)["touched"] is True
        return
    with pytest.raises(StaleWriteError):
        table.write("j", write)
    with pytest.raises(StaleWriteError):
        apply(write, record)


def test_reserving_slots_makes_the_accounts_record_and_moves_it_on(table: Table) -> None:
    bucket, holding = Bucket(table, load_catalog().models["flux-schnell"]), Holding()
    first = bucket.reserve(2, START_US, holding).slots
    second = Bucket(table, load_catalog().models["flux-schnell"]).reserve(1, START_US, Holding()).slots
    assert [slot.at_us - START_US for slot in (*first, *second)] == pytest.approx([0, 120_240, 240_481], abs=2)
    assert (bucket.pace.in_flight, [slot.number for slot in second]) == (2, [3])


def test_calls_that_landed_are_given_back_whatever_the_record_says(table: Table) -> None:
    record = table.write("account", landed(1_790_000_030, 2))
    assert (record["in_flight"], record["until_1790000030"]) == (-2, -2)


def test_creating_many_tells_which_were_there_before_and_leaves_them_alone(jobs: DynamoJobStore) -> None:
    assert jobs.create_many(dict(create(number) for number in range(40))) == frozenset()
    again = jobs.create_many(dict(create(number, batch="b") for number in range(30, 60)))
    assert again == frozenset(create(number)[0] for number in range(30, 40))
    assert {job.batch_id for job in jobs.get_many(sorted(again), consistent=True).values()} == {"a"}


def test_created_in_bulk_or_one_by_one_a_job_is_the_same(jobs: DynamoJobStore) -> None:
    jobs.create_many(dict([create(1)]))
    job_id, write = create(2)
    assert jobs.write(job_id, write).batches == frozenset({"a"})
    assert jobs.get_many([create(1)[0]], consistent=True)[create(1)[0]] == job_from_record(apply(create(1)[1], {}))


def test_many_are_read_by_id_and_unknown_ids_are_left_out(jobs: DynamoJobStore) -> None:
    jobs.create_many(dict(create(number) for number in range(230)))
    ids = [create(number)[0] for number in range(250)]
    found = jobs.get_many([*ids, *ids], consistent=False)
    assert len(found) == 230
    assert all(job.state is State.PENDING for job in found.values())


def test_a_reference_is_known_once_a_job_names_it(jobs: DynamoJobStore) -> None:
    job_id = create(1)[0]
    for write in a_life():
        jobs.write(job_id, write)
    assert jobs.known_references(["p1", "p2"]) == frozenset({"p1"})


def hold(jobs: DynamoJobStore, *numbers: int) -> None:
    """Let jobs be held, each at the moment of its number."""
    jobs.create_many(dict(create(number) for number in numbers))
    for number in numbers:
        job_id = create(number)[0]
        jobs.write(job_id, lifecycle.claim_to_submit("w", 1, LEASE_MS))
        job = jobs.write(job_id, lifecycle.doubt(1, LOST, 2))
        jobs.write(job_id, lifecycle.hold(1, job, LOST, 1000 * number))


def test_held_jobs_come_as_they_are_stored_the_longest_held_first(
    jobs: DynamoJobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb, "_KEYS_PER_PAGE", 2)
    assert list(jobs.held()) == []
    jobs.create_many(dict([create(9)]))
    hold(jobs, 5, 3, 8, 1, 7)
    held = list(jobs.held())
    assert [job.job_id for job in held] == [create(number)[0] for number in (1, 3, 5, 7, 8)]
    assert held == list(jobs.get_many([job.job_id for job in held], consistent=True).values())


def test_a_job_that_is_not_held_any_more_is_not_among_the_held(jobs: DynamoJobStore) -> None:
    hold(jobs, 1, 2, 3)
    first, second, _ = held = list(jobs.held())
    jobs.write(first.job_id, operator.look_again(first, reference="", now_ms=9))
    jobs.write(second.job_id, operator.give_up(second, cost_usd=Decimal(0), now_ms=9))
    assert list(jobs.held()) == held[2:]


def test_the_index_is_not_believed_about_a_job_that_has_moved_on() -> None:
    """It lags behind the table."""
    job_id, write = create(1)
    client: Any = LaggingIndex(job_id, to_item(apply(write, {})))
    assert list(DynamoJobStore(Table(client, "jobs", "job_id")).held()) == []
    assert client.consistent


class LaggingIndex:
    """A client whose index still names a job that the table knows better."""

    def __init__(self, job_id: str, item: dict[str, Any]) -> None:
        self.keys, self.item, self.consistent = [{"job_id": {"S": job_id}}], item, False

    def get_paginator(self, _: str) -> LaggingIndex:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Items": self.keys}]

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803  # boto3's name
        self.consistent = RequestItems["jobs"]["ConsistentRead"]
        return {"Responses": {"jobs": [self.item]}}


def test_a_payment_is_counted_once(jobs: DynamoJobStore) -> None:
    hold(jobs, 1)
    (job,) = jobs.held()
    for reference in ("p1", "p2"):
        jobs.write(job.job_id, lifecycle.count_payment(job, reference, PRICE, 9))
        with pytest.raises(StaleWriteError):
            jobs.write(job.job_id, lifecycle.count_payment(job, reference, PRICE, 9))
    (job,) = jobs.held()
    assert (job.cost_usd, job.settled_calls) == (2 * PRICE, frozenset({"p1", "p2"}))


def test_reading_or_creating_nothing_asks_for_nothing(jobs: DynamoJobStore) -> None:
    assert jobs.create_many({}) == frozenset()
    assert jobs.get_many([], consistent=True) == {}
    assert jobs.known_references([]) == frozenset()


def test_of_many_writes_those_that_do_not_hold_are_returned_as_they_are_stored(jobs: DynamoJobStore) -> None:
    created = dict(create(number) for number in range(60))
    jobs.create_many(created)
    ended = list(created)[::3]
    for job_id in ended:
        jobs.write(job_id, demand.expire(job_from_record(apply(created[job_id], {})), 9))
    refused = jobs.write_many({job_id: demand.join("b") for job_id in [*created, "f" * 64]})
    assert set(refused) == set(ended)
    assert {job.state for job in refused.values()} == {State.FAILED}
    stored = jobs.get_many(list(created), consistent=True)
    assert {job_id for job_id, job in stored.items() if "b" in job.batches} == set(created) - set(ended)


class PuttingOff:
    """A client that puts an insert off once, for one reason after another."""

    def __init__(self, *codes: str) -> None:
        self.codes = list(codes)

    def batch_execute_statement(self, Statements: list[Any]) -> dict[str, Any]:  # noqa: N803  # boto3's name
        error = {"Error": {"Code": self.codes.pop(0), "Message": ""}} if self.codes else {}
        return {"Responses": [error] * len(Statements)}


def test_inserts_that_dynamodb_puts_off_are_sent_again() -> None:
    client: Any = PuttingOff("ThrottlingError", "RequestLimitExceeded", "TransactionConflict")
    assert DynamoJobStore(Table(client, "jobs", "job_id")).create_many(dict([create(1)])) == frozenset()
    assert client.codes == []
