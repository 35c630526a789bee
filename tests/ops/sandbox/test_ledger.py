"""What was charged is exact under concurrency and remembered over a restart."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.sandbox.behaviour import Behaviour, Faults, parse
from ops.sandbox.engine import Engine, RefusedError
from ops.sandbox.journal import Journal, JournalError
from ops.sandbox.predictions import Order, Webhook
from tests.ops.sandbox.conftest import NOON, Clock, running


def _order(prompt: str = "a kite") -> Order:
    return Order(
        model="m",
        prompt=prompt,
        seed=1,
        width=256,
        height=256,
        format="jpeg",
        images=1,
        base64=False,
        price_usd=Decimal("0.003"),
        idempotency_key=prompt,
        webhook=Webhook("http://127.0.0.1:1/", "http://127.0.0.1:2/", {"prompt": prompt}),
    )


@contextmanager
def _engine(path: Path, behaviour: Behaviour, clock: Clock | None = None) -> Iterator[Engine]:
    journal = Journal(path)
    try:
        yield Engine(journal, behaviour, clock or Clock())
    finally:
        journal.close()


MESSY = parse(
    {
        "latency_seconds": {"min": 1, "mean": 3, "max": 9},
        "faults": {
            "submit_429": 0.1,
            "submit_500_before": 0.1,
            "submit_500_after": 0.1,
            "task_failed": 0.2,
            "moderation": 0.1,
            "corrupt_picture": 0.3,
            "callback_lost": 0.1,
            "callback_late": 0.1,
            "callback_duplicate": 0.2,
            "callback_forged": 0.1,
        },
    }
)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_hundred_submits_at_once_are_charged_exactly_as_their_clients_saw(sandbox: Any) -> None:
    faults = {"submit_429": 0.1, "submit_500_before": 0.1, "submit_500_after": 0.1, "submit_drop_after": 0.1}
    sandbox.behave(faults=faults, plan={"concurrency": 60}, latency_seconds={"min": 9, "mean": 9, "max": 9})

    def outcome(number: int) -> str:
        try:
            answer = sandbox.submit(f"row {number}")
        except httpx.RemoteProtocolError:
            return "dropped"
        return answer.json()["data"]["id"] if answer.status_code == 200 else str(answer.status_code)

    with ThreadPoolExecutor(100) as pool:
        outcomes = list(pool.map(outcome, range(100)))

    charges, summary = sandbox.charges(), sandbox.summary()
    counts = Counter(o if len(o) < 32 else "answered" for o in outcomes)
    lost = Counter(charge["lost_answer"] for charge in charges)
    refused = summary["refused"]
    assert {o for o in outcomes if len(o) == 32} == {c["id"] for c in charges if c["lost_answer"] is None}
    assert counts["dropped"] == lost["submit_drop_after"]
    assert counts["500"] == lost["submit_500_after"] + refused["submit_500_before"]
    assert counts["429"] == summary["rejected_429"] == refused["submit_429"] + refused["concurrency"]
    assert summary["submits"] == 100
    assert len(charges) == summary["charged"] == summary["in_flight"] == summary["peak_in_flight"] == 60
    assert len({charge["prompt_sha256"] for charge in charges}) == 60
    assert summary["usd"] == 0.18


def _run(engine: Engine, prompts: list[str]) -> dict[str, object]:
    outcomes: dict[str, object] = {}
    for prompt in prompts:
        try:
            prediction = engine.submit(_order(prompt))
        except RefusedError as error:
            outcomes[prompt] = error.reason
        else:
            outcomes[prompt] = (
                prediction.lost_answer,
                prediction.task_fault,
                prediction.picture_fault,
                prediction.callback_fault,
                round(prediction.ready_at - prediction.accepted_at, 6),
            )
    return outcomes


def test_the_same_requests_meet_the_same_faults_and_latency_in_any_order(tmp_path: Path) -> None:
    prompts = [f"row {number}" for number in range(60)]
    with _engine(tmp_path / "one", MESSY) as one, _engine(tmp_path / "two", MESSY) as two:
        forwards, backwards = _run(one, prompts), _run(two, prompts[::-1])
    assert forwards == backwards
    assert len({str(outcome) for outcome in forwards.values()}) > 10


def test_a_request_sent_again_is_drawn_anew(tmp_path: Path) -> None:
    half = Behaviour(faults=Faults(submit_500_before=0.5))
    with _engine(tmp_path / "journal", half) as engine:
        outcomes = {str(_run(engine, ["the same"])["the same"]).startswith("submit_500") for _ in range(40)}
    assert outcomes == {True, False}


def test_after_a_restart_charges_tasks_limits_and_faults_go_on_as_if_nothing_happened(
    journal_path: Path,
) -> None:
    clock = Clock()
    prompts = [f"row {number}" for number in range(50)]
    with _engine(journal_path, MESSY, clock) as before:
        _run(before, prompts)
        charges, summary = before.charges(), before.summary()
        task = before.latest()[0]
        spoiled = [p for p in before.latest() if p.picture_fault]
        assert all(before.spoils(p, 0) for p in spoiled)
    with _engine(journal_path, MESSY, clock) as after:
        assert after.charges() == charges
        assert {k: v for k, v in after.summary().items() if k != "injected"} == {
            k: v for k, v in summary.items() if k != "injected"
        }
        assert after.find(task.id) == task
        assert not any(after.spoils(p, 0) for p in spoiled)
        clock.advance(9)
        assert after.summary()["refunded"] > 0
        again = _run(after, prompts)
    with _engine(journal_path.with_name("other"), MESSY, clock) as never_stopped:
        _run(never_stopped, prompts)
        assert _run(never_stopped, prompts) == again


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_each_charge_and_each_refund_has_the_price_that_held_when_it_was_accepted(sandbox: Any) -> None:
    slow = {"min": 10.0, "mean": 10.0, "max": 10.0}
    sandbox.behave(latency_seconds=slow, faults={"task_failed": 1})
    sandbox.accepted("fails at the old price")
    sandbox.behave(latency_seconds=slow)
    sandbox.accepted("at the old price")
    sandbox.behave(latency_seconds=slow, unit_price_usd=0.0045)
    sandbox.accepted("at the new price")
    sandbox.behave(latency_seconds=slow, unit_price_usd=0.0045, faults={"task_failed": 1})
    sandbox.accepted("fails at the new price")
    sandbox.behave(unit_price_usd=0.7)
    sandbox.clock.advance(10)

    assert [(charge["usd"], charge["refunded"]) for charge in sandbox.charges()] == [
        (0.003, True),
        (0.003, False),
        (0.0045, False),
        (0.0045, True),
    ]
    summary = sandbox.summary()
    assert (summary["usd"], summary["refunded_usd"], summary["net_usd"]) == (0.015, 0.0075, 0.0075)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_after_a_restart_at_another_price_what_was_charged_keeps_its_own(journal_path: Path) -> None:
    with running(journal_path, Clock()) as before:
        before.behave(unit_price_usd=0.0045)
        before.accepted("row 1")
    with running(journal_path, Clock()) as after:
        after.behave()
        after.accepted("row 2")
        assert [charge["usd"] for charge in after.charges()] == [0.0045, 0.003]
        assert after.summary()["usd"] == 0.0075


def test_a_journal_from_before_webhooks_is_read(journal_path: Path) -> None:
    with _engine(journal_path, Behaviour()) as engine:
        _run(engine, ["one"])
    (event,) = map(json.loads, journal_path.read_text().splitlines())
    for added in ("callback_fault", "callback_at"):
        del event["prediction"][added]
    del event["prediction"]["order"]["webhook"]
    journal_path.write_text(json.dumps(event) + "\n")
    with _engine(journal_path, Behaviour()) as engine:
        assert (engine.summary()["charged"], engine.summary()["usd"]) == (1, 0.003)
        assert engine.pending_callbacks() == []


def test_a_line_cut_short_is_dropped_and_the_journal_goes_on(journal_path: Path) -> None:
    with _engine(journal_path, Behaviour()) as engine:
        _run(engine, ["one", "two"])
    content = journal_path.read_bytes()
    journal_path.write_bytes(content[:-20])
    with _engine(journal_path, Behaviour()) as engine:
        assert [charge["idempotency_key"] for charge in engine.charges()] == ["one"]
        _run(engine, ["three"])
    with _engine(journal_path, Behaviour()) as engine:
        assert [charge["idempotency_key"] for charge in engine.charges()] == ["one", "three"]


def test_a_journal_that_is_no_journal_is_refused_with_its_line(journal_path: Path) -> None:
    journal_path.parent.mkdir()
    journal_path.write_text("{}x\n")
    with pytest.raises(JournalError, match="line 1 is not JSON"), _engine(journal_path, Behaviour()):
        pass


def test_two_sandboxes_do_not_share_a_state(journal_path: Path) -> None:
    with (
        _engine(journal_path, Behaviour()),
        pytest.raises(JournalError, match="Another sandbox is using"),
        _engine(journal_path, Behaviour()),
    ):
        pass


def test_latency_has_its_bounds_and_its_mean(tmp_path: Path) -> None:
    with _engine(tmp_path / "journal", MESSY) as engine:
        _run(engine, [f"row {number}" for number in range(2000)])
        times = [p.ready_at - NOON for p in engine.latest()]
    assert all(1 <= seconds <= 9 for seconds in times)
    assert sum(times) / len(times) == pytest.approx(3, abs=0.15)


def test_faults_come_at_their_rates(tmp_path: Path) -> None:
    with _engine(tmp_path / "journal", MESSY) as engine:
        _run(engine, [f"row {number}" for number in range(4000)])
        summary = engine.summary()
        spoiled = sum(p.picture_fault is not None for p in engine.latest())
    for fault, rate in (("submit_429", 0.1), ("submit_500_before", 0.1), ("submit_500_after", 0.1)):
        assert summary["injected"][fault] / summary["submits"] == pytest.approx(rate, abs=0.02)
    for fault, rate in (("task_failed", 0.2), ("moderation", 0.1), ("callback_lost", 0.1), ("callback_duplicate", 0.2)):
        assert summary["injected"][fault] / summary["accepted"] == pytest.approx(rate, abs=0.02)
    assert spoiled / summary["accepted"] == pytest.approx(0.3, abs=0.03)
