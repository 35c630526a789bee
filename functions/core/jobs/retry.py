"""When a failed try is tried again (R13)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from functions.core.catalog import Model
from functions.core.errors import Fault

MAX_TRIES = 5
"""Tries of one job, over all error classes."""

BACKOFF_BASE_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 30.0


def delay_before_retry(
    fault: Fault, tries: Mapping[str, int], model: Model, uniform: Callable[[float, float], float]
) -> float | None:
    """Seconds to wait before the next try, or None when this was the last.

    Exponential backoff with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/),
    never sooner than the provider asked for. `tries` counts the tries spent before this one, by error class.
    """
    if not fault.error_class.retryable:
        return None
    spent = sum(tries.values()) + 1
    of_this_class = tries.get(fault.error_class, 0) + 1
    rule = model.retry_rule(fault.error_class)
    if spent >= MAX_TRIES or of_this_class > rule.retries:
        return None
    if rule.delay_seconds is not None:
        delay = rule.delay_seconds
    else:
        delay = uniform(0.0, min(BACKOFF_CAP_SECONDS, BACKOFF_BASE_SECONDS * 2**spent))
    return max(delay, fault.retry_after or 0.0)
