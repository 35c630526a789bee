"""What each change of a batch record is conditional on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from functions.core.batches import changes
from functions.core.batches.counting import exactly
from functions.core.batches.records import CLOSED, Batch, BatchState, Source, batch_from_record, ring_chain
from functions.core.writes import StaleWriteError, Write, apply

Record = dict[str, Any]

UNTIL = 5_000
"""Until when the recount of these tests has the batch."""

NOW = 1_000
MODEL = "flux-schnell"


def opened() -> Record:
    write = changes.open_batch(
        "b",
        Source("inbox", "a.csv", "v1"),
        recipe="",
        recipe_text="",
        chunk_rows=10,
        deadline_hours=24,
        now_ms=0,
    )
    return apply(write, {})


def recounted() -> Record:
    """A batch that a recount has for itself."""
    return apply(changes.begin_recount(NOW, UNTIL), opened())


def paused() -> Record:
    return apply(changes.pause("why"), opened())


def without_a_lane() -> Record:
    return apply(changes.wait_for_lane(MODEL), opened())


def _close(batch: Batch) -> Write:
    return changes.close(batch, exactly({}), results_key="r.csv", reason="", now_ms=NOW)


CHANGES: Mapping[str, tuple[Callable[[], Record], Callable[[Batch], Write]]] = {
    "reject": (opened, lambda _: changes.reject("no", NOW)),
    "cut_short": (opened, lambda _: changes.cut_short("no", NOW)),
    "touch": (opened, lambda _: changes.touch(NOW)),
    "scanned": (opened, lambda _: changes.scanned(3, NOW)),
    "count": (opened, lambda _: changes.count({"jobs": 1}, NOW)),
    "pause_batch": (opened, lambda _: changes.pause("why")),
    "resume_batch": (paused, lambda batch: changes.resume(batch, [MODEL], NOW)),
    "cancel_batch": (opened, lambda _: changes.cancel(NOW)),
    "nudge": (opened, lambda batch: changes.nudge(batch, NOW)),
    "begin_recount": (opened, lambda _: changes.begin_recount(NOW, UNTIL)),
    "recount_again": (opened, lambda _: changes.recount_again()),
    "end_recount": (recounted, lambda _: changes.end_recount(UNTIL)),
    "correct": (recounted, lambda batch: changes.correct(batch, exactly({}))),
    "publish": (recounted, lambda batch: changes.publish(batch, "r.csv", late=False)),
    "close": (recounted, _close),
    "rung": (opened, lambda _: changes.rung([MODEL], NOW)),
    "ring_on": (opened, lambda batch: changes.ring_on(MODEL, batch.ring_chain(MODEL), NOW)),
    "ring_anew": (opened, lambda _: changes.ring_anew(MODEL, NOW)),
    "ring_again": (opened, lambda _: changes.ring_again(MODEL, NOW, NOW - 1)),
    "wait_for_lane": (opened, lambda _: changes.wait_for_lane(MODEL)),
    "lane_is_back": (without_a_lane, lambda _: changes.lane_is_back(MODEL)),
}


def refused(name: str, **since: object) -> bool:
    """Whether a change is refused if these attributes have changed since the batch was seen."""
    fitting, change = CHANGES[name]
    write = change(batch_from_record(fitting()))
    assert write.name == name
    apply(write, fitting())
    try:
        apply(write, {**fitting(), **since})
    except StaleWriteError:
        return True
    return False


@pytest.mark.parametrize("name", CHANGES)
def test_a_closed_batch_never_changes_again(name: str) -> None:
    assert refused(name, listing=CLOSED)


@pytest.mark.parametrize("name", ["end_recount", "correct", "publish", "close"])
def test_a_recount_that_has_lost_the_batch_changes_nothing(name: str) -> None:
    assert refused(name, recount_until=UNTIL + 1)


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("reject", {"parts_done": 1}),
        ("scanned", {"state": BatchState.RUNNING}),
        ("nudge", {"checked_at": "2026-11-21T08:00:00.000Z"}),
        ("begin_recount", {"recount_until": NOW + 1}),
        ("correct", {"updated_at": "2026-11-21T08:00:00.000Z"}),
        ("close", {"parts_done": 1}),
        ("close", {"cancelled": True}),
        ("pause_batch", {"paused": "something else"}),
        ("pause_batch", {"cancelled": True}),
        ("resume_batch", {"paused": "something else"}),
        ("resume_batch", {"cancelled": True}),
        ("cancel_batch", {"cancelled": True}),
        ("ring_on", {"paused": "why"}),
        ("ring_on", {ring_chain(MODEL): NOW}),
        ("ring_anew", {"paused": "why"}),
        ("ring_anew", {"cancelled": True}),
        ("ring_again", {"paused": "why"}),
        ("ring_again", changes.rung([MODEL], NOW).sets),
        ("wait_for_lane", {"reason": "something else"}),
        ("lane_is_back", {"reason": "something else"}),
    ],
)
def test_a_change_holds_for_the_batch_as_it_was_seen(name: str, since: Mapping[str, object]) -> None:
    assert refused(name, **since)


def test_a_later_chain_is_the_one_that_goes_on() -> None:
    later = apply(changes.ring_again(MODEL, NOW, NOW - 1), opened())
    chain = batch_from_record(later).ring_chain(MODEL)
    assert chain
    apply(changes.ring_on(MODEL, chain, NOW), later)
    for other in (0, chain + 1):
        with pytest.raises(StaleWriteError):
            apply(changes.ring_on(MODEL, other, NOW), later)


def test_a_file_opens_one_batch() -> None:
    with pytest.raises(StaleWriteError):
        apply(
            changes.open_batch(
                "b", Source("", "", ""), recipe="", recipe_text="", chunk_rows=1, deadline_hours=1, now_ms=1
            ),
            opened(),
        )
