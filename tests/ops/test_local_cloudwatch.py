"""CloudWatch of the embedded AWS, for real: from a function's log line to what an alarm's topic says, and back."""

from __future__ import annotations

import io
import json
import os
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from ops.local.embedded import embedded_aws
from ops.local.metrics import ensure_bridge, metrics_bridge
from ops.local.session import EmbeddedSession
from ops.local.state import StateDirectory

pytestmark = pytest.mark.e2e

FUNCTION = """
import json

def handler(event, context):
    if "line" not in event:
        raise RuntimeError("asked to")
    print(json.dumps(event["line"]))
"""

Heard = Callable[[], tuple[str, str]]


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory.make(tmp_path / "state")


@pytest.fixture
def session(state: StateDirectory) -> Iterator[Any]:
    """An embedded AWS with a function "logger", which a metrics bridge follows."""
    with ExitStack() as undo:
        port = embedded_aws(state).ensure(asked=None, remembered=None, undo=undo)
        session = EmbeddedSession(f"http://127.0.0.1:{port}")
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("logger.py", FUNCTION)
        session.client("lambda").create_function(
            FunctionName="logger",
            Runtime="python3.13",
            Handler="logger.handler",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": package.getvalue()},
        )
        ensure_bridge(state, f"http://127.0.0.1:{port}", undo)
        yield session


def log_faults(session: Any, model: str, *values: int, at: float) -> None:
    """Have the function log the metric; `at` in epoch seconds."""
    directive = {
        "Namespace": "imagebatch",
        "Dimensions": [["service", "model"]],
        "Metrics": [{"Name": "ProviderFault", "Unit": "Count"}],
    }
    about = {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]}
    line = {"_aws": about, "service": "imagebatch", "model": model, "ProviderFault": values}
    session.client("lambda").invoke(FunctionName="logger", Payload=json.dumps({"line": line}))


def statistics(session: Any, namespace: str, metric: str, **dimensions: str) -> dict[str, float]:
    """All that was measured, in one."""
    now = time.time()
    found = session.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - 3600,
        EndTime=now + 60,
        Period=7200,
        Statistics=["SampleCount", "Sum", "Maximum"],
    )["Datapoints"]
    return dict(found[0]) if found else {"SampleCount": 0, "Sum": 0, "Maximum": 0}


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def subscribed_alarms(session: Any, *models: str) -> Heard:
    """Put an alarm for each model, on more than half of the attempts in 10 s; what their topic says, one by one."""
    sqs, sns = session.client("sqs"), session.client("sns")
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for model in models:
        session.client("cloudwatch").put_metric_alarm(
            AlarmName=model,
            Namespace="imagebatch",
            MetricName="ProviderFault",
            Dimensions=[{"Name": "model", "Value": model}, {"Name": "service", "Value": "imagebatch"}],
            Statistic="Average",
            Period=10,
            EvaluationPeriods=1,
            Threshold=0.5,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
            AlarmActions=[topic],
            OKActions=[topic],
        )

    def hear() -> tuple[str, str]:
        deadline = time.monotonic() + 30
        while not (found := sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages")):
            assert time.monotonic() < deadline, "nothing was heard"
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=found[0]["ReceiptHandle"])
        said = json.loads(json.loads(found[0]["Body"])["Message"])
        return said["AlarmName"], said["NewStateValue"]

    return hear


def test_what_a_function_logs_fires_the_alarm_on_its_dimensions_which_ends_when_data_stops(session: Any) -> None:
    hear = subscribed_alarms(session, "good", "bad")
    assert {hear(), hear()} == {("good", "OK"), ("bad", "OK")}

    # In the oldest of the three periods that an alarm of one period looks at, to see it end soon.
    log_faults(session, "good", 0, 0, 1, at=time.time() - 29)
    log_faults(session, "bad", 1, 0, 1, at=time.time() - 29)

    assert [hear(), hear()] == [("bad", "ALARM"), ("bad", "OK")]


def test_a_line_counts_once_although_the_bridge_is_killed_and_another_one_follows(
    session: Any, state: StateDirectory
) -> None:
    def counted() -> float:
        return statistics(session, "imagebatch", "ProviderFault", service="imagebatch", model="flux")["SampleCount"]

    log_faults(session, "flux", 0, 1, at=time.time())
    wait_for(lambda: counted() > 0)
    wait_for(lambda: '"seen": {"' in (state.path / "metrics.json").read_text())
    pid = metrics_bridge(state).pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    log_faults(session, "flux", 1, at=time.time())
    wait_for(lambda: metrics_bridge(state).pid() is None)
    with ExitStack() as undo:
        ensure_bridge(state, session.client("logs").meta.endpoint_url, undo)
        wait_for(lambda: counted() > 2)
        log_faults(session, "flux", 1, at=time.time())
        wait_for(lambda: counted() > 3)
        again = metrics_bridge(state).pid()
        ensure_bridge(state, session.client("logs").meta.endpoint_url, undo)
        assert metrics_bridge(state).pid() == again

    assert counted() == 4
    assert metrics_bridge(state).pid() is None


def test_queues_and_functions_have_the_metrics_that_aws_gives_them(session: Any) -> None:
    once = Config(retries={"total_max_attempts": 1})  # boto3 tries again what is throttled
    functions, sqs = session.client("lambda", config=once), session.client("sqs")
    queue = sqs.create_queue(QueueName="waiting")["QueueUrl"]
    for _ in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody="look at job 1")
    log_faults(session, "flux", 0, at=time.time())
    functions.invoke(FunctionName="logger", Payload="{}")
    functions.put_function_concurrency(FunctionName="logger", ReservedConcurrentExecutions=0)
    with pytest.raises(functions.exceptions.TooManyRequestsException):
        functions.invoke(FunctionName="logger", Payload="{}")

    def of_function(metric: str) -> float:
        return statistics(session, "AWS/Lambda", metric, FunctionName="logger")["Sum"]

    assert {name: of_function(name) for name in ("Invocations", "Errors", "Throttles")} == {
        "Invocations": 2,
        "Errors": 1,
        "Throttles": 1,
    }

    def of_queue(metric: str) -> float:
        return statistics(session, "AWS/SQS", metric, QueueName="waiting")["Maximum"]

    wait_for(lambda: of_queue("ApproximateAgeOfOldestMessage") > 1)
    assert of_queue("ApproximateNumberOfMessagesVisible") == 3
