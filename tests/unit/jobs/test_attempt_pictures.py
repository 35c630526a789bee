"""The picture: looked for in storage, checked, fetched again, and never bought again for being broken."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from functions.core.errors import ErrorClass, StorageError
from functions.core.jobs import news
from functions.core.jobs.attempt import FETCHES
from functions.core.jobs.records import State
from functions.core.jobs.retry import MAX_TRIES
from functions.core.jobs.vault import Vault
from functions.core.keys import image_key, metadata_key, seed_for
from tests.fakes.lane import JOB, PRICE, SPEC, Lane, ScriptedApi, picture
from tests.fakes.races import StandingClock
from tests.fakes.records import accepted_again, announced, given_back
from tests.fakes.stores import MemoryObjects
from tests.fakes.virtual_time import run


def test_a_picture_that_an_earlier_try_stored_ends_the_job_without_a_call() -> None:
    lane = Lane()
    seeded = replace(SPEC, seed=seed_for(JOB))
    lane.images.objects[image_key(JOB, "png")] = picture(seeded)
    lane.jobs.records[JOB] = announced()
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS
    assert lane.api.submitted == []
    assert metadata_key(JOB) in lane.metadata.objects


def lane_with_the_picture_of(reference: str) -> Lane:
    """A lane in whose buckets is what a call has made."""
    lane = Lane()
    job, spec = replace(lane.job(), reference=reference), lane.job().asked_for()
    Vault(lane.images, lane.metadata).keep(job, spec, picture(spec), "m")
    return lane


def test_a_stored_picture_is_paid_for_by_the_call_that_made_it() -> None:
    lane = lane_with_the_picture_of("p1")
    lane.jobs.records[JOB] = {**given_back(), "reference": "p2", "settled_calls": frozenset({"p2"})}
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.reference, job.cost_usd) == (State.SUCCESS, "p1", PRICE)
    told = news.taken(lane.jobs, StandingClock(), lane.log, job, 1, "p1", PRICE)
    assert told.cost_usd == PRICE


def test_a_stored_picture_does_not_hide_that_another_call_was_taken() -> None:
    lane = lane_with_the_picture_of("p1")
    lane.jobs.records[JOB] = accepted_again()
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.reference, job.cost_usd) == (State.SUCCESS, "p1", 2 * PRICE)
    assert job.settled_calls == {"p2"}


def test_a_picture_stored_by_somebody_else_meanwhile_is_the_jobs_picture() -> None:
    lane = Lane()
    other = picture(replace(SPEC, seed=200))
    lane.images.objects[image_key(JOB, "png")] = other
    run(lane.deliver())
    assert lane.images.objects[image_key(JOB, "png")] == other
    assert json.loads(lane.metadata.objects[metadata_key(JOB)])["picture"]["sha256"] == lane.job().sha256


BROKEN = [
    b"",
    b"<html>oops</html>",
    picture(SPEC)[:-60],
    picture(SPEC, size=(32, 64)),
    picture(replace(SPEC, format="webp")),
]


@pytest.mark.parametrize("data", BROKEN, ids=["empty", "html", "cut", "wrong size", "wrong type"])
def test_a_broken_picture_is_fetched_again_not_bought_again(data: bytes) -> None:
    lane = Lane(api=ScriptedApi(fetches=[data]))
    assert run(lane.deliver()) == set()
    assert lane.job().state is State.SUCCESS
    assert (lane.api.paid, lane.api.fetched) == (1, 2)


def test_a_picture_that_stays_broken_fails_with_its_price_and_is_not_bought_again() -> None:
    lane = Lane(api=ScriptedApi(fetches=[b"broken"] * 100))
    run(lane.until_gone())
    job = lane.job()
    assert (job.state, job.error_class, job.cost_usd) == (State.FAILED, ErrorClass.CORRUPT, Decimal("0.003"))
    assert (lane.api.paid, lane.api.fetched) == (1, FETCHES * MAX_TRIES)
    assert lane.images.objects == {}


def test_a_storage_error_is_retried_without_a_second_call() -> None:
    lane = Lane()
    refusals = [StorageError("an object could not be written: SlowDown")] * 2

    class Refusing(MemoryObjects):
        def put_if_absent(self, key: str, body: bytes, content_type: str) -> bool:
            if refusals:
                raise refusals.pop()
            return super().put_if_absent(key, body, content_type)

    lane.images = Refusing()
    assert run(lane.until_gone()) == 3
    assert (lane.job().state, lane.api.paid) == (State.SUCCESS, 1)
