"""Saying what is about to happen, and asking whether it shall."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from ops.cli.frame import is_interactive, stderr
from ops.errors import UsageError


def agreed(plan: Sequence[str], *, yes: bool) -> bool:
    """Say a plan line by line, and ask whether it shall be carried out; `yes` answers for the person.

    Raises:
        UsageError: when there is nobody to ask.
    """
    for line in plan:
        stderr.print(line, markup=False, soft_wrap=True)
    if yes:
        return True
    if not is_interactive():
        raise UsageError("There is nobody to ask here: add --yes to do it. Nothing was changed.")
    return typer.confirm("Shall it be done?", err=True)
