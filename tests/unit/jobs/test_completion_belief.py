"""Which callbacks are believed. What is not believed changes nothing, and is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from functions.core.jobs.callback_key import CallbackKey
from functions.core.jobs.completion import Result, http_status
from functions.core.ports import CallbackError
from tests.fakes.callbacks import EXPIRES, PROVIDER, WEBHOOK_SECRET, Desk, came_to_nothing, hint, succeeded
from tests.fakes.lane import JOB, SIGNING_SECRET, SPEC
from tests.fakes.records import accepted, announced
from tests.fakes.virtual_time import START_MS, run

SIGNED = CallbackKey(JOB, 1, EXPIRES).signed(SIGNING_SECRET, PROVIDER)


def desk(record: dict[str, object] | None = None) -> Desk:
    """A desk, and a job whose worker has left."""
    return Desk.with_job(record or accepted())


def assert_nothing_changed(at: Desk, before: dict[str, object]) -> None:
    assert at.lane.jobs.records[JOB] == before
    assert at.lane.jobs.written == ["create"]
    assert (at.lane.images.objects, at.lane.metadata.objects, at.rung.messages) == ({}, {}, [])
    assert (at.lane.api.polled, at.lane.api.fetched) == (0, 0)


@pytest.mark.parametrize(
    "key",
    [
        "x",
        SIGNED[:-1],
        SIGNED.replace(".1.", ".2."),
        CallbackKey(JOB, 1, EXPIRES).signed("somebody-elses-secret-of-32-chars", PROVIDER),
        CallbackKey(JOB, 1, EXPIRES).signed(SIGNING_SECRET, "fal"),
    ],
)
def test_of_a_callback_with_a_forged_key_nothing_is_read(key: str) -> None:
    at = desk()
    assert at.tell(succeeded(), key=key) is Result.FORGED
    assert (at.lane.jobs.reads, at.read) == (0, [])
    assert_nothing_changed(at, accepted())
    assert at.lane.log.lines == [("callback", {"result": "forged"})]


def test_of_a_callback_without_a_key_nothing_is_read() -> None:
    at = desk()
    assert at.tell(succeeded(), key=" ") is Result.FORGED
    assert (at.lane.jobs.reads, at.read) == (0, [])


def test_of_a_callback_whose_keys_time_is_over_nothing_is_read() -> None:
    at = desk()
    assert at.tell(succeeded(), expires=START_MS // 1000 - 1) is Result.EXPIRED
    assert (at.lane.jobs.reads, at.read) == (0, [])
    assert_nothing_changed(at, accepted())
    assert at.lane.log.lines == [("callback", {"result": "expired"})]


def test_a_key_for_one_provider_is_forged_at_the_others_address() -> None:
    at = desk()
    assert at.tell(succeeded(), provider="fal") is Result.FORGED
    assert at.read == []


def test_a_callback_about_a_job_that_is_not_ours_is_foreign() -> None:
    at = desk()
    assert at.tell(succeeded(), job="cd" * 32) is Result.FOREIGN
    assert at.read == []
    assert_nothing_changed(at, accepted())


def test_a_callback_about_a_job_of_another_provider_is_foreign() -> None:
    at = desk()
    at.lane.model = replace(at.lane.model, account=replace(at.lane.model.account, provider="fal"))
    assert at.tell(succeeded()) is Result.FOREIGN
    assert at.read == []
    assert_nothing_changed(at, accepted())


def test_a_callback_about_a_job_of_a_model_that_is_no_more_is_foreign() -> None:
    at = desk({**accepted(), "model": "bought no longer"})
    assert at.tell(succeeded()) is Result.FOREIGN
    assert at.read == []


@pytest.mark.parametrize("reason", ["forged", "replayed", "unreadable"])
def test_a_body_that_the_provider_would_not_have_sent_changes_nothing(reason: str) -> None:
    at = desk(announced())
    assert at.tell(CallbackError(reason, "no")) is Result(reason)
    assert_nothing_changed(at, announced())
    assert [line["result"] for line in at.lane.log.of("callback")] == [reason]


def test_the_body_is_read_as_it_came_with_the_accounts_secret() -> None:
    at = desk()
    at.tell(succeeded())
    assert at.read == [(b"a body", {"webhook-id": "e1"}, WEBHOOK_SECRET, START_MS)]


@pytest.mark.parametrize("said", [succeeded("p9"), came_to_nothing("p9"), hint("p9")])
@pytest.mark.parametrize("record", [announced(), accepted()])
def test_a_prediction_that_is_known_as_another_jobs_is_foreign(said: object, record: dict[str, object]) -> None:
    at = desk(record)
    other = at.lane.add(replace(SPEC, seed=1))
    at.lane.jobs.records[other] |= {"reference": "p9"}
    at.lane.jobs.written = ["create"]
    assert at.tell(said) is Result.FOREIGN  # type: ignore[arg-type]  # a notice
    assert_nothing_changed(at, record)


def test_a_reference_that_the_worker_writes_down_meanwhile_is_not_taken_for_another_jobs() -> None:
    at = desk(announced(START_MS))
    at.lane.jobs.after_reading = [lambda: at.lane.jobs.records.update({JOB: accepted(START_MS, leaving=True)})]
    assert at.tell(succeeded()) is Result.FINISHED


def test_a_prediction_that_the_record_names_is_not_looked_up() -> None:
    at = desk(accepted())
    at.tell(came_to_nothing())
    assert at.lane.jobs.reads == 1


@pytest.mark.parametrize("result", list(Result))
def test_the_provider_is_told_whether_to_deliver_again(result: Result) -> None:
    status = http_status(result)
    assert (status == 503) is (result is Result.BROKEN)
    assert (400 <= status < 500) is result.refused
    assert status in {200, 400, 403, 404, 410, 503}


def test_what_is_refused_is_told_apart() -> None:
    refused = {result.value: http_status(result) for result in Result if result.refused}
    assert refused == {"forged": 403, "replayed": 403, "expired": 410, "foreign": 404, "unreadable": 400}


def test_each_delivery_has_its_log_line_and_never_the_prompt() -> None:
    at = desk()

    async def twice() -> None:
        await at.deliver(succeeded())
        await at.deliver(succeeded())

    run(twice())
    lines = at.lane.log.of("callback")
    assert [line["result"] for line in lines] == ["finished", "duplicate"]
    assert all((line["job_id"], line["attempt"], line["reference"]) == (JOB, 1, "p1") for line in lines)
    assert "kettle" not in repr(at.lane.log.lines)
