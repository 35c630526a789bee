"""A batch whose pictures cost more than they used to waits until somebody says that it may begin."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from functions.core.batches import changes
from functions.core.batches.price_check import TO_BE_CONFIRMED, why_too_dear
from functions.core.batches.steering import Steering
from functions.core.catalog import load_catalog
from functions.core.lanes.measures import FEWEST_PICTURES, Done
from functions.core.lanes.records import Pace
from tests.fakes.plant import MODEL, Plant

SCHNELL = load_catalog().models["flux-schnell"]
HOUR = Done(pictures=100, cost_usd=Decimal("0.300"), expected_usd=Decimal("0.300"))
ROWS = b"prompt\n" + b"".join(f"a kettle {n}\n".encode() for n in range(150))


def priced(usd: str) -> Pace:
    return Pace(price_usd=Decimal(usd))


@pytest.mark.parametrize("usd", ["0.003", "0.0039", "0.001"])
def test_a_price_of_up_to_a_third_more_is_no_reason_to_wait(usd: str) -> None:
    assert why_too_dear(SCHNELL, priced(usd), HOUR) == ""


def test_what_costs_more_says_how_much_and_what_to_do() -> None:
    why = why_too_dear(SCHNELL, priced("0.0045"), HOUR)
    assert why.startswith(TO_BE_CONFIRMED)
    assert "flux-schnell costs $0.0045 now, 50 % more than in the last hour ($0.0030 on average)" in why
    assert "Resume the batch" in why


def test_a_price_that_was_paid_for_an_hour_is_no_news() -> None:
    dear = Done(pictures=100, cost_usd=Decimal("0.450"), expected_usd=Decimal("0.300"))
    assert why_too_dear(SCHNELL, priced("0.0045"), dear) == ""


def test_the_sizes_of_pictures_do_not_matter() -> None:
    large = Done(pictures=100, cost_usd=Decimal("1.200"), expected_usd=Decimal("1.200"))
    assert why_too_dear(SCHNELL, priced("0.0045"), large)


def test_an_hour_of_few_pictures_says_nothing() -> None:
    few = replace(HOUR, pictures=FEWEST_PICTURES - 1)
    assert why_too_dear(SCHNELL, priced("0.0045"), few) == ""


def test_the_catalogs_price_counts_until_the_provider_has_said_one() -> None:
    cheap = Done(pictures=100, cost_usd=Decimal("0.200"), expected_usd=Decimal("0.300"))
    assert why_too_dear(SCHNELL, Pace(), cheap)
    assert why_too_dear(SCHNELL, Pace(), HOUR) == ""


def test_a_batch_that_is_too_dear_rings_nothing_until_it_is_resumed_and_is_not_asked_about_twice() -> None:
    plant = Plant()
    plant.paces.pace, plant.paces.hour = priced("0.0045"), HOUR
    batch_id = plant.upload("dear.csv", ROWS)
    plant.split()
    assert plant.batch(batch_id).paused.startswith(TO_BE_CONFIRMED)
    assert (len(plant.jobs.records), plant.lane.messages) == (150, [])

    steering = Steering(
        batches=plant.batches, intake=plant.intake, reports=plant.reports, models=[MODEL], clock=plant.clock
    )
    steering.resume(plant.batch(batch_id))
    plant.split()
    assert len(plant.lane.messages) == 150
    assert not plant.batch(batch_id).paused


def test_a_batch_that_is_confirmed_before_its_first_part_is_made_is_not_asked_about() -> None:
    plant = Plant()
    plant.paces.pace, plant.paces.hour = priced("0.0045"), HOUR
    batch_id = plant.upload("dear.csv", ROWS)
    plant.split(1)
    plant.batches.write(batch_id, changes.pause("by the operator"))
    plant.batches.write(batch_id, changes.resume(plant.batch(batch_id), [MODEL], plant.clock.now_ms()))
    plant.split()
    assert len(plant.lane.messages) == 150
