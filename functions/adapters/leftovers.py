"""Batch requests of which AWS may carry out a part and hand back the rest."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential


def until_none_left(attempt: Callable[[], bool], *, tries: int, otherwise: Exception) -> None:
    """Repeat a batch request, each time for what is left over, until it says that nothing is.

    Raises:
        Exception: `otherwise`, after so many tries.
    """

    def give_up(_: object) -> bool:
        raise otherwise

    Retrying(
        retry=retry_if_result(lambda done: not done),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_attempt(tries),
        retry_error_callback=give_up,
    )(attempt)
