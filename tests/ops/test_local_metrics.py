"""The metrics bridge: what log lines in the embedded metric format come to, and that each comes once."""

from __future__ import annotations

import io
import itertools
import json
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from ops.local import metrics
from ops.local.emf import VALUES, Series, collect, metric_data
from ops.local.metrics import OVERLAP_MS, Bridge, Cursor, run

NOW_MS = 1_795_250_000_000
SECOND = NOW_MS // 1000
WORKER, REPORTER = "/aws/lambda/worker", "/aws/lambda/reporter"
MODEL = (("model", "flux"), ("service", "imagebatch"))


def line(model: str = "flux", at_ms: int | None = NOW_MS, **values: Any) -> str:
    """As Powertools writes it: every metric under one set of dimensions."""
    directive = {
        "Namespace": "imagebatch",
        "Dimensions": [["service", "model"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in values],
    }
    about = {"CloudWatchMetrics": [directive]} | ({"Timestamp": at_ms} if at_ms is not None else {})
    return json.dumps({"_aws": about, "service": "imagebatch", "model": model, "level": "INFO"} | values)


def series(metric: str, dimensions: tuple[tuple[str, str], ...] = MODEL, second: int = SECOND) -> Series:
    return Series("imagebatch", metric, dimensions, "Count", second)


def test_each_value_of_an_array_counts() -> None:
    found = collect([(line(ProviderFault=[0, 1, 1.0], Tries=3), 0)])

    assert found == {series("ProviderFault"): Counter({0.0: 1, 1.0: 2}), series("Tries"): Counter({3.0: 1})}


def test_lines_of_the_same_second_are_put_together_and_others_are_not() -> None:
    lines = [(line(Jobs=1, at_ms=NOW_MS + later), 0) for later in (0, 999, 1000)]

    assert collect(lines) == {series("Jobs"): Counter({1.0: 2}), series("Jobs", second=SECOND + 1): Counter({1.0: 1})}


def test_a_metric_is_there_under_each_set_of_dimensions() -> None:
    written = json.loads(line(Jobs=1))
    written["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = [["service"], ["service", "model"], []]

    found = collect([(json.dumps(written), 0)])

    assert {one.dimensions for one in found} == {MODEL, MODEL[1:], ()}


def test_a_line_without_a_time_has_that_of_its_log_event() -> None:
    assert collect([(line(Jobs=1, at_ms=None), NOW_MS + 5_000)]).keys() == {series("Jobs", second=SECOND + 5)}


def broken(**changed: Any) -> str:
    directive = {"Namespace": "imagebatch", "Dimensions": [["model"]], "Metrics": [{"Name": "Jobs"}]} | changed
    return json.dumps({"_aws": {"Timestamp": NOW_MS, "CloudWatchMetrics": [directive]}, "model": "flux", "Jobs": 1})


@pytest.mark.parametrize(
    "text",
    [
        "START RequestId: CloudWatchMetrics",
        "[]",
        '"CloudWatchMetrics"',
        '{"message": "CloudWatchMetrics"}',
        '{"_aws": null}',
        '{"_aws": {"CloudWatchMetrics": 3}}',
        broken(Dimensions=[["model", "absent"]]),
        broken(Dimensions=None),
        broken(Metrics=[{"Unit": "Count"}]),
        line(Jobs="three"),
        line(Jobs=[1, "three"]),
        line(Jobs=True),
        line(Jobs=1, Tries="three"),
        line(Jobs=1).replace('"Jobs": 1', '"Jobs": NaN'),
    ],
)
def test_a_line_that_is_not_in_the_format_makes_no_metric_and_spoils_no_other(text: str) -> None:
    assert collect([(text, NOW_MS), (line(Jobs=1), NOW_MS)]) == {series("Jobs"): Counter({1.0: 1})}


def test_a_metric_that_a_line_names_and_does_not_have_is_left_out() -> None:
    assert collect([(broken(Metrics=[{"Name": "Absent"}]), NOW_MS)]) == {}


def test_a_datum_has_no_more_values_than_cloudwatch_takes() -> None:
    data = metric_data({series("Latency"): Counter({float(value): 2 for value in range(VALUES + 1)})})

    assert [len(datum["Values"]) for datum in data["imagebatch"]] == [VALUES, 1]
    assert sum(sum(datum["Counts"]) for datum in data["imagebatch"]) == 2 * (VALUES + 1)


def event(at_ms: int, text: str = "a", stream: str = "s") -> dict[str, Any]:
    return {"logStreamName": stream, "timestamp": at_ms, "message": text}


def test_a_line_that_shows_up_late_is_read_and_the_others_are_not_read_again() -> None:
    early, late = event(NOW_MS - 100, "early"), event(NOW_MS - 200, "late")

    cursor, fresh = Cursor(NOW_MS - 60_000, {}).advance([early], NOW_MS)
    assert fresh == [early]
    assert cursor.since_ms == NOW_MS - OVERLAP_MS

    cursor, fresh = cursor.advance([late, early], NOW_MS + 1_000)
    assert fresh == [late]

    cursor, fresh = cursor.advance([late, early], NOW_MS + 60_000)
    assert fresh == []
    assert cursor.seen == {}


def test_the_same_line_twice_in_one_millisecond_is_two_lines() -> None:
    cursor, fresh = Cursor(0, {}).advance([event(NOW_MS)], NOW_MS)
    assert len(fresh) == 1

    cursor, fresh = cursor.advance([event(NOW_MS), event(NOW_MS)], NOW_MS)
    assert len(fresh) == 1
    assert cursor.advance([event(NOW_MS), event(NOW_MS)], NOW_MS)[1] == []


def test_where_an_answer_is_full_reading_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_PAGE", 2)
    written = [event(at, str(at)) for at in (1, 5, 5, 9)]

    cursor, first = Cursor(0, {}).advance(written[:2], NOW_MS)
    assert cursor.since_ms == 5
    _, second = cursor.advance(written[1:], NOW_MS)

    assert [one["timestamp"] for one in [*first, *second]] == [1, 5, 5, 9]


@pytest.fixture
def session() -> Iterator[Any]:
    """A mocked AWS with two functions, of which one has never run."""
    with mock_aws():
        session: Any = boto3.Session(region_name="us-east-1")
        role = session.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("one.py", "")
        for name in ("worker", "reporter"):
            session.client("lambda").create_function(
                FunctionName=name,
                Runtime="python3.13",
                Handler="one.handler",
                Role=role,
                Code={"ZipFile": package.getvalue()},
            )
        open_group(session, WORKER)
        yield session


def open_group(session: Any, group: str) -> None:
    session.client("logs").create_log_group(logGroupName=group)
    session.client("logs").create_log_stream(logGroupName=group, logStreamName="s")


def write(session: Any, group: str, text: str) -> None:
    events = [{"timestamp": int(time.time() * 1000), "message": text}]
    session.client("logs").put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


def jobs(session: Any) -> float:
    """The sum of the metric under all its dimensions."""
    found = session.client("cloudwatch").get_metric_statistics(
        Namespace="imagebatch",
        MetricName="Jobs",
        Dimensions=[{"Name": name, "Value": value} for name, value in MODEL],
        StartTime=SECOND - 60,
        EndTime=SECOND + 60,
        Period=600,
        Statistics=["Sum"],
    )
    return sum(float(point["Sum"]) for point in found["Datapoints"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metrics.json"


def start(session: Any, file: Path, begun_s: float = 0.0) -> Callable[[], int]:
    """A bridge, begun so many seconds from now; calling it polls."""
    now_ms = int(time.time() * 1000)
    bridge = Bridge(session, file, now_ms - 1 + int(begun_s * 1000))
    later = itertools.count(now_ms, step=10_000)
    return lambda: bridge.poll(next(later))


def test_what_functions_log_becomes_metrics_once(session: Any, file: Path) -> None:
    poll = start(session, file)
    write(session, WORKER, line(Jobs=[1, 1]))
    write(session, WORKER, "START RequestId: 1")

    assert [poll(), poll()] == [1, 0]
    assert jobs(session) == 2

    open_group(session, REPORTER)  # as it runs for the first time
    write(session, REPORTER, line(Jobs=5))
    assert poll() == 1
    assert jobs(session) == 7


def test_another_bridge_goes_on_where_the_last_one_ended(session: Any, file: Path) -> None:
    poll = start(session, file)
    write(session, WORKER, line(Jobs=1))
    poll()
    write(session, WORKER, line(Jobs=2))

    assert start(session, file)() == 1
    assert jobs(session) == 3


def test_what_was_logged_before_the_first_bridge_was_there_is_left_out(session: Any, file: Path) -> None:
    write(session, WORKER, line(Jobs=1))

    assert start(session, file, begun_s=1.0)() == 0


def test_what_was_logged_between_two_bridges_counts_although_nothing_had_come_before(session: Any, file: Path) -> None:
    start(session, file)()
    write(session, WORKER, line(Jobs=1))

    assert start(session, file, begun_s=1.0)() == 1


def test_lines_whose_metrics_could_not_be_put_are_read_again(
    session: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = Bridge(session, file, int(time.time() * 1000) - 1)
    write(session, WORKER, line(Jobs=1))

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "InternalServiceFault"}}, "PutMetricData")

    with monkeypatch.context() as for_now:
        for_now.setattr(bridge._cloudwatch, "put_metric_data", refuse)
        with pytest.raises(ClientError):
            bridge.poll(int(time.time() * 1000))

    assert bridge.poll(int(time.time() * 1000)) == 1
    assert jobs(session) == 1


def test_a_function_logs_to_the_group_that_it_names_else_to_that_of_its_name() -> None:
    names = {"FunctionName": "worker"}

    assert metrics._log_group(names) == WORKER
    assert metrics._log_group(names | {"LoggingConfig": {"LogGroup": "mine"}}) == "mine"
    assert metrics._log_group(names | {"LoggingConfig": {"LogFormat": "Text"}}) == WORKER


def test_a_damaged_file_is_as_none(session: Any, file: Path) -> None:
    file.write_text('{"logs": {"since_')
    poll = start(session, file)
    write(session, WORKER, line(Jobs=1))

    assert poll() == 1


def test_a_bridge_whose_aws_is_gone_for_good_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(metrics, "BUSY_SECONDS", 0.0)

    class Gone:
        def poll(self, now_ms: int) -> int:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    run(Gone(), Event())  # type: ignore[arg-type]


def test_a_bridge_goes_on_when_its_aws_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "BUSY_SECONDS", 0.0)
    monkeypatch.setattr(metrics, "IDLE_SECONDS", 0.0)
    ended, polls = Event(), []

    class Restarted:
        def poll(self, now_ms: int) -> int:
            polls.append(now_ms)
            if len(polls) == 1:
                raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
            ended.set()
            return 0

    run(Restarted(), ended)  # type: ignore[arg-type]

    assert len(polls) == 2
