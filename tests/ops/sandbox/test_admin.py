"""Behaviour and ledger over HTTP."""

from typing import Any

import pytest

from ops.sandbox.behaviour import Behaviour

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_health(sandbox: Any) -> None:
    assert sandbox.http.get("/_sandbox/health").json() == {"ok": True}


def test_a_behaviour_document_is_whole_what_it_leaves_out_is_default(sandbox: Any) -> None:
    put = sandbox.http.put("/_sandbox/behaviour", json={"faults": {"poll_500": 0.5}, "seed": 3})
    put = sandbox.http.put("/_sandbox/behaviour", json={"seed": 4})
    assert put.json() == sandbox.http.get("/_sandbox/behaviour").json() == Behaviour(seed=4).to_json()


@pytest.mark.parametrize("body", ['{"fualts": {}}', "{", "[]", '{"faults": {"poll_500": 2}}'])
def test_a_bad_behaviour_is_refused_with_a_sentence_and_changes_nothing(sandbox: Any, body: str) -> None:
    before = sandbox.http.get("/_sandbox/behaviour").json()
    answer = sandbox.http.put("/_sandbox/behaviour", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert sandbox.http.get("/_sandbox/behaviour").json() == before


def test_a_charge_tells_what_was_bought(sandbox: Any) -> None:
    task = sandbox.accepted("a red kite", seed=5, size="512*256")["id"]
    assert sandbox.charges() == [
        {
            "id": task,
            "model": "wavespeed-ai/flux-schnell",
            "idempotency_key": None,
            "prompt_sha256": "f9c2515c70b8aff9e10bb68851300c2268052faa1b7b832bd7fb3a50c3e7da72",
            "seed": 5,
            "size": "512*256",
            "at": sandbox.charges()[0]["at"],
            "usd": 0.003,
            "refunded": False,
            "lost_answer": None,
        }
    ]


def test_clearing_the_ledger_keeps_the_tasks(sandbox: Any) -> None:
    task = sandbox.accepted()["id"]
    sandbox.submit(size="bad")
    cleared = sandbox.http.delete("/_sandbox/ledger").json()
    assert cleared["charges"] == []
    summary = cleared["summary"]
    assert (summary["submits"], summary["charged"], summary["usd"], summary["peak_in_flight"]) == (0, 0, 0, 0)
    assert sandbox.poll(task)["status"] == "completed"
