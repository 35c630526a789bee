"""Which predictions of a provider's listing are ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from functions.core.ports import JobStore

_MOST = 100_000


class OwnedReferences:
    """References that some job's record has named, remembered for the life of a worker: once owned, always owned.

    A listing covers minutes of all that the account submits, and every job with a lost answer reads it again and again:
    only what is new in it is looked up.
    """

    def __init__(self) -> None:
        self._owned: set[str] = set()
        self._lookup = asyncio.Lock()

    async def unowned(self, jobs: JobStore, references: Sequence[str]) -> frozenset[str]:
        """Those of the references that no job's record names."""
        # One lookup at a time: the jobs of a batch ask about the same references, and the first has the answer for all.
        async with self._lookup:
            new = [reference for reference in references if reference not in self._owned]
            owned = await asyncio.to_thread(jobs.known_references, new) if new else frozenset()
            if len(self._owned) > _MOST:
                self._owned.clear()
            self._owned.update(owned)
        return frozenset(new) - owned
