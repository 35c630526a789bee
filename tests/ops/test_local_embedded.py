import io
import json
import socket
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from ops.local.embedded import embedded_aws
from ops.local.errors import LocalError
from ops.local.service import choose_port
from ops.local.session import EmbeddedSession
from ops.local.state import StateDirectory

pytestmark = pytest.mark.e2e


@contextmanager
def running(state: StateDirectory) -> Iterator[EmbeddedSession]:
    """A ministack of ``state`` and a session that talks to it."""
    with ExitStack() as undo:
        port = embedded_aws(state).ensure(asked=None, remembered=None, undo=undo)
        yield EmbeddedSession(f"http://127.0.0.1:{port}")


def test_what_was_stored_is_there_after_stopping_and_starting_on_another_port(tmp_path: Path) -> None:
    state = StateDirectory.make(tmp_path / "state")
    with running(state) as session:
        session.client("s3").create_bucket(Bucket="pictures")
        session.client("s3").put_object(Bucket="pictures", Key="a.png", Body=b"a picture")
        queue = session.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
        session.client("sqs").send_message(QueueUrl=queue, MessageBody="look at job 1")
        session.client("dynamodb").create_table(
            TableName="jobs",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "job_id", "AttributeType": "S"}],
        )
        session.client("dynamodb").put_item(TableName="jobs", Item={"job_id": {"S": "1"}})

    with running(state) as session:
        assert session.client("s3").get_object(Bucket="pictures", Key="a.png")["Body"].read() == b"a picture"
        assert session.client("dynamodb").get_item(TableName="jobs", Key={"job_id": {"S": "1"}})["Item"]
        messages = session.client("sqs").receive_message(QueueUrl=queue)["Messages"]
        assert [message["Body"] for message in messages] == ["look at job 1"]


def test_functions_see_nothing_of_the_persons_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", "a real key")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("show.py", "import os\ndef handler(event, context):\n    return dict(os.environ)\n")

    with running(StateDirectory.make(tmp_path / "state")) as session:
        functions = session.client("lambda")
        functions.create_function(
            FunctionName="show",
            Runtime="python3.13",
            Handler="show.handler",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": archive.getvalue()},
        )
        seen = json.load(functions.invoke(FunctionName="show")["Payload"])

    assert seen["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert not {"WAVESPEED_API_KEY", "AWS_PROFILE", "HTTP_PROXY", "PYTEST_CURRENT_TEST", "VIRTUAL_ENV"} & seen.keys()
    assert seen["HOME"].startswith(str(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a second loopback address to compare with")
def test_it_listens_on_the_loopback_interface_only(tmp_path: Path) -> None:
    state = StateDirectory.make(tmp_path / "state")
    with running(state) as session:
        port = int(session.client("s3").meta.endpoint_url.rsplit(":")[-1])
        with closing(socket.socket()) as other:
            # The same port on every interface can be bound only if nothing else holds it there.
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.2", port))


def test_a_port_asked_for_that_is_taken_is_refused_and_a_remembered_one_replaced() -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]

        with pytest.raises(LocalError, match=f"Port {taken} is taken"):
            choose_port(taken, None)
        assert choose_port(None, taken) != taken


def test_a_remembered_port_that_is_free_is_used_again() -> None:
    free = choose_port(None, None)

    assert choose_port(None, free) == free
