"""What a picture costs now is asked for, and passed on as far as it can be believed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from functions.core.governing import prices
from functions.core.governing.prices import KEPT_SECONDS
from functions.core.lanes import control
from functions.core.lanes.records import lane_record
from tests.fakes.governed import ACCOUNT, DREAM, FLUX, Governed, failures

PERIOD_MS = 5 * 60_000
KEPT_MS = KEPT_SECONDS * 1000


@pytest.fixture
def stack() -> Governed:
    return Governed()


def says(stack: Governed, price_usd: str | None, *, later_ms: int = PERIOD_MS) -> Decimal | None:
    """What the workers go by after the provider was asked some time later."""
    stack.apis[FLUX.name].price_usd = None if price_usd is None else Decimal(price_usd)
    stack.clock.ms += later_ms
    stack.tick()
    return stack.pace().price_usd


def test_a_new_price_is_known_to_the_workers_and_the_same_one_is_no_news(stack: Governed) -> None:
    stack.tick()
    assert (stack.pace().price_usd, stack.pace().settings) == (Decimal("0.003"), 2)
    for price_usd, settings in (("0.0030", 2), ("0.0045", 3)):
        stack.apis[FLUX.name].price_usd = Decimal(price_usd)
        stack.clock.ms += 5 * 60_000
        stack.tick()
        assert (stack.pace().price_usd, stack.pace().settings) == (Decimal(price_usd), settings)


def test_prices_are_asked_for_every_five_minutes(stack: Governed) -> None:
    for _ in range(10):
        stack.minute()
    assert stack.apis[FLUX.name].asked == 2


def test_a_provider_that_does_not_say_leaves_the_price_as_it_was(
    stack: Governed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prices, "QUOTE_SECONDS", 0.01)
    stack.tick()
    stack.apis[FLUX.name].price_usd = None
    stack.apis[DREAM.name].thinks_for_ever = True
    stack.clock.ms += 5 * 60_000
    stack.tick()
    assert stack.pace().price_usd == Decimal("0.003")
    assert [(line["model"], line["error"]) for line in stack.log.of("price_unknown")] == [
        (FLUX.name, "PollError"),
        (DREAM.name, "TimeoutError"),
    ]


# Catalog: $0.003


@pytest.mark.parametrize("price_usd", ["0.00003", "0.0045", "0.3"])
def test_a_price_within_a_hundredth_and_a_hundred_times_the_catalogs_is_believed(
    stack: Governed, price_usd: str
) -> None:
    assert says(stack, price_usd) == Decimal(price_usd)


@pytest.mark.parametrize(
    ("price_usd", "logged"),
    [
        ("0.0000299", "0.0000299"),
        ("0.301", "0.301"),
        ("1e30", "1e+30"),
        ("1e400", "1e+400"),
        ("1e-400", "1e-400"),
        ("1e999999", "1e+999999"),
    ],
)
def test_a_price_that_cannot_be_meant_is_logged_and_the_old_one_stays(
    stack: Governed, price_usd: str, logged: str
) -> None:
    says(stack, "0.0045")
    assert says(stack, price_usd) == Decimal("0.0045")
    assert stack.log.of("price_unbelievable") == [{"model": FLUX.name, "price_usd": logged}]
    assert stack.control().quoted_at == stack.clock.ms - PERIOD_MS


def test_a_price_of_many_digits_is_one_that_can_be_stored(stack: Governed) -> None:
    price_usd = says(stack, "0.0030" + 45 * "0" + "1")
    assert price_usd == Decimal("0.003")
    settings = stack.pace().settings
    says(stack, "0.0030" + 45 * "0" + "2")
    assert stack.pace().settings == settings


def test_when_a_price_was_said_last_is_kept_on_the_lanes_record(stack: Governed) -> None:
    says(stack, "0.003")
    said_at = stack.clock.ms
    assert stack.control().quoted_at == said_at
    says(stack, None)
    assert stack.control().quoted_at == said_at
    says(stack, "0.003")
    assert stack.control().quoted_at == stack.clock.ms == said_at + 2 * PERIOD_MS


def test_who_asked_earlier_does_not_say_when_a_price_was_had_last(stack: Governed) -> None:
    stack.table.write(lane_record(FLUX.name), control.quoted(stack.clock.ms + 2 * PERIOD_MS))
    assert says(stack, "0.0045") == Decimal("0.0045")
    assert stack.control().quoted_at == stack.clock.ms + PERIOD_MS


@pytest.mark.parametrize("answer", [None, "1e30"])
def test_the_catalogs_price_counts_again_once_a_day_has_passed_without_another_one(
    stack: Governed, answer: str | None
) -> None:
    says(stack, "0.0045")
    assert says(stack, answer, later_ms=KEPT_MS - PERIOD_MS) == Decimal("0.0045")
    settings = stack.pace().settings
    assert says(stack, answer) is None
    assert stack.pace().settings == settings + 1, "the workers learn of it"
    assert stack.log.of("price")[-1] == {"model": FLUX.name, "price_usd": 0.003, "said_by": "catalog"}
    says(stack, answer)
    assert stack.pace().settings == settings + 1
    assert says(stack, "0.0045") == Decimal("0.0045")


def test_a_price_that_somebody_else_has_passed_on_meanwhile_is_left(stack: Governed) -> None:
    says(stack, "0.003")
    write = control.quote(FLUX.name, Decimal("0.006"), seen=Decimal("0.003"))
    # The first reading is the intake's, the second the lanes'.
    stack.table.after_reading = [lambda: None, lambda: stack.table.write(ACCOUNT, write)]
    assert says(stack, "0.0045") == Decimal("0.006")


def test_a_price_that_cannot_be_stored_stops_nothing(stack: Governed) -> None:
    stack.table.failing = {"quote"}
    with pytest.raises(ExceptionGroup) as group:
        stack.tick()
    assert failures(group.value) == 2
    assert set(stack.gauges) == {FLUX.name, DREAM.name}
