"""The lanes of chaos runs: the deployed model in every mode and with every policy, with time-outs of seconds."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from functions.core.catalog import CATALOG_FILE, Mode, OnAmbiguous

TIMEOUT_SECONDS = 4
PATIENCE_SECONDS = 8
_WORKERS = 4
_MODEL = "flux-schnell"


@dataclass(frozen=True)
class Lane:
    """How the workers of a lane come by pictures, and what they do when they cannot know."""

    mode: Mode
    on_ambiguous: OnAmbiguous = OnAmbiguous.HOLD
    inline_seconds: int = 0

    @property
    def repays(self) -> bool:
        """Whether its policy allows a second payment."""
        return self.on_ambiguous is OnAmbiguous.REPAY


LANES = {
    "callback": Lane(Mode.CALLBACK),
    "callback-inline": Lane(Mode.CALLBACK, inline_seconds=2),
    "poll": Lane(Mode.POLL),
    "poll-repay": Lane(Mode.POLL, OnAmbiguous.REPAY),
    "sync": Lane(Mode.SYNC),
    "sync-repay": Lane(Mode.SYNC, OnAmbiguous.REPAY),
}


def catalog() -> str:
    """The deployed catalog with its model once for each lane: account, price and retries are those of the deployed."""
    head, *tables = re.split(r"(?m)^(?=\[models\.)", CATALOG_FILE.read_text(encoding="utf-8"))
    model = "".join(table for table in tables if re.match(rf"\[models\.{_MODEL}[].]", table))
    return head + "\n".join(_as_lane(model, name, lane) for name, lane in LANES.items())


def _as_lane(model: str, name: str, lane: Lane) -> str:
    values = {
        "workers": _WORKERS,
        "timeout_seconds": TIMEOUT_SECONDS,
        "mode": lane.mode,
        "inline_seconds": lane.inline_seconds,
        "patience_seconds": PATIENCE_SECONDS,
        "on_ambiguous": lane.on_ambiguous,
    }
    text = model.replace(f"[models.{_MODEL}", f"[models.{name}")
    for key, value in values.items():
        text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {json.dumps(value)}", text)
    return text
