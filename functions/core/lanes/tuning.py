"""Self-tuning: a lane's rate finds the limit that nobody told, and falls below one that does not hold any more.

Additive increase, multiplicative decrease, in windows, with two additions that keep 429s rare. Until a limit was met
the rate doubles (slow start, RFC 5681). A limit that was met is known from the calls that the provider took before it
refused all: the rate goes there, and not to a half; beyond it is only felt for after minutes, in small steps that grow
while they are good and that come less often when they are not.

Two things lower the rate, once a window at most: a run of refusals with no call taken in between, which is what a spent
quota looks like; and a window in which a tenth of the calls, two at least, was refused.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from functions.core.catalog import Model
from functions.core.lanes.pacing import Slot
from functions.core.lanes.records import SETTINGS, Pace, lane_field
from functions.core.writes import AllOf, Condition, Missing, Value, Write, equals

WINDOW_SECONDS = 10
"""Between two raises while the limit is not known, and between two cuts."""

RUN_OF_REFUSALS = 3
"""Refusals of one worker with no call taken in between, after which a quota is taken to be spent."""

SCATTERED_SHARE = 0.01
"""Share of a window's calls that may have been refused before a run of refusals, for it to be taken so."""

STORM_LEAST = 20
REFUSED_SHARE = 0.1
REFUSED_LEAST = 2
"""Refusals of a window that lower the rate: fewer are no sign (AIBrix #2452: halving on each error ends in single
digits)."""

_BELOW = Decimal("0.99")  # of the limit that was found
_RECOVERY = Decimal("0.05")  # of the limit that was found, a window
_STORM = Decimal("0.7")
_LEAST_SHARE, _LEAST_SHARE_AT_FIRST = Decimal("0.5"), Decimal("0.02")
_LEAST_PER_MINUTE = Decimal(1)
_FIRST_STEP, _LARGEST_STEP = Decimal("0.02"), Decimal("0.5")
_PROBE_CALLS = 2_000  # between two probes: a probe that fails costs some refusals, which are to be rare among them
_FIRST_PROBE_SECONDS, _LAST_PROBE_SECONDS = 120, 3600
_SAME_LIMIT = Decimal("0.9")  # a limit above this share of the one before is taken for the same one


def climb(pace: Pace, model: Model, now_us: int) -> Write | None:
    """Raise the rate of a lane that uses all of it, if it is time to; None if it is not.

    By a worker that found work queued up behind the rate and whose calls take no longer than they used to.
    """
    rate, most = pace.lane_per_minute(model), pace.most_per_minute(model)
    if rate >= most:
        return None
    if not pace.tuned_us:
        return _tune("begin", pace, model, rate, now_us)
    since = (now_us - pace.tuned_us) / 1_000_000
    if since < WINDOW_SECONDS or _is_stormy(pace):
        return None
    if pace.found is None:
        return _tune("climb", pace, model, min(most, rate * 2), now_us)
    known = pace.found * _BELOW
    if rate < known:
        return _tune("climb", pace, model, min(most, known, rate + pace.found * _RECOVERY), now_us)
    if since < (pace.probe_s if pace.step is None else max(WINDOW_SECONDS, model.account.window_seconds)):
        return None
    # Where the last step has held for a whole window of the provider, the next one may be larger.
    step = pace.step or _FIRST_STEP
    return _tune("probe", pace, model, min(most, rate * (1 + step)), now_us, step=min(step * 2, _LARGEST_STEP))


def spent(pace: Pace, model: Model, refused: Slot, now_us: int) -> Write | None:
    """Lower the rate to what the provider took in its window before it refused all, after a run of refusals.

    `refused`: the first of them. None where refusals have been scattered over the window, which is no spent quota;
    within a window of the last cut; and where the provider's window is over.
    """
    account = model.account
    scattered = pace.refused - RUN_OF_REFUSALS > max(RUN_OF_REFUSALS, SCATTERED_SHARE * pace.sent)
    if scattered or _was_just_cut(pace, now_us) or refused.window != now_us // (account.window_seconds * 1_000_000):
        return None
    rate = pace.lane_per_minute(model)
    taken = Decimal((refused.number - 1) * 60) / account.window_seconds
    # While the rate still doubles, the limit may be far below it.
    least = rate * (_LEAST_SHARE if pace.found is not None else _LEAST_SHARE_AT_FIRST)
    found = max(_LEAST_PER_MINUTE, least, min(taken, rate))
    met_before = pace.found is not None and found >= pace.found * _SAME_LIMIT
    if pace.found is None:
        probe_s = max(WINDOW_SECONDS, account.window_seconds)  # a limit met while doubling is not known well
    elif not met_before:
        probe_s = _probe_seconds(found)
    else:
        probe_s = max(_probe_seconds(found), pace.probe_s * (2 if pace.step else 1))
    return _cut("spent", pace, model, found * _BELOW, now_us, found=found, probe_s=min(probe_s, _LAST_PROBE_SECONDS))


def storm(pace: Pace, model: Model, now_us: int) -> Write | None:
    """Lower the rate where a good part of a window's calls is refused; None while it is not, or was just lowered."""
    if not _is_stormy(pace) or _was_just_cut(pace, now_us):
        return None
    rate = pace.lane_per_minute(model)
    found, probe_s = pace.found or rate, pace.probe_s or _probe_seconds(rate)
    return _cut("storm", pace, model, rate * _STORM, now_us, found=found, probe_s=probe_s)


def refused(pace: Pace, model: Model, calls: int) -> Write:
    """Calls of the window that the lane is in were refused."""
    lane = model.name
    return Write(
        name="refused",
        when=equals(lane_field("window", lane), pace.window),
        adds={lane_field("refused", lane): calls},
    )


def _probe_seconds(per_minute: Decimal) -> int:
    return max(_FIRST_PROBE_SECONDS, min(round(_PROBE_CALLS * 60 / per_minute), _LAST_PROBE_SECONDS))


def _is_stormy(pace: Pace) -> bool:
    return pace.sent >= STORM_LEAST and pace.refused >= max(REFUSED_LEAST, REFUSED_SHARE * pace.sent)


def _was_just_cut(pace: Pace, now_us: int) -> bool:
    return bool(pace.cut_us) and now_us - pace.cut_us < WINDOW_SECONDS * 1_000_000


def _cut(name: str, pace: Pace, model: Model, rate: Decimal, now_us: int, *, found: Decimal, probe_s: int) -> Write:
    changed: dict[str, int | Decimal] = {"found": found, "probe_s": probe_s, "cut_us": now_us}
    write = _tune(name, pace, model, max(_LEAST_PER_MINUTE, rate), now_us, **changed)
    return replace(write, removes=(lane_field("step", model.name),))


def _tune(name: str, pace: Pace, model: Model, rate: Decimal, now_us: int, **changed: int | Decimal) -> Write:
    """Change the rate of a lane that nobody has changed since it was seen."""
    lane = model.name
    tuned = lane_field("tuned_us", lane)
    seen: Condition = equals(tuned, pace.tuned_us) if pace.tuned_us else Missing(tuned)
    settings: Condition = equals(SETTINGS, pace.settings) if pace.settings else Missing(SETTINGS)
    sets: dict[str, Value] = {lane_field(what, lane): value for what, value in changed.items()}
    return Write(
        name=name,
        when=AllOf((seen, settings)),
        sets={**sets, tuned: now_us, lane_field("rate", lane): round(rate, 3)},
        adds={SETTINGS: 1},
    )
