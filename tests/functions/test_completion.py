"""The completion function does what its sample events ask for, and nothing at anybody else's asking."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from functions import completion
from functions.core.catalog import load_catalog
from functions.core.input.identity import PictureSpec, canonical_json, job_id
from functions.core.jobs import demand, lifecycle
from functions.core.jobs.completion import Completion
from functions.core.jobs.records import Job, Stage, State
from functions.core.jobs.vault import Vault
from functions.core.keys import image_key
from functions.core.messages import Doorbell, dump
from functions.core.ports import Output, PollAnswer, Prediction, SubmitAnswer, Working
from functions.providers.callbacks import CALLBACK_READERS
from functions.runtime import completion as runtime
from tests.fakes.lane import JOB, PRICE, SPEC, Lines, picture
from tests.fakes.stores import MemoryJobs, MemoryObjects, MemoryQueue

EVENTS = Path(__file__).resolve().parents[2] / "events"
# What the keys and the bodies of the samples are signed with.
CALLBACK_SECRET = "callback-signing-secret-of-the-sample-events"
WEBHOOK_SECRET = "whsec_webhook-secret-of-the-sample-events"
SUBMITTED_MS = 1795250577031
LEASE_MS = 120_000
OTHER = replace(SPEC, prompt="a blue kettle")


def sample(name: str = "completion-wavespeed") -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


DONE, FAILED = sample(), sample("completion-wavespeed-failed")
REFERENCE, REFERENCE_OF_FAILED = (
    json.loads(body)["id"] for body in (DONE["body"], base64.b64decode(FAILED["body"]).decode())
)


class FrozenClock:
    """The time at which the sample was received."""

    def __init__(self) -> None:
        self.ms: int = DONE["requestContext"]["timeEpoch"]

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a callback waits for nothing")


class Provider:
    """An image API that may be read. `polls` is what it answers in turn."""

    listed_seconds = 0.0

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.polls: list[PollAnswer] = []

    async def submit(self, spec: PictureSpec, *, job_id: str, callback_url: str, not_after: float) -> SubmitAnswer:
        raise AssertionError("a callback pays for nothing")

    async def poll(self, reference: str) -> PollAnswer:
        return self.polls.pop(0)

    async def predictions(self, since_ms: int, until_ms: int) -> tuple[Prediction, ...]:
        return (Prediction(REFERENCE, failed=False),)

    async def fetch(self, output: Output) -> bytes:
        self.fetched.append(output.url)
        return picture(SPEC)

    def price(self, spec: PictureSpec) -> Decimal:
        return PRICE

    async def quote(self) -> Decimal:
        return PRICE


@dataclass
class Desk:
    """The completion function with one job, whose call was accepted and whose worker has left."""

    clock: FrozenClock = field(default_factory=FrozenClock)
    provider: Provider = field(default_factory=Provider)
    jobs: MemoryJobs = field(default_factory=MemoryJobs)
    images: MemoryObjects = field(default_factory=MemoryObjects)
    metadata: MemoryObjects = field(default_factory=MemoryObjects)
    lane: MemoryQueue = field(default_factory=MemoryQueue)
    log: Lines = field(default_factory=Lines)
    webhook_secret: str = WEBHOOK_SECRET

    def completion(self) -> Completion:
        return Completion(
            models=load_catalog().models,
            readers=CALLBACK_READERS,
            api=lambda model: self.provider,
            webhook_secret=lambda account: self.webhook_secret,
            callback_secret=CALLBACK_SECRET,
            jobs=self.jobs,
            vault=Vault(self.images, self.metadata),
            lanes={"flux-schnell": self.lane},
            clock=self.clock,
            log=self.log,
        )

    def add(self, spec: PictureSpec = SPEC, reference: str = REFERENCE) -> None:
        """A job that was submitted; its worker has the reference, and has left if there is one."""
        at, name = SUBMITTED_MS, job_id(spec)
        created = demand.create(name, model=spec.model, spec=canonical_json(spec), batch_id="a", now_ms=at)
        self.jobs.write(name, created)
        self.jobs.write(name, lifecycle.claim_to_submit("w", at, LEASE_MS))
        if reference:
            accept = lifecycle.accept(1, reference=reference, response_code=200, leaving=True, now_ms=at)
            self.jobs.write(name, accept)

    def lose_the_answer(self) -> None:
        """Put the job back to where its submit was announced, its worker dead since."""
        self.jobs.records.clear()
        self.add(reference="")
        self.jobs.records[JOB]["lease_expires_at"] = self.clock.ms - 1

    def job(self) -> Job:
        job = self.jobs.get(JOB)
        assert job is not None
        return job

    def untouched(self, event: Mapping[str, Any]) -> tuple[int, str]:
        """Deliver an event that must change nothing; its status, and what it was counted as."""
        before, written = copy.deepcopy(self.jobs.records), len(self.jobs.written)
        status = deliver(event)
        assert (self.jobs.records, len(self.jobs.written)) == (before, written)
        assert (self.images.objects, self.metadata.objects, self.lane.bodies) == ({}, {}, [])
        assert self.provider.fetched == []
        ((_, line),) = self.log.lines
        return status, str(line["result"])


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk, loop = Desk(), asyncio.new_event_loop()
    desk.add()
    monkeypatch.setattr(runtime, "completion", desk.completion)
    monkeypatch.setattr(runtime, "loop", lambda: loop)
    yield desk
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def deliver(event: Mapping[str, Any]) -> int:
    """Let the handler have an event; the status that it answers with."""
    answer = completion.handler(copy.deepcopy(dict(event)), cast("Any", None))
    assert answer.keys() == {"statusCode"}
    status: int = answer["statusCode"]
    return status


def with_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    return {**DONE, "headers": dict(headers)}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in DONE.items() if key != name}


def with_key(key: str) -> dict[str, Any]:
    return {**DONE, "queryStringParameters": {"key": key}}


def test_a_finished_prediction_becomes_a_stored_picture_and_ends_its_job(desk: Desk) -> None:
    assert deliver(DONE) == 200

    job = desk.job()
    assert (job.state, job.stage, job.reference, job.cost_usd) == (State.SUCCESS, None, REFERENCE, PRICE)
    assert job.latency_ms == DONE["requestContext"]["timeEpoch"] - SUBMITTED_MS
    assert desk.images.objects == {image_key(JOB, "png"): picture(SPEC)}
    assert desk.provider.fetched == [json.loads(DONE["body"])["outputs"][0]]
    assert len(desk.metadata.objects) == 1
    assert desk.lane.bodies == []


def test_a_prediction_that_failed_is_left_to_a_worker_who_is_rung(desk: Desk) -> None:
    """Its sample arrives in base64, as a body does whose content type API Gateway takes for binary."""
    desk.jobs.records.clear()
    desk.add(reference=REFERENCE_OF_FAILED)

    assert deliver(FAILED) == 200

    assert (desk.job().state, desk.job().stage) == (State.RUNNING, Stage.ACCEPTED)
    assert desk.lane.bodies == [dump(Doorbell(JOB, "a"))]
    assert desk.images.objects == {}


def test_a_callback_brings_back_the_reference_of_a_submit_whose_answer_was_lost(desk: Desk) -> None:
    desk.lose_the_answer()
    assert deliver(DONE) == 200
    assert (desk.job().state, desk.job().reference, desk.job().cost_usd) == (State.SUCCESS, REFERENCE, PRICE)


def test_the_body_counts_as_it_came_in_base64_or_as_text(desk: Desk) -> None:
    encoded = base64.b64encode(DONE["body"].encode()).decode()
    assert deliver({**DONE, "body": encoded, "isBase64Encoded": True}) == 200
    assert desk.job().state is State.SUCCESS


def test_header_names_are_read_in_any_case(desk: Desk) -> None:
    assert deliver(with_headers({name.title(): value for name, value in DONE["headers"].items()})) == 200
    assert desk.job().state is State.SUCCESS


def test_a_second_delivery_of_the_same_event_changes_nothing(desk: Desk) -> None:
    deliver(DONE)
    before = copy.deepcopy(desk.jobs.records)
    assert deliver(DONE) == 200
    assert desk.jobs.records == before
    assert [line["result"] for line in desk.log.of("callback")] == ["finished", "duplicate"]
    assert len(desk.provider.fetched) == 1


def changed(text: str, at: int) -> str:
    """The text with one hex digit changed."""
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :]


KEY = DONE["queryStringParameters"]["key"]
SIGNATURE = DONE["headers"]["webhook-signature"]


FORGED: Mapping[str, dict[str, Any]] = {
    "a key with another MAC": with_key(changed(KEY, len(KEY) - 1)),
    "a key of another job": with_key(job_id(OTHER) + KEY[64:]),
    "a key of another attempt": with_key(KEY.replace(".1.", ".2.", 1)),
    "two keys, as API Gateway joins them": with_key(f"{KEY},{KEY}"),
    "an empty key": with_key(""),
    "a key for another provider": {**DONE, "pathParameters": {"provider": "fal"}},
    "no query": without("queryStringParameters"),
    "a query of null": {**DONE, "queryStringParameters": None},
    "another signature": with_headers(DONE["headers"] | {"webhook-signature": changed(SIGNATURE, 10)}),
    "no signature": with_headers({"content-type": "application/json"}),
    "no headers": without("headers"),
    "another event id": with_headers(DONE["headers"] | {"webhook-id": "evt_other"}),
    "another body": {**DONE, "body": DONE["body"].replace("1.png", "2.png")},
    "a body that is no text": {**DONE, "body": "//79AA==", "isBase64Encoded": True},
    "no body": without("body"),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_a_forged_callback_is_refused_and_touches_nothing(desk: Desk, forgery: str) -> None:
    assert desk.untouched(FORGED[forgery]) == (403, "forged")


def test_a_forged_key_is_refused_before_the_job_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.jobs, "get_many", None)
    assert desk.untouched(with_key(changed(KEY, -1 + len(KEY)))) == (403, "forged")


def test_a_callback_is_refused_once_its_signature_is_too_old(desk: Desk) -> None:
    desk.clock.ms += 301_000
    assert desk.untouched(DONE) == (403, "replayed")


def test_a_callback_is_refused_once_the_time_of_its_key_is_over(desk: Desk) -> None:
    desk.clock.ms += 8 * 24 * 3600 * 1000
    assert desk.untouched(DONE) == (410, "expired")


def test_a_callback_about_a_job_that_is_not_there_is_refused(desk: Desk) -> None:
    desk.jobs.records.clear()
    assert desk.untouched(DONE) == (404, "foreign")


def test_a_callback_with_the_prediction_of_another_job_is_refused(desk: Desk) -> None:
    desk.lose_the_answer()
    desk.add(OTHER, reference=REFERENCE)
    assert desk.untouched(DONE) == (404, "foreign")


def test_without_a_secret_the_body_is_a_hint_and_the_provider_is_asked(desk: Desk) -> None:
    desk.webhook_secret = ""
    desk.provider.polls = [Working()]
    desk.lose_the_answer()

    assert deliver(with_headers({})) == 200

    assert (desk.job().state, desk.job().stage, desk.job().reference) == (State.RUNNING, Stage.ACCEPTED, REFERENCE)
    assert desk.images.objects == {}


def test_without_a_secret_a_body_that_is_none_is_refused(desk: Desk) -> None:
    desk.webhook_secret = ""
    assert desk.untouched({**DONE, "body": "no json"}) == (400, "unreadable")


def test_a_picture_that_cannot_be_had_is_asked_for_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(output: Output) -> bytes:
        return b"no picture"

    monkeypatch.setattr(desk.provider, "fetch", broken)
    assert deliver(DONE) == 503
    assert desk.job().state is State.RUNNING


def test_the_samples_are_whole() -> None:
    for event, reference in ((DONE, REFERENCE), (FAILED, REFERENCE_OF_FAILED)):
        assert event["rawQueryString"] == f"key={event['queryStringParameters']['key']}"
        assert event["queryStringParameters"]["key"].startswith(JOB)
        assert event["requestContext"]["http"]["method"] == "POST"
        assert reference
