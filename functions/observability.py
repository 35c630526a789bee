"""Logs: one structured line for each provider request and each job outcome, never a prompt or a key."""

from __future__ import annotations

from functools import cache

from aws_lambda_powertools import Logger


@cache
def logger() -> Logger:
    """The logger of this function; service and level come from Powertools' environment variables."""
    return Logger(location=None)  # every line comes from here


def log_event(event: str, **fields: str | int | float | None) -> None:
    """Write one line. Implements `functions.core.ports.EventLog`."""
    logger().info(event, extra={name: value for name, value in fields.items() if value is not None})
