"""Whether a batch may start at what its pictures cost now, or waits for somebody to confirm that it may.

A batch is looked at once, by the models of its first part, before anything of it is rung. A model that appears in a
later part only, and a lane whose last hour has few pictures, start at any price; what they cost after that is what the
alarm on costs is for (`functions.core.governing`). Looking at each part instead would stop a batch in its middle for a
price that it did not begin with.
"""

from __future__ import annotations

from decimal import Decimal

from functions.core.catalog import Model
from functions.core.lanes.measures import FEWEST_PICTURES, Done
from functions.core.lanes.records import Pace

DEARER = Decimal("1.3")
"""By so much more than in the last hour a picture may cost (R21)."""

TO_BE_CONFIRMED = "waits to be confirmed"
"""How the reason of a batch begins that does not start before somebody resumes it."""


def why_too_dear(model: Model, pace: Pace, hour: Done) -> str:
    """Why a batch of this model waits to be confirmed; empty if it does not.

    hour: what the lane did in the last hour. Both prices are compared as shares of the catalog's, so that the sizes of
    pictures do not matter. An hour of few pictures says nothing.
    """
    if hour.pictures < FEWEST_PICTURES or not hour.cost_ratio or hour.cost_per_picture is None:
        return ""
    now_usd = model.price_usd if pace.price_usd is None else pace.price_usd
    dearer = now_usd / model.price_usd / hour.cost_ratio
    if dearer <= DEARER:
        return ""
    more = round((dearer - 1) * 100)
    return (
        f"{TO_BE_CONFIRMED}: a picture of {model.name} costs ${now_usd.normalize():f} now, {more} % more than in the "
        f"last hour (${hour.cost_per_picture:.4f} on average). Resume the batch to let it begin at that price."
    )
