"""Self-tuning: a lane's rate finds the limit that nobody told, and falls below one that does not hold any more.

Additive increase, multiplicative decrease, in windows, with additions that keep 429s rare. Until a limit was met the
rate doubles (slow start, RFC 5681). A limit that was met is known from what the provider took before it refused: the
rate goes there, and not to a half; beyond it is only felt for after minutes, in small steps that grow while they are
good and come less often when they are not. Where the plan is known, it is believed, and come back to within minutes.

Three things lower the rate, once a window at most: a run of refusals with no call taken in between, which is what a
spent quota looks like; a window in which a tenth of the calls, two at least, was refused; and a smaller share that
lasts for a minute, unless an earlier cut has shown that it does not depend on the rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from functions.core.catalog import Model
from functions.core.lanes.pacing import BUCKET_US, Slot
from functions.core.lanes.records import SETTINGS, Pace, bucket_field, lane_field
from functions.core.writes import AllOf, Condition, Missing, Value, Write, equals

WINDOW_SECONDS = 10
"""Between two raises while the limit is not known, and between two cuts."""

RUN_OF_REFUSALS = 3
"""Refusals of one worker with no call taken in between, after which a quota is taken to be spent."""

SCATTERED_BUCKETS, SCATTERED_SHARE = 3, 0.01
"""Refusals in so many tens of seconds of the last minute, and of so large a share of its calls, are no spent quota."""

REFUSED_SHARE, REFUSED_LEAST, STORM_LEAST = 0.1, 2, 20
"""A storm: so large a share of a window's calls was refused, so many of them at least, of so many calls (AIBrix #2452:
halving on each error ends in single digits)."""

LASTING_SHARE, LASTING_LEAST = 0.01, 5
"""The same of a minute."""

MINUTE_SECONDS = 60
_BELOW = Decimal("0.99")  # of the limit that was found
_NOT_ABOVE = Decimal("0.97")  # of a rate that was refused although less was taken in no window
_RECOVERY = Decimal("0.05")  # of the limit that was found, a window
_LEAST_SHARE, _LEAST_SHARE_AT_FIRST = Decimal("0.5"), Decimal("0.1")
_LEAST_PER_MINUTE = Decimal(1)
_FIRST_STEP, _LARGEST_STEP = Decimal("0.02"), Decimal("0.5")
_PROBE_CALLS = 2_000  # between two probes: a probe that fails costs some refusals, which are to be rare among them
_FIRST_PROBE_SECONDS, _LAST_PROBE_SECONDS = 120, 3600
_SAME_LIMIT = Decimal("0.9")  # a limit above this share of the one before is taken for the same one
_NOISE_SECONDS = 300  # for which refusals that another rate has not lessened are taken as they are
_SHORTEST_HOLD = 5  # seconds
_BELIEVED_AGAIN_SECONDS = 120  # a plan, after it did not hold
_EXACT = Decimal("0.001")


def climb(pace: Pace, model: Model, now_us: int) -> Write | None:
    """Raise the rate of a lane that uses all of it, if it is time to; None if it is not.

    By a worker that found work queued up behind the rate, and whose calls take no longer than they used to.
    """
    rate, most = pace.lane_per_minute(model), pace.most_per_minute(model)
    since = (now_us - pace.tuned_us) / 1_000_000
    if rate >= most or now_us < pace.held_us + WINDOW_SECONDS * 1_000_000:
        return None
    if not pace.tuned_us:
        return _tune("begin", pace, model, rate, now_us)
    if since < WINDOW_SECONDS or _is_stormy(pace, now_us):
        return None
    if pace.found is None:
        return _tune("climb", pace, model, min(most, rate * 2), now_us)
    known = most if _is_believed(pace, model, now_us) else (pace.found * _BELOW).quantize(_EXACT)
    if rate < known:
        return _tune("climb", pace, model, min(known, rate + known * _RECOVERY), now_us)
    if pace.knows_limit(model) or since < (pace.probe_s if pace.step is None else _window_seconds(model)):
        return None
    # Where the last step has held for a whole window of the provider, the next one may be larger.
    step = pace.step or _FIRST_STEP
    held = max(pace.found, rate.quantize(_EXACT))
    raised, step = min(most, rate * (1 + step)), min(step * 2, _LARGEST_STEP)
    write = _tune("probe", pace, model, raised, now_us, found=held, step=step)
    is_calm = _share_that_lasts(pace, now_us) is None
    return replace(write, removes=(lane_field("noise", model.name),)) if is_calm else write


def spent(pace: Pace, model: Model, refused: Slot, now_us: int) -> Write | None:
    """Lower the rate to what the provider took in a window of its own before it refused all, after a run of refusals.

    `refused`: the first of them. None within a window of the last cut, and where refusals have been scattered over the
    last minute: that is no spent quota.
    """
    if was_just_cut(pace, now_us) or is_scattered(pace, now_us):
        return None
    rate = pace.lane_per_minute(model)
    seconds = _counted_seconds(pace, model, refused)
    taken = _taken_before(pace, refused, seconds) * 60 / _window_seconds(model)
    # What was taken in a time that is not the provider's window may be parts of two: the rate is too high by little.
    is_exact = seconds < _window_seconds(model) or now_us - pace.held_us < model.account.window_seconds * 1_000_000
    found = min(taken, rate if is_exact else rate * _NOT_ABOVE)
    if pace.step is not None and pace.found is not None:
        found = max(found, min(pace.found, rate * _NOT_ABOVE))  # a step too far: what held before it holds
    return _lower("spent", pace, model, found, now_us)


def storm(pace: Pace, model: Model, now_us: int) -> Write | None:
    """Lower the rate to what is taken, where a good part of a window's calls is refused or a small part for long."""
    if was_just_cut(pace, now_us):
        return None
    rate = pace.lane_per_minute(model)
    if _is_stormy(pace, now_us):
        share = _refused_share(pace, now_us)
        return _lower("storm", pace, model, rate * (1 - share), now_us)
    lasting = _share_that_lasts(pace, now_us)
    if lasting is None or now_us - pace.cut_us < MINUTE_SECONDS * 1_000_000:
        return None
    lately = now_us - pace.cut_us < _NOISE_SECONDS * 1_000_000
    if lately and pace.noise is not None and lasting >= pace.noise / 2:
        return None  # it was no less at a lower rate
    return _lower("lasting", pace, model, min(rate * (1 - lasting), _taken_in_a_minute(pace, now_us)), now_us, lasting)


def refused(model: Model, slot: Slot) -> Write:
    """A call of the lane was refused."""
    return Write(name="refused", when=AllOf(()), adds={bucket_field("refused", model.name, slot.bucket): 1})


def hold_seconds(pace: Pace, model: Model, refused: Slot, now_us: int) -> tuple[float, int]:
    """For how long to hold the account back whose quota is spent, and what is to be remembered of it (`hold_s`).

    `refused`: the first of the run. To the turn of the provider's window, as if it came with the clock's. Where the
    account was refused at once after that, its windows turn at other times, or slide: from then on it is held back for
    a little, and longer if that was too short.
    """
    window_us = model.account.window_seconds * 1_000_000
    at_once = bool(pace.held_us) and 0 <= refused.at_us - pace.held_us < WINDOW_SECONDS * 1_000_000
    if not pace.hold_s and not at_once:
        return ((now_us // window_us + 1) * window_us - now_us) / 1_000_000, 0
    seconds = min(2 * pace.hold_s, model.account.window_seconds) if pace.hold_s and at_once else _SHORTEST_HOLD
    return seconds, seconds


def is_scattered(pace: Pace, now_us: int) -> bool:
    """Whether refusals came here and there in the last minute, and not all at once."""
    now = now_us // BUCKET_US
    buckets = [bucket for bucket, calls in pace.refused.items() if calls and now - MINUTE_SECONDS // 10 < bucket < now]
    sent, gone = _recent(pace.sent, now_us, MINUTE_SECONDS), _recent(pace.refused, now_us, MINUTE_SECONDS)
    return len(buckets) >= SCATTERED_BUCKETS and gone > SCATTERED_SHARE * sent


def was_just_cut(pace: Pace, now_us: int) -> bool:
    """Whether the rate was lowered within a window."""
    return bool(pace.cut_us) and now_us - pace.cut_us < WINDOW_SECONDS * 1_000_000


def _lower(name: str, pace: Pace, model: Model, found: Decimal, now_us: int, noise: Decimal | None = None) -> Write:
    """Go to a limit that was met, by half at most; while the rate still doubles, it may be far below."""
    rate = pace.lane_per_minute(model)
    doubling = pace.found is None and not pace.knows_limit(model)
    met = max(_LEAST_PER_MINUTE, rate * (_LEAST_SHARE_AT_FIRST if doubling else _LEAST_SHARE), min(found, rate))
    changed: dict[str, int | Decimal] = {
        "found": met.quantize(_EXACT),
        "probe_s": _probe_seconds(pace, met, model),
        "cut_us": now_us,
    }
    if noise is not None:
        changed["noise"] = noise.quantize(_EXACT)
    write = _tune(name, pace, model, max(_LEAST_PER_MINUTE, met * _BELOW), now_us, **changed)
    return replace(write, removes=(lane_field("step", model.name),))


def _probe_seconds(pace: Pace, found: Decimal, model: Model) -> int:
    """How long not to go beyond a limit that was met: twice as long if that was tried, and met the same one."""
    tried = pace.found is not None and pace.lane_per_minute(model) > pace.found
    if pace.knows_limit(model):
        usual = _BELIEVED_AGAIN_SECONDS
    elif pace.found is None:
        return _window_seconds(model)  # one that was met while doubling is not known well
    elif found < pace.found * _SAME_LIMIT:
        return _FIRST_PROBE_SECONDS  # it fell all of a sudden, or was mistaken
    else:
        usual = max(_FIRST_PROBE_SECONDS, round(_PROBE_CALLS * 60 / found))
    if pace.found is not None and found >= pace.found * _SAME_LIMIT:
        usual = max(usual, pace.probe_s * (2 if tried else 1))
    return min(usual, _LAST_PROBE_SECONDS)


def _is_believed(pace: Pace, model: Model, now_us: int) -> bool:
    """Whether a plan is gone by although it did not hold: that is a while ago, and may have had another reason."""
    return pace.knows_limit(model) and now_us - pace.cut_us >= pace.probe_s * 1_000_000


def _window_seconds(model: Model) -> int:
    return max(WINDOW_SECONDS, model.account.window_seconds)


def _counted_seconds(pace: Pace, model: Model, refused: Slot) -> float:
    """Over which time before a refusal the calls make up the provider's quota: since its window began, if its windows
    turn with the clock's for all that is known, or as long as one lasts."""
    window = _window_seconds(model)
    elapsed = refused.at_us / 1_000_000 % window
    return elapsed if not pace.hold_s and elapsed >= WINDOW_SECONDS else window


def _taken_before(pace: Pace, refused: Slot, seconds: float) -> Decimal:
    """Calls that were taken in so many seconds before a slot that was refused."""
    since_us = refused.at_us - round(seconds * 1_000_000)
    first = since_us // BUCKET_US
    taken = Decimal(refused.number - 1)
    for bucket in range(first, refused.bucket):
        calls = pace.sent.get(bucket, 0) - pace.refused.get(bucket, 0)
        inside = Decimal((first + 1) * BUCKET_US - since_us) / BUCKET_US if bucket == first else 1
        taken += max(0, calls) * inside
    return taken


def _is_stormy(pace: Pace, now_us: int) -> bool:
    """Of the last two windows, and since the last cut."""
    seconds = min(2 * WINDOW_SECONDS, (now_us // BUCKET_US - pace.cut_us // BUCKET_US) * 10)
    sent, gone = _recent(pace.sent, now_us, seconds), _recent(pace.refused, now_us, seconds)
    return sent >= STORM_LEAST and gone >= max(REFUSED_LEAST, REFUSED_SHARE * sent)


def _refused_share(pace: Pace, now_us: int) -> Decimal:
    seconds = 2 * WINDOW_SECONDS
    sent, gone = _recent(pace.sent, now_us, seconds), _recent(pace.refused, now_us, seconds)
    return min(Decimal(1), Decimal(gone) / max(1, sent))


def _share_that_lasts(pace: Pace, now_us: int) -> Decimal | None:
    """The share of a minute's calls that was refused, if that is more than a few; None otherwise."""
    sent, gone = _recent(pace.sent, now_us, MINUTE_SECONDS), _recent(pace.refused, now_us, MINUTE_SECONDS)
    if gone < max(LASTING_LEAST, LASTING_SHARE * sent) or not is_scattered(pace, now_us):
        return None
    return Decimal(gone) / max(gone, sent)


def _taken_in_a_minute(pace: Pace, now_us: int) -> Decimal:
    """Calls of the last whole minute of buckets that were taken; no bound if the lane has not been at work so long."""
    now = now_us // BUCKET_US
    buckets = range(now - MINUTE_SECONDS // 10, now)
    if not all(pace.sent.get(bucket) for bucket in buckets):
        return Decimal("Infinity")
    return Decimal(sum(pace.sent[bucket] - pace.refused.get(bucket, 0) for bucket in buckets))


def _recent(counts: Mapping[int, int], now_us: int, seconds: int) -> int:
    """Calls of the last seconds, those of the bucket that has begun included."""
    now = now_us // BUCKET_US
    return sum(count for bucket, count in counts.items() if now - seconds // 10 < bucket <= now)


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
        sets={**sets, tuned: now_us, lane_field("rate", lane): rate.quantize(_EXACT)},
        adds={SETTINGS: 1},
    )
