"""A submit whose answer is lost: what the provider's listing can say about it.

The listing may prove absence: where it shows no prediction that nobody owns, the call never arrived. It does not say
whose a prediction is, so it is no proof of anything else.
"""

from __future__ import annotations

from enum import Enum, auto

from functions.core.errors import ErrorClass
from functions.core.jobs.asking import ASK_SECONDS, Asking
from functions.core.jobs.records import Job
from functions.core.jobs.services import Services

ANSWERED_SETTLES_SECONDS = 60
"""After an error answer of the provider's own, a call that it took all the same is listed within this time. No provider
says how soon its listing shows a call: this is what the bound on paying twice rests on, and waiting costs nothing."""

PATIENCE_SECONDS = 180
"""How long a lost answer is looked for, once it should be listed."""

GATEWAY_CODES = frozenset({502, 503, 504, *range(520, 531)})
"""Answers of a gateway before the provider: they do not say what the provider has done or will still do."""

CLOCK_SKEW_SECONDS = 60
"""By how much the provider's clock and ours may differ when its listing is read."""

LISTING_MARGIN_SECONDS = 3600
"""So long before a listing forgets a call, its silence is no proof any more."""


class Verdict(Enum):
    """What became of the call."""

    ABSENT = auto()
    """It never arrived."""
    OPEN = auto()
    """It may still show up, in the listing or by a callback."""
    DOUBTFUL = auto()
    """It may have been taken, and nothing more will be learnt by waiting."""


async def reconcile(services: Services, asking: Asking, job: Job) -> Verdict:
    """Look for the open call of a job in the provider's listing.

    Raises:
        PollError: when the provider could not be asked.
    """
    now_ms = services.clock.now_ms()
    settled_ms = _settled_ms(job, services.model.timeout_seconds)
    skew_ms = CLOCK_SKEW_SECONDS * 1000
    if now_ms - job.submitting_at > (services.api.listed_seconds - LISTING_MARGIN_SECONDS) * 1000:
        return Verdict.DOUBTFUL
    listing = services.api.predictions(job.submitting_at - skew_ms, settled_ms + skew_ms)
    listed = await asking.read("list", listing, ASK_SECONDS)
    candidates = [prediction.reference for prediction in listed if not prediction.failed]
    if not await services.owned.unowned(services.jobs, candidates):
        return Verdict.ABSENT if now_ms > settled_ms else Verdict.OPEN
    return Verdict.DOUBTFUL if now_ms > settled_ms + PATIENCE_SECONDS * 1000 else Verdict.OPEN


def _settled_ms(job: Job, timeout_seconds: float) -> int:
    """When a submit that is not listed by then was not taken, in epoch milliseconds.

    An answer of the provider's own settles it soon. Without one (or with one of a gateway's, which says that nobody has
    answered) the request may be on its way for as long again as we would have waited for it.
    """
    timeout_ms = round(timeout_seconds * 1000)
    doubted = job.error_class is ErrorClass.AMBIGUOUS
    ended_ms = job.waiting_since if doubted else job.submitting_at + timeout_ms
    answered = doubted and job.last_response_code not in (None, *GATEWAY_CODES)
    return ended_ms + ANSWERED_SETTLES_SECONDS * 1000 + (0 if answered else timeout_ms)
