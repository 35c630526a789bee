"""Several things that are done one after another, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from functions.core.ports import EventLog


@dataclass(frozen=True, slots=True)
class Attempts:
    """What was tried, and the `errors` that came of it."""

    log: EventLog
    errors: list[Exception] = field(default_factory=list)

    @contextmanager
    def at(self, what: str, model: str = "") -> Iterator[None]:
        """Do one of them."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, the others are done
            self.log("governing_failed", what=what, model=model, error=type(error).__name__)
            self.errors.append(error)

    def finish(self) -> None:
        """Say what failed.

        Raises:
            ExceptionGroup: of what was raised. Trying all of it again does no harm.
        """
        if self.errors:
            raise ExceptionGroup("the governor could not do all that it had to do", self.errors)
