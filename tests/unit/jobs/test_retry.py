"""When a failed try is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.catalog import RetryRule, load_catalog
from functions.core.errors import ErrorClass, Fault
from functions.core.jobs.retry import BACKOFF_CAP_SECONDS, MAX_TRIES, delay_before_retry

MODEL = replace(load_catalog().models["flux-schnell"], retry={})


def longest(low: float, high: float) -> float:
    return high


@pytest.mark.parametrize("error_class", [error for error in ErrorClass if not error.retryable])
def test_what_would_fail_again_is_not_tried_again(error_class: ErrorClass) -> None:
    assert delay_before_retry(Fault(error_class, "no"), {}, MODEL, longest) is None


def test_five_tries_in_all_whatever_went_wrong() -> None:
    tries = {"capacity": 2, "network": MAX_TRIES - 3}
    assert delay_before_retry(Fault(ErrorClass.STORAGE, "no"), tries, MODEL, longest) is None
    assert delay_before_retry(Fault(ErrorClass.STORAGE, "no"), {"capacity": 3}, MODEL, longest) is not None


def test_a_models_own_rule_bounds_its_error_class() -> None:
    model = replace(MODEL, retry={ErrorClass.PROVIDER_ERROR: RetryRule(retries=1, delay_seconds=2)})
    fault = Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500)
    assert delay_before_retry(fault, {}, model, longest) == 2
    assert delay_before_retry(fault, {"provider_error": 1}, model, longest) is None


def test_the_schnell_lane_retries_429_three_times_and_500_once_after_two_seconds() -> None:
    schnell = load_catalog().models["flux-schnell"]
    throttled = Fault(ErrorClass.RATE_LIMITED, "HTTP 429", 429)
    assert delay_before_retry(throttled, {"rate_limited": 2}, schnell, longest) is not None
    assert delay_before_retry(throttled, {"rate_limited": 3}, schnell, longest) is None
    broken = Fault(ErrorClass.PROVIDER_ERROR, "HTTP 500", 500)
    assert delay_before_retry(broken, {}, schnell, longest) == 2
    assert delay_before_retry(broken, {"provider_error": 1}, schnell, longest) is None


@given(st.integers(0, MAX_TRIES - 2), st.floats(0, 1))
def test_backoff_is_full_jitter_under_a_cap_that_doubles(spent: int, share: float) -> None:
    def uniform(low: float, high: float) -> float:
        return low + (high - low) * share

    delay = delay_before_retry(Fault(ErrorClass.CAPACITY, "busy"), {"network": spent}, MODEL, uniform)
    assert delay is not None
    assert 0 <= delay <= min(BACKOFF_CAP_SECONDS, 2.0 ** (spent + 1))


def test_never_sooner_than_the_provider_asked_for() -> None:
    fault = Fault(ErrorClass.RATE_LIMITED, "HTTP 429", 429, retry_after=17)
    assert delay_before_retry(fault, {}, MODEL, lambda low, high: 0.0) == 17
