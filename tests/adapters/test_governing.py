"""Event source mappings, alarms, the operator's topic and the lanes table, as the governor uses them."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from functions.adapters.alarms import CloudWatchAlarms
from functions.adapters.dynamodb import Table
from functions.adapters.mappings import EventSourceMappings
from functions.adapters.notices import OperatorTopic
from functions.core.governing.ports import Feed
from functions.core.lanes import control
from functions.core.writes import StaleWriteError, Write, apply
from ops.local.session import EmbeddedSession

pytestmark = pytest.mark.e2e

MODEL = "flux-schnell"
NOW = 1_790_000_000_000


@pytest.fixture
def mapping(embedded: EmbeddedSession) -> Iterator[tuple[EventSourceMappings, str]]:
    """A mapping of at most eight workers, which has nothing to feed them with."""
    name = uuid.uuid4().hex
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as package:
        package.writestr("nothing.py", "def handler(event, context): pass\n")
    sqs, functions = embedded.client("sqs"), embedded.client("lambda")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="nothing.handler",
        Role="arn:aws:iam::000000000000:role/nothing",
        Code={"ZipFile": packed.getvalue()},
    )
    made = functions.create_event_source_mapping(
        FunctionName=name,
        EventSourceArn=attributes["QueueArn"],
        BatchSize=7,
        ScalingConfig={"MaximumConcurrency": 8},
    )
    yield EventSourceMappings(functions), made["UUID"]
    functions.delete_event_source_mapping(UUID=made["UUID"])
    functions.delete_function(FunctionName=name)


def test_a_mapping_is_changed_and_what_is_not_said_stays(mapping: tuple[EventSourceMappings, str]) -> None:
    mappings, one = mapping
    assert mappings.look(one) == Feed(enabled=True, workers=8)
    assert mappings.change(one, enabled=True, workers=2)
    assert mappings.look(one) == Feed(enabled=True, workers=2)
    assert mappings.change(one, enabled=False)
    assert mappings.look(one) == Feed(enabled=False, workers=2)
    assert mappings.client.get_event_source_mapping(UUID=one)["BatchSize"] == 7


class Answering:
    """A Lambda client that gives this state, and refuses changes with this error."""

    def __init__(self, session: EmbeddedSession, state: str = "Enabled", refusal: str = "") -> None:
        self.exceptions = session.client("lambda").exceptions
        self.state = state
        self.refusal = refusal

    def get_event_source_mapping(self, **_: Any) -> dict[str, Any]:
        return {"State": self.state}

    def update_event_source_mapping(self, **_: Any) -> None:
        error = {"Error": {"Code": self.refusal, "Message": ""}}
        raise getattr(self.exceptions, self.refusal)(error, "UpdateEventSourceMapping")


@pytest.mark.parametrize(
    ("state", "feed"),
    [
        ("Enabling", Feed(enabled=True, workers=None)),
        ("Disabling", Feed(enabled=False, workers=None)),
        ("Updating", Feed(enabled=False, workers=None, changing=True)),
        ("Creating", Feed(enabled=False, workers=None, changing=True)),
    ],
)
def test_a_mapping_on_its_way_is_taken_for_what_it_becomes(embedded: EmbeddedSession, state: str, feed: Feed) -> None:
    client: Any = Answering(embedded, state=state)
    assert EventSourceMappings(client).look("one") == feed


@pytest.mark.parametrize("refusal", ["ResourceConflictException", "ResourceInUseException"])
def test_a_change_during_another_one_is_not_made(embedded: EmbeddedSession, refusal: str) -> None:
    client: Any = Answering(embedded, refusal=refusal)
    assert EventSourceMappings(client).change("one", enabled=True) is False


def test_another_refusal_is_an_error(embedded: EmbeddedSession) -> None:
    client: Any = Answering(embedded, refusal="ResourceNotFoundException")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        EventSourceMappings(client).change("one", enabled=True)


def test_alarms_are_told_that_are_in_alarm(embedded: EmbeddedSession) -> None:
    client, prefix = embedded.client("cloudwatch"), uuid.uuid4().hex
    names = [f"{prefix}-{number:03}" for number in range(103)]
    for name in names:
        client.put_metric_alarm(
            AlarmName=name,
            Namespace="imagebatch",
            MetricName=prefix,
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",
        )
    standing = {names[0], names[99], names[102]}
    for name in {*standing, names[50]}:
        client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="of this test")
    client.set_alarm_state(AlarmName=names[50], StateValue="OK", StateReason="of this test")
    alarms = CloudWatchAlarms(client)
    assert alarms.standing([*names, f"{prefix}-not-there"]) == standing
    assert alarms.standing(names[:1]) == {names[0]}
    assert alarms.standing([]) == frozenset()


def test_the_operator_is_told_by_the_topic(embedded: EmbeddedSession) -> None:
    sns, sqs, name = embedded.client("sns"), embedded.client("sqs"), uuid.uuid4().hex
    topic, queue = sns.create_topic(Name=name)["TopicArn"], sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
    OperatorTopic(sns, topic).tell("flux slowed down", "20 % of its calls fail.\n\nDone: – 4 workers.")
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    body = json.loads(message["Body"])
    assert (body["Subject"], body["Message"]) == ("flux slowed down", "20 % of its calls fail.\n\nDone: – 4 workers.")


@pytest.fixture
def table(embedded: EmbeddedSession) -> Table:
    client, name = embedded.client("dynamodb"), f"lanes-{uuid.uuid4().hex}"
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return Table(client, name, "name")


HALVE = control.halve(workers=4, rate=Decimal("62.5"), notice="slow", change="09:00", interval_ms=600_000, now_ms=NOW)
STOP = control.stop_intake(MODEL, "dear", notice="dear", change="10:00", now_ms=NOW)
HALVED = control.control_of(apply(HALVE, {}))
CHANGES: tuple[Write, ...] = (
    control.account_rate(300),
    control.ceiling(20),
    control.limit(MODEL, 100),
    control.limit(MODEL, 90),
    control.workers_limit(5),
    control.pause(MODEL, "holidays"),
    control.resume(MODEL),
    HALVE,
    control.told("slow"),
    control.throttle_rate(MODEL, Decimal("62.5"), seen=None),
    control.throttle_rate(MODEL, Decimal("31.25"), seen=Decimal("62.5")),
    control.climb(HALVED, workers=6, rate=None, now_ms=NOW + 5),
    control.throttle_rate(MODEL, None, seen=Decimal("31.25")),
    control.quote(MODEL, Decimal("0.0045"), seen=None),
    control.quote(MODEL, None, seen=Decimal("0.0045")),
    control.quoted(NOW),
    STOP,
    control.resume_intake(control.intake_of(apply(STOP, {})), NOW),
    control.pause_intake("holidays", NOW),
    control.account_rate(None),
    control.ceiling(None),
    control.limit(MODEL, None),
    control.workers_limit(None),
)
SETTLED = (
    HALVE,
    control.limit(MODEL, None),
    control.pause_intake("again", NOW),
    control.quoted(NOW - 1),
    control.stop_intake(MODEL, "dear", notice="dear", change="11:00", now_ms=NOW),
    control.throttle_rate(MODEL, None, seen=Decimal(1)),
)


def test_what_is_said_of_a_lane_is_in_the_table_as_the_rules_mean_it(table: Table) -> None:
    record: dict[str, Any] = {"name": "one"}
    for write in CHANGES:
        record = apply(write, record)
        assert table.write("one", write) == record
    for write in SETTLED:
        with pytest.raises(StaleWriteError):
            table.write("one", write)
    assert table.get_many(["one", "other", "one"], consistent=True) == {"one": record}


def test_many_records_are_read(table: Table) -> None:
    names = [f"lane#{number}" for number in range(130)]
    for name in names[::2]:
        table.write(name, control.workers_limit(5))
    found = table.get_many(names, consistent=False)
    assert found == {name: {"name": name, "workers_limit": 5} for name in names[::2]}
