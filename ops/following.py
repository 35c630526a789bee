"""Following a batch until there is nothing more to see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from functions.core.batches.records import Batch
from ops.batches import get_batch, has_ended
from ops.errors import CommandError

if TYPE_CHECKING:
    from ops.stack import Stack

APPEARS_WITHIN_SECONDS = 120.0

_SURE_AFTER = 3  # readings in a row that show an end; a count may be on its way when held jobs seem all that is left


class NoBatchError(CommandError):
    """Raised when an upload did not become a batch in time."""


def follow(
    stack: Stack,
    batch_id: str,
    *,
    every_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Batch | None]:
    """Read a batch again and again; the last reading is the one that has ended. None while it has not begun.

    Raises:
        NoBatchError: when it has not begun within APPEARS_WITHIN_SECONDS.
    """
    begin = monotonic()
    ended = 0
    while True:
        batch = get_batch(stack, batch_id)
        if batch is None and monotonic() - begin > APPEARS_WITHIN_SECONDS:
            raise NoBatchError(
                f"The file is uploaded, but the stack has not begun with it in {APPEARS_WITHIN_SECONDS:.0f} seconds. "
                "It may have much to do before it, or its intake may be switched off. Look again: "
                f"imagebatch status {batch_id}"
            )
        yield batch
        if batch is not None:
            ended = ended + 1 if has_ended(batch) else 0
            if ended and (not batch.is_open or ended >= _SURE_AFTER):
                return
        sleep(every_seconds)
