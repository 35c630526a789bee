"""Following the jobs table's stream: what changes with jobs, changes with them.

The counters of their batches; what their lanes did, by minute and as metrics; and how many calls are in flight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from functions.core.batches import changes as batch_changes
from functions.core.batches.counting import Change, deltas
from functions.core.batches.messages import Close
from functions.core.batches.records import BatchStore
from functions.core.catalog import Catalog
from functions.core.jobs.records import Job
from functions.core.lanes.measures import Measures, measure, record
from functions.core.lanes.pacing import SKEW_SECONDS, landed
from functions.core.lanes.records import account_record, minute_record
from functions.core.messages import dump
from functions.core.ports import Clock, Queue, RecordStore
from functions.core.writes import StaleWriteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker:
    """Adds the changes of jobs to the counters of the open batches that want them: one write for each batch."""

    batches: BatchStore
    reports: Queue
    clock: Clock

    def follow(self, changes: Iterable[Change]) -> None:
        """Count changes. A batch that seems finished by them is sent to be closed; closed ones stay as they are."""
        for batch_id, counts in deltas(changes).items():
            with suppress(StaleWriteError):
                batch = self.batches.write(batch_id, batch_changes.count(counts, self.clock.now_ms()))
                if batch.looks_finished:
                    self.reports.send([dump(Close(batch_id))])


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneTracker:
    """Writes down what lanes did, one write for each lane, and publishes it.

    A job's call that was left to itself has a place among its account's calls in flight. Once the job does not wait for
    it any more, the place is free: one write for the places of an account that were held until the same second.
    """

    lanes: RecordStore
    catalog: Catalog
    clock: Clock
    publish: Callable[[Mapping[str, Measures]], None]

    def follow(self, changes: Iterable[Change]) -> None:
        """Measure changes, and give free places back.

        Raises:
            ExceptionGroup: with all that failed, after everything else was done.
        """
        seen = list(changes)
        _each((partial(self._measure, seen), partial(self._land, seen)))

    def _measure(self, changes: Iterable[Change]) -> None:
        now_ms = self.clock.now_ms()
        measured = measure(changes, self._expected)
        writes = {minute_record(model, now_ms // 60_000): record(one, now_ms) for model, one in measured.items()}
        _each((partial(self.publish, measured), *(partial(self.lanes.write, *write) for write in writes.items())))

    def _land(self, changes: Iterable[Change]) -> None:
        # Of what ends sooner, whoever sweeps may be about to give it back.
        soonest = self.clock.now_ms() // 1000 + SKEW_SECONDS
        free = Counter(place for place in map(self._freed, changes) if place and place[1] >= soonest)
        _each(
            partial(self.lanes.write, account_record(account), landed(until, calls))
            for (account, until), calls in free.items()
        )

    def _freed(self, change: Change) -> tuple[str, int] | None:
        """The account of the place that a change made free, and the second until which it was held."""
        if change.before is None or not change.before.flight_until:
            return None
        if change.after is not None and change.after.flight_until:
            return None  # unchanged, or moved by the worker, who has counted it so
        model = self.catalog.models.get(change.before.model)
        return (model.account.name, change.before.flight_until) if model else None

    def _expected(self, job: Job) -> Decimal:
        """What a picture costs by the catalog; nothing of a model that it does not have any more."""
        model = self.catalog.models.get(job.model)
        return model.price_usd if model else Decimal(0)


def _each(steps: Iterable[Callable[[], object]]) -> None:
    """Take every step, whatever becomes of the others."""
    errors: list[Exception] = []
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001  # none stops the others; all are raised
            errors.append(error)
    if errors:
        raise ExceptionGroup(f"{len(errors)} of the steps failed", errors)
