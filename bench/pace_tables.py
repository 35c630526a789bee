"""The tables of `python -m bench.pace`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.pace_figures import Paced, Tuned
from bench.pace_ledger import Sample
from bench.report import say, show


def show_ceilings(ceilings: Mapping[int, float]) -> None:
    """What the machine makes without a limit."""
    if ceilings:
        lines = [(str(workers), f"{rate:.0f}") for workers, rate in sorted(ceilings.items())]
        show("imagebatch on this machine, the provider without a limit", ("workers", "pictures a minute"), lines)


def show_tuning(tuned: Sequence[Tuned]) -> None:
    """How an unknown limit was found, and followed when it was halved."""
    lines = [
        line
        for one in tuned
        for line in (
            (f"limit {one.limit}: until 60 s use 95 % of it", _seconds(one.reached_seconds), *_calls(one.climbing)),
            ("  until a full minute of the clock does", _seconds(one.reached_minute_seconds), "", "", ""),
            ("  from then on", "", *_calls(one.holding)),
            (f"halved: until settled at {one.limit // 2}", _seconds(one.halved.seconds), *_calls(one.halved.until)),
            ("  of it, from the first 429", _seconds(one.halved.seconds_from_429), "", "", ""),
            ("  from then on", "", *_calls(one.halved.after)),
        )
    ]
    if lines:
        show("imagebatch, not told the limit", ("", "seconds", "calls", "429s", "429s ÷ calls"), lines)


def show_contest(paced: Sequence[Paced], ceilings: Mapping[int, float]) -> None:
    """Everybody at the limits, told and not told."""
    if not paced:
        return
    head = (
        "",
        "told",
        "limit",
        "share used",
        "429s ÷ calls",
        "429s",
        "paid calls",
        "twice",
        "pictures",
        "cost",
        "load",
    )
    lines = [
        (
            _name(one),
            "yes" if one.told else "no",
            str(one.limit),
            f"{one.share:.4f}" if one.minutes else "–",
            f"{one.refused_share:.2%}" if one.minutes else "–",
            str(one.refused),
            str(one.paid),
            str(one.twice),
            str(one.pictures),
            f"${one.usd:.2f}",
            f"{one.load:.1f}",
        )
        for one in sorted(paced, key=lambda one: (one.limit, not one.told))
    ]
    show("Share of the limit in full minutes of the clock; the counts are of whole runs", head, lines, 2)
    for one in paced:
        ceiling = ceilings.get(one.workers or 0, float("inf"))
        if one.told and ceiling < one.limit:
            say(f"{one.workers} workers make {ceiling:.0f} a minute here without any limit: {one.limit} is beyond it.")


def _name(one: Paced) -> str:
    if one.workers is None:
        return one.who
    return f"{one.who}, {'' if one.told else '≤ '}{one.workers}"


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f}"


def _calls(sample: Sample) -> tuple[str, str, str]:
    return str(sample.calls), str(sample.refused), f"{sample.refused / max(1, sample.calls):.2%}"
