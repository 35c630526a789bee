"""Each fault does at the wire what its name says, and the ledger tells how often it did."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def _picture_loads(content: bytes) -> bool:
    try:
        Image.open(io.BytesIO(content)).load()
    except OSError:
        return False
    return True


def test_submit_429_accepts_nothing(sandbox: Any) -> None:
    sandbox.behave(faults={"submit_429": 1})
    answer = sandbox.submit()
    assert (answer.status_code, answer.json()["code"]) == (429, 429)
    assert "retry-after" not in answer.headers
    assert sandbox.charges() == []
    assert sandbox.summary()["rejected_429"] == 1
    assert sandbox.summary()["injected"] == {"submit_429": 1}


def test_submit_500_before_accepts_nothing(sandbox: Any) -> None:
    sandbox.behave(faults={"submit_500_before": 1})
    assert sandbox.submit().status_code == 500
    assert sandbox.charges() == []
    assert sandbox.summary()["injected"] == {"submit_500_before": 1}


def test_submit_500_after_is_charged_and_the_task_runs(sandbox: Any) -> None:
    sandbox.behave(faults={"submit_500_after": 1})
    assert sandbox.submit().status_code == 500
    _charged_and_completed(sandbox, "submit_500_after")


def test_submit_drop_after_closes_the_connection_without_a_byte(sandbox: Any) -> None:
    sandbox.behave(faults={"submit_drop_after": 1})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        sandbox.submit()
    _charged_and_completed(sandbox, "submit_drop_after")


def test_submit_timeout_after_hangs_until_the_client_gives_up(sandbox: Any) -> None:
    sandbox.behave(faults={"submit_timeout_after": 1})
    with pytest.raises(httpx.ReadTimeout):
        sandbox.http.post("/api/v3/wavespeed-ai/flux-schnell", json={"prompt": "p"}, timeout=0.3)
    _charged_and_completed(sandbox, "submit_timeout_after")


def _charged_and_completed(sandbox: Any, fault: str) -> None:
    (charge,) = sandbox.charges()
    assert charge["lost_answer"] == fault
    assert sandbox.poll(charge["id"])["status"] == "completed"
    assert sandbox.summary()["injected"] == {fault: 1}


def test_poll_500_leaves_the_task_alone(sandbox: Any) -> None:
    task = sandbox.accepted()["id"]
    sandbox.behave(faults={"poll_500": 1})
    assert sandbox.http.get(f"/api/v3/predictions/{task}/result").status_code == 500
    sandbox.behave()
    assert sandbox.poll(task)["status"] == "completed"
    assert sandbox.summary()["injected"] == {"poll_500": 1}


def test_poll_500_at_a_rate_lets_other_polls_of_the_same_task_through(sandbox: Any) -> None:
    task = sandbox.accepted()["id"]
    sandbox.behave(faults={"poll_500": 0.5})
    codes = {sandbox.http.get(f"/api/v3/predictions/{task}/result").status_code for _ in range(40)}
    assert codes == {200, 500}


def test_a_failed_task_says_why_and_its_charge_is_given_back_when_it_fails(sandbox: Any) -> None:
    sandbox.behave(faults={"task_failed": 1}, latency_seconds={"min": 4.0, "mean": 4.0, "max": 4.0})
    task = sandbox.accepted()["id"]
    assert [charge["refunded"] for charge in sandbox.charges()] == [False]
    sandbox.clock.advance(4)
    data = sandbox.poll(task)
    assert (data["status"], data["code"], data["outputs"]) == ("failed", 1403, [])
    assert data["error"]
    assert [charge["refunded"] for charge in sandbox.charges()] == [True]
    summary = sandbox.summary()
    assert (summary["usd"], summary["refunded_usd"], summary["net_usd"]) == (0.003, 0.003, 0.0)
    assert summary["injected"] == {"task_failed": 1}


def test_moderation_fails_the_task_with_code_1200(sandbox: Any) -> None:
    sandbox.behave(faults={"moderation": 1})
    data = sandbox.poll(sandbox.accepted()["id"])
    assert (data["status"], data["code"], data["has_nsfw_contents"]) == ("failed", 1200, [True])


def test_a_corrupt_picture_is_whole_the_second_time(sandbox: Any) -> None:
    sandbox.behave(faults={"corrupt_picture": 1})
    (link,) = sandbox.poll(sandbox.accepted()["id"])["outputs"]
    first, second, third = (sandbox.http.get(link).content for _ in range(3))
    assert not _picture_loads(first)
    assert _picture_loads(second)
    assert second == third
    assert second.startswith(first)
    assert sandbox.summary()["injected"] == {"corrupt_picture": 1}


def test_a_picture_that_is_always_corrupt_stays_so(sandbox: Any) -> None:
    sandbox.behave(faults={"corrupt_picture_always": 1})
    (link,) = sandbox.poll(sandbox.accepted()["id"])["outputs"]
    assert [_picture_loads(sandbox.http.get(link).content) for _ in range(3)] == [False] * 3
    assert sandbox.summary()["injected"] == {"corrupt_picture_always": 3}


def test_out_of_funds_refuses_with_400_and_an_empty_balance(sandbox: Any) -> None:
    sandbox.behave(out_of_funds=True)
    answer = sandbox.submit()
    assert answer.status_code == 400
    assert "Insufficient credits" in answer.json()["message"]
    assert sandbox.http.get("/api/v3/balance").json()["data"]["balance"] == 0
    assert sandbox.charges() == []


def test_an_outage_is_503_for_everything_but_the_administration_and_ends_by_itself(sandbox: Any) -> None:
    (link,) = sandbox.poll(sandbox.accepted()["id"])["outputs"]
    sandbox.behave(outage_until=sandbox.clock.now + 120)
    requests = [("POST", "/api/v3/wavespeed-ai/flux-schnell"), ("GET", "/api/v3/balance"), ("GET", link)]
    for method, path in requests:
        assert sandbox.http.request(method, path).status_code == 503
    assert sandbox.summary()["injected"] == {"outage": 3}
    sandbox.clock.advance(120)
    assert sandbox.submit().status_code == 200
