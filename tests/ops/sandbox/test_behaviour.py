"""A behaviour document is validated as a whole and refused with a sentence."""

import json
from decimal import Decimal
from typing import Any

import pytest

from ops.sandbox.behaviour import Behaviour, BehaviourError, Faults, Latency, Plan, parse


def test_a_document_is_read_back_as_it_was() -> None:
    behaviour = Behaviour(
        plan=Plan(500, 300),
        latency_seconds=Latency(0.1, 0.2, 3.0),
        faults=Faults(submit_429=0.5, poll_500=1.0),
        unit_price_usd=Decimal("0.0045"),
        out_of_funds=True,
        outage_until=1_800_000_000.0,
        api_key="key",
        sync_timeout_seconds=5.0,
        callback_late_seconds=7.0,
        callback_retry_seconds=(0.5, 2.0),
        webhook_secret="whsec_other",
        sign_callbacks=False,
        seed=-7,
    )
    assert parse(json.loads(json.dumps(behaviour.to_json()))) == behaviour


def test_an_empty_document_is_a_provider_that_behaves_and_has_no_limits() -> None:
    assert parse({}) == Behaviour()
    assert Behaviour().plan == Plan(None, None)
    assert Behaviour().unit_price_usd == Decimal("0.003")
    assert not any(vars(Behaviour().faults).values())


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "behaviour must be a JSON object; it is []."),
        ({"plan": 500}, "plan must be a JSON object; it is 500."),
        ({"fault": {}}, "behaviour has no field 'fault'; its fields are plan, latency_seconds, faults"),
        ({"plan": {"rate": 1}}, "plan has no field 'rate'; its fields are images_per_minute, concurrency."),
        ({"plan": {"concurrency": 0}}, "plan.concurrency must be at least 1, or null for unlimited; it is 0."),
        ({"plan": {"concurrency": 1.5}}, "plan.concurrency must be a whole number; it is 1.5."),
        ({"faults": {"poll_500": 1.2}}, "faults.poll_500 is a rate from 0 to 1; it is 1.2."),
        ({"faults": {"poll_500": -1}}, "faults.poll_500 must be a number from 0 up; it is -1."),
        ({"faults": {"poll_500": True}}, "faults.poll_500 must be a number from 0 up; it is True."),
        ({"faults": {"poll_500": float("nan")}}, "faults.poll_500 must be a number from 0 up; it is nan."),
        (
            {"faults": {"submit_429": 0.6, "submit_drop_after": 0.6}},
            "exclude each other and may add up to 1; they add up to 1.2.",
        ),
        (
            {"latency_seconds": {"min": 1, "mean": 0.5, "max": 2}},
            "latency_seconds needs min <= mean <= max; it is min 1, mean 0.5, max 2.",
        ),
        ({"unit_price_usd": 0}, "unit_price_usd must be more than 0; it is 0."),
        ({"unit_price_usd": -0.003}, "unit_price_usd must be a number from 0 up; it is -0.003."),
        ({"unit_price_usd": "0.003"}, "unit_price_usd must be a number from 0 up; it is '0.003'."),
        ({"unit_price_usd": None}, "unit_price_usd must be a number from 0 up; it is None."),
        ({"unit_price_usd": float("inf")}, "unit_price_usd must be a number from 0 up; it is inf."),
        ({"out_of_funds": "yes"}, "out_of_funds must be true or false; it is 'yes'."),
        ({"outage_until": "tomorrow"}, "outage_until must be a number from 0 up; it is 'tomorrow'."),
        ({"api_key": ""}, "api_key must be a text that is not empty, or null; it is ''."),
        (
            {"faults": {"callback_lost": 0.5, "callback_late": 0.3, "callback_forged": 0.3}},
            "exclude each other and may add up to 1; they add up to 1.1.",
        ),
        ({"callback_late_seconds": -1}, "callback_late_seconds must be a number from 0 up; it is -1."),
        ({"callback_retry_seconds": [1]}, "callback_retry_seconds must be a list of two numbers; it is [1]."),
        ({"callback_retry_seconds": [1, "5"]}, "callback_retry_seconds must be a number from 0 up; it is '5'."),
        ({"webhook_secret": ""}, "webhook_secret must be a text that is not empty, or null; it is ''."),
        ({"sign_callbacks": None}, "sign_callbacks must be true or false; it is None."),
        ({"seed": "1"}, "seed must be a whole number; it is '1'."),
    ],
)
def test_what_cannot_be_used_is_named(document: Any, sentence: str) -> None:
    with pytest.raises(BehaviourError) as refused:
        parse(document)
    assert sentence in str(refused.value)
