"""Requests that AWS may leave undone, in whole or in part, and that are then made again."""

from __future__ import annotations

from collections.abc import Callable


def until_done(attempt: Callable[[], bool], *, tries: int, otherwise: Exception) -> None:
    """Repeat a request, each time for what is left of it, until it says that nothing is.

    Raises:
        Exception: `otherwise`, after so many tries.
    """
    if attempt():
        return
    # Here, since a worker that starts sooner without it seldom comes this far.
    from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

    def give_up(_: object) -> bool:
        raise otherwise

    Retrying(
        retry=retry_if_result(lambda done: not done),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_after_attempt(tries - 1),
        retry_error_callback=give_up,
    )(attempt)
