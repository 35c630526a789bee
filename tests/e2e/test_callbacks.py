"""Callbacks finish what workers have left and bring back what was lost; what is not the provider's changes nothing."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from functions.core.batches.records import Batch, BatchState
from functions.core.catalog import load_catalog
from functions.core.errors import ErrorClass, Fault
from functions.core.jobs import lifecycle
from functions.core.jobs.records import Job
from functions.core.messages import Doorbell, dump
from tests.e2e.logs import events, refused_callbacks
from tests.e2e.outside import Outside, signed
from tests.e2e.pipeline import CANARY, PRICE, Pipeline, file_of

INLINE_SECONDS = load_catalog().models["flux-schnell"].inline_seconds
SLOW = {"min": INLINE_SECONDS + 1, "mean": INLINE_SECONDS + 1.2, "max": INLINE_SECONDS + 2}
"""Seconds a picture takes: longer than its worker stays for it."""

LOST = Fault(ErrorClass.AMBIGUOUS, "the answer to the submit was lost")


@pytest.fixture(scope="module")
def outside(stack: Pipeline) -> Outside:
    return Outside.of(stack)


def test_slow_pictures_are_finished_by_their_callbacks_and_nobody_polls_any_more(pipeline: Pipeline) -> None:
    pipeline.behave(latency_seconds=SLOW)
    prompts = [f"{CANARY} slow {number}" for number in range(4)]

    batch_id = pipeline.put("slow.csv", file_of(prompts))
    batch = pipeline.ended(batch_id)

    whole(pipeline, batch, prompts)
    jobs = pipeline.jobs(batch_id)
    assert {job["attempt_count"] for job in jobs} == {1}, "no worker had to come back for any"
    said = of_jobs(pipeline, "completion", jobs, "callback")
    assert [line["result"] for line in said] == ["finished"] * 4
    asked = of_jobs(pipeline, "worker", jobs, "provider_request")
    assert {line["operation"] for line in asked} == {"submit", "poll"}, "the workers did not fetch one"
    assert max(line["timestamp"] for line in asked) < min(line["timestamp"] for line in said)


def test_lost_answers_cost_nothing_where_callbacks_come(pipeline: Pipeline) -> None:
    """The answers that never come are left out: it takes a worker a minute to lose patience with each."""
    faults = {"submit_drop_after": 0.35, "submit_500_after": 0.35}
    pipeline.behave(faults=faults, latency_seconds={"min": 0.1, "mean": 0.8, "max": 2.0}, seed=3)
    prompts = [f"{CANARY} unanswered {number}" for number in range(40)]

    batch_id = pipeline.put("unanswered.csv", file_of(prompts))
    batch = pipeline.ended(batch_id)

    assert pipeline.sandbox.ledger()["summary"]["injected"].keys() == faults.keys()
    whole(pipeline, batch, prompts)
    assert not any("repays" in job for job in pipeline.jobs(batch_id))


def test_lost_callbacks_are_made_up_for_by_a_poll_and_duplicate_and_forged_ones_change_nothing(
    pipeline: Pipeline,
) -> None:
    """The message of a job is its alarm clock and rings after minutes; here the bell is rung by hand."""
    faults = {"callback_lost": 0.34, "callback_duplicate": 0.33, "callback_forged": 0.33}
    pipeline.behave(latency_seconds=SLOW, faults=faults, seed=4)
    refused = refused_callbacks(pipeline)
    prompts = [f"{CANARY} misreported {number}" for number in range(18)]

    batch_id = pipeline.put("misreported.csv", file_of(prompts))
    pipeline.wait_for(lambda: pipeline.charges().total() == 18, lambda: "18 submits")
    pipeline.wait_for(lambda: pipeline.sandbox.callbacks()["pending"] == 0, lambda: "the callbacks")
    sent = pipeline.sandbox.callbacks()
    assert all(sent[fault] for fault in ("lost", "duplicated", "forged"))
    jobs = pipeline.jobs(batch_id)
    waiting = [job["job_id"] for job in jobs if job["state"] != "success"]
    assert len(waiting) == sent["lost"]
    ring(pipeline, waiting)
    batch = pipeline.ended(batch_id)

    whole(pipeline, batch, prompts)
    assert {job["job_id"] for job in pipeline.jobs(batch_id) if job["attempt_count"] > 1} == set(waiting)
    results = Counter(line["result"] for line in of_jobs(pipeline, "completion", jobs, "callback"))
    assert (results["finished"], results["forged"]) == (sent["delivered"], sent["forged"])
    # On a slow machine the sandbox loses patience with an answer, and the event comes once more.
    assert results["duplicate"] >= sent["duplicated"]
    assert results.keys() == {"finished", "duplicate", "forged"}
    assert refused_callbacks(pipeline) - refused == {"forged": sent["forged"]}


def test_what_is_not_the_providers_is_refused_and_changes_nothing(pipeline: Pipeline, outside: Outside) -> None:
    other = pipeline.ended(pipeline.put("other.csv", file_of([f"{CANARY} of another job"])))
    (theirs,) = pipeline.jobs(other.batch_id)
    batch_id, job = unanswered(pipeline, "ours.csv", f"{CANARY} of our job")
    reference = outside.submit(job, calls_back=False)
    body, key = outside.finished(reference), outside.key(job.job_id)
    foreign = outside.finished(theirs["reference"])
    huge = json.dumps({**json.loads(body), "more": "x" * 1_100_000}).encode()
    before, refused = (pipeline.jobs(batch_id), pipeline.jobs(other.batch_id)), refused_callbacks(pipeline)

    answers = {
        "no key": outside.post(body, signed(body), key=None),
        "a key that says nothing": outside.post(body, signed(body), key="key"),
        "a key with another MAC": outside.post(body, signed(body), key=key[:-4] + "0000"),
        "a key for another provider": outside.post(body, signed(body), key=key, url=outside.url + "-2"),
        "a key whose time is over": outside.post(body, signed(body), key=outside.key(job.job_id, seconds=-1)),
        "a key of a job that is not there": outside.post(body, signed(body), key=outside.key("0" * 64)),
        "another job's prediction": outside.post(foreign, signed(foreign), key=key),
        "a signature by another secret": outside.post(body, signed(body, secret="whsec_guessed"), key=key),
        "another body than was signed": outside.post(body + b" ", signed(body), key=key),
        "no signature": outside.post(body, {"content-type": "application/json"}, key=key),
        "an old message": outside.post(body, signed(body, seconds_ago=400), key=key),
        "a message from tomorrow": outside.post(body, signed(body, seconds_ago=-86_400), key=key),
        "a huge body": outside.post(huge, signed(huge), key=key),
        "a binary body": outside.post(
            b"\xff\x00\xfe", signed(b"\xff\x00\xfe") | {"content-type": "image/png"}, key=key
        ),
        "an empty body": outside.post(b"", signed(b""), key=key),
        "a body that names nothing": outside.post(b"{}", signed(b"{}"), key=key),
    }

    assert answers == {
        "no key": 403,
        "a key that says nothing": 403,
        "a key with another MAC": 403,
        "a key for another provider": 403,
        "a key whose time is over": 410,
        "a key of a job that is not there": 404,
        "another job's prediction": 404,
        "a signature by another secret": 403,
        "another body than was signed": 403,
        "no signature": 403,
        "an old message": 403,
        "a message from tomorrow": 403,
        "a huge body": 400,
        "a binary body": 400,
        "an empty body": 400,
        "a body that names nothing": 400,
    }
    assert httpx.get(outside.url, params={"key": key}, trust_env=False).status_code == 404
    assert outside.post(body, signed(body), key=key, url=pipeline.outputs["ApiUrl"]) == 404
    assert (pipeline.jobs(batch_id), pipeline.jobs(other.batch_id)) == before
    assert refused_callbacks(pipeline) - refused == {
        "forged": 7,
        "replayed": 2,
        "expired": 1,
        "foreign": 2,
        "unreadable": 4,
    }
    # What was refused was so for what was wrong with it, and for nothing else.
    assert outside.post(body, signed(body), key=key) == 200
    batch, made = pipeline.ended(batch_id), pipeline.jobs(batch_id)
    whole(pipeline, batch, [f"{CANARY} of our job"], charged=2)
    assert outside.post(body, signed(body), key=key) == 200
    assert outside.post(body, signed(body), key=outside.key(theirs["job_id"])) == 404
    assert (pipeline.jobs(batch_id), pipeline.jobs(other.batch_id)) == (made, before[1])


def test_a_held_job_is_finished_by_its_late_callback_and_so_is_its_batch(pipeline: Pipeline, outside: Outside) -> None:
    batch_id, job = held(pipeline, "late.csv", f"{CANARY} late")
    assert (pipeline.ended(batch_id).held, pipeline.batch(batch_id).is_open) == (1, True)

    outside.submit(job, calls_back=True)
    closed = pipeline.wait_for(lambda: not pipeline.batch(batch_id).is_open, lambda: "the batch to close")

    assert closed
    whole(pipeline, pipeline.batch(batch_id), [f"{CANARY} late"])
    assert list(pipeline.stack.jobs().held()) == []


def test_a_person_finds_the_prediction_of_a_held_job_and_its_picture_is_fetched(
    pipeline: Pipeline, outside: Outside
) -> None:
    batch_id, job = held(pipeline, "found.csv", f"{CANARY} found in the dashboard")
    pipeline.ended(batch_id)
    reference = outside.submit(job, calls_back=False)

    (listed,) = json.loads(pipeline.imagebatch("held", "list", "--batch", batch_id, "--json"))["held"]
    assert listed["job_id"] == job.job_id
    pipeline.imagebatch("held", "resolve", job.job_id[:16], "--look", "--reference", reference, "--yes")
    pipeline.wait_for(lambda: not pipeline.batch(batch_id).is_open, lambda: "the batch to close")

    whole(pipeline, pipeline.batch(batch_id), [f"{CANARY} found in the dashboard"])


def whole(pipeline: Pipeline, batch: Batch, prompts: list[str], *, charged: int | None = None) -> None:
    """See that a batch is complete, each of its pictures paid once, and its numbers those of the jobs table."""
    rows = pipeline.results(batch.batch_id)
    assert [row["prompt"] for row in rows] == prompts
    for row in rows:
        pipeline.check_picture(row, (256, 256))
    assert (batch.state, batch.succeeded, batch.failed, batch.held) == (BatchState.COMPLETED, len(prompts), 0, 0)
    counted = pipeline.recount(batch.batch_id)
    assert counted == {name: getattr(batch, name) for name in counted}
    charges = pipeline.charges()
    assert {row["job_id"]: charges[row["job_id"]] for row in rows} == {row["job_id"]: 1 for row in rows}
    assert charges.total() == (charged or len(prompts))
    assert batch.cost_usd == len(prompts) * PRICE


def of_jobs(pipeline: Pipeline, part: str, jobs: list[dict[str, Any]], message: str) -> list[dict[str, Any]]:
    """The lines of a function's log that are about these jobs."""
    ids = {job["job_id"] for job in jobs}
    return [line for line in events(pipeline, part) if line.get("message") == message and line.get("job_id") in ids]


def ring(pipeline: Pipeline, job_ids: list[str]) -> None:
    sqs, url = pipeline.instance.session().client("sqs"), pipeline.lane()["queue_url"]
    for job_id in job_ids:
        sqs.send_message(QueueUrl=url, MessageBody=dump(Doorbell(job_id)))


def unanswered(pipeline: Pipeline, name: str, prompt: str) -> tuple[str, Job]:
    """A batch of one job as a worker leaves it whose submit was not answered; that worker never comes back."""
    with pipeline.without(pipeline.lane()["mapping"]):
        batch_id = pipeline.put(name, file_of([prompt]))
        pipeline.lose_doorbells(count=1)
    (record,) = pipeline.jobs(batch_id)
    jobs, job_id, now_ms = pipeline.stack.jobs(), record["job_id"], int(time.time() * 1000)
    jobs.write(job_id, lifecycle.claim_to_submit("a worker of long ago", now_ms, 0))
    return batch_id, jobs.write(job_id, lifecycle.doubt(1, LOST, now_ms))


def held(pipeline: Pipeline, name: str, prompt: str) -> tuple[str, Job]:
    """The same, once nobody can find out what became of the call."""
    batch_id, job = unanswered(pipeline, name, prompt)
    return batch_id, pipeline.stack.jobs().write(job.job_id, lifecycle.hold(1, job, LOST, int(time.time() * 1000)))
