"""The functions' handlers in a chaos run: `chaos.handlers.worker` is `functions.worker.handler`, watched.

Environment: CHAOS_DIR, the folder shared with the harness; CHAOS_PART, what the function is; CHAOS_SCALE, a JSON object
of constants (`module:NAME`) and the smaller values that let minutes pass as seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .points import Points

Handler = Callable[[dict[str, Any], Any], Any]

DOUBLE = "double_stream"
"""While this file is in the folder, the tracker sees its records more than once and in no order."""


def __getattr__(name: str) -> Handler:
    """The handler of a function by the function's name."""
    if name.startswith("_"):
        raise AttributeError(name)
    directory = Path(os.environ["CHAOS_DIR"])
    handler: Handler = importlib.import_module(f"functions.{name}").handler
    Points(directory, os.environ["CHAOS_PART"], os.environ).install()
    _scale(json.loads(os.environ["CHAOS_SCALE"]))
    return _Doubling(handler, directory / DOUBLE) if name == "tracker" else handler


def _scale(values: dict[str, float]) -> None:
    """Change constants of the modules that this function has. One that is not there any more is an error."""
    for place, value in values.items():
        module, _, constant = place.partition(":")
        if module in sys.modules:
            if not hasattr(sys.modules[module], constant):
                raise AttributeError(f"{module} has no {constant}: the harness is to be told its new name")
            setattr(sys.modules[module], constant, value)


class _Doubling:
    """A handler of stream records that is given them again: shuffled, and after later ones."""

    def __init__(self, handler: Handler, sign: Path) -> None:
        self._handler = handler
        self._sign = sign
        self._before: list[Any] = []

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        if not self._sign.exists():
            return self._handler(event, context)
        records = list(event["Records"])
        for turn in (random.sample(records, len(records)), self._before, list(reversed(records))):
            self._handler({"Records": turn}, context)
        self._before = records
        return None
