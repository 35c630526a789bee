"""What the `imagebatch` command ends with: one sentence for the person and one exit code for the script.

CommandError              1  it could not be done: AWS, the network or the disk said no
├── UsageError            2  asked for in a way that cannot work (also what Typer answers to wrong options)
├── NotFoundError         3  no such stack, credentials, batch or recipe
├── RejectedError         4  the batch's file could not be read, so it has no rows
├── IncompleteError       5  the batch has ended, or waits for a person, and some rows have no picture
├── NotYetError           6  the batch is still running
└── MovedOnError          7  a job that was named is not held any more, and was left as it is
"""

from __future__ import annotations

from typing import ClassVar

EXIT_CODES = {
    0: "done",
    1: "it could not be done: AWS, the network or the disk said no",
    2: "asked for in a way that cannot work",
    3: "no such stack, credentials, batch or recipe",
    4: "the batch was rejected: its file could not be read",
    5: "the batch has no more to do by itself, and some rows have no picture",
    6: "the batch is still running",
    7: "a job that was named is not held any more, and was left as it is",
    130: "stopped by Ctrl-C, also in place of an answer; the batch goes on",
}
"""What each exit code means, as the help shows it."""


class CommandError(Exception):
    """Raised when a command cannot do what it was asked. The message is a sentence that says what to do."""

    exit_code: ClassVar[int] = 1


class UsageError(CommandError):
    """Raised when what was asked for cannot work."""

    exit_code = 2


class NotFoundError(CommandError):
    """Raised when a stack, credentials, a batch or a recipe is not there."""

    exit_code = 3


class RejectedError(CommandError):
    """Raised when a batch was rejected."""

    exit_code = 4


class IncompleteError(CommandError):
    """Raised when a batch has no more to do by itself and some rows have no picture."""

    exit_code = 5


class NotYetError(CommandError):
    """Raised when a batch is still running and has published nothing."""

    exit_code = 6


class MovedOnError(CommandError):
    """Raised when some of the jobs that were to be resolved are not held any more; the others were resolved."""

    exit_code = 7
