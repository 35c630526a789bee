"""The governor: acts on the alarms of lanes, and looks after all of them each minute."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.core.governing.alarms import parse_alarm
from functions.observability import log_event, logger
from functions.runtime import governor as runtime


def handler(event: dict[str, Any], context: LambdaContext) -> None:  # noqa: ARG001  # Lambda passes both
    """Do what a notification of SNS or a tick asks for.

    Raises what failed: Lambda then invokes it again, which repeats nothing that was done.
    """
    try:
        if "Records" not in event:
            runtime.loop().run_until_complete(runtime.governor().tick())
        for record in event.get("Records", ()):
            _notice(record["Sns"]["Message"])
    except Exception:
        logger().exception("governor_failed")
        raise


def _notice(message: str) -> None:
    try:
        change = parse_alarm(message)
    except ValueError:
        log_event("no_alarm")
        return
    runtime.governor().alarm(change)
