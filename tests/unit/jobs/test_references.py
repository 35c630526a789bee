"""Which predictions are ours: each reference is looked up until some job has named it, and never again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from functions.core.jobs.references import OwnedReferences
from tests.fakes.lane import JOB, SPEC, STRANGER, Lane, ScriptedApi
from tests.fakes.records import LEASE_MS, accepted, announced
from tests.fakes.stores import MemoryJobs
from tests.fakes.virtual_time import START_MS, run


class AskedJobs(MemoryJobs):
    """A jobs table that notes which references it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def known_references(self, references: Sequence[str]) -> frozenset[str]:
        self.asked.append(list(references))
        return super().known_references(references)


def test_what_some_job_has_named_is_not_looked_up_again() -> None:
    jobs, owned = AskedJobs(), OwnedReferences()
    jobs.records = {"one": {"reference": "p1"}}

    async def three_times() -> list[frozenset[str]]:
        found = [await owned.unowned(jobs, ["p1", "p2"]) for _ in range(2)]
        jobs.records["two"] = {"reference": "p2"}
        return [*found, await owned.unowned(jobs, ["p1", "p2"]), await owned.unowned(jobs, ["p2", "p1"])]

    assert run(three_times()) == [frozenset({"p2"}), frozenset({"p2"}), frozenset(), frozenset()]
    assert jobs.asked == [["p1", "p2"], ["p2"], ["p2"]]


def test_nothing_is_looked_up_for_an_empty_listing() -> None:
    jobs = AskedJobs()
    assert run(OwnedReferences().unowned(jobs, [])) == frozenset()
    assert jobs.asked == []


def test_those_who_ask_at_a_time_share_one_lookup() -> None:
    jobs, owned = AskedJobs(), OwnedReferences()
    jobs.records = {"one": {"reference": "p1"}}

    async def both() -> set[frozenset[str]]:
        return {*await asyncio.gather(owned.unowned(jobs, ["p1"]), owned.unowned(jobs, ["p1"]))}

    assert run(both()) == {frozenset()}
    assert jobs.asked == [["p1"]]


def test_the_jobs_of_a_batch_look_up_what_is_listed_once() -> None:
    lane = Lane(jobs=AskedJobs(), api=ScriptedApi(listing=[STRANGER]))
    owner = lane.add(replace(SPEC, seed=1))
    lane.jobs.records[owner] |= {**accepted(), "job_id": owner, "reference": STRANGER.reference}
    others = [lane.add(replace(SPEC, seed=seed)) for seed in range(2, 5)]
    for job in (JOB, *others):
        lane.jobs.records[job] = {**announced(START_MS - LEASE_MS), "job_id": job}
    run(lane.deliver(JOB, *others))
    assert lane.jobs.asked == [[STRANGER.reference]]  # type: ignore[attr-defined]  # the one given above
