"""What the operator is told when the governor acts: what happened, what was done, what comes next, how to intervene."""

from __future__ import annotations

from decimal import Decimal

from functions.core.lanes.governing_workers import Throttle
from functions.core.lanes.measures import Done

_SUBJECT_LIMIT = 99  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html


def slowed_down(stack: str, model: str, *, done: Done, window_s: int, workers: int, rate: Decimal, to: Throttle) -> str:
    """A lane was throttled. `done` in the last so many seconds; it had so many workers and images a minute."""
    share = f"{100 * (done.error_rate or 0):.1f} %"
    if to.workers is not None and to.workers < workers:
        action = f"at most {to.workers} workers at a time, down from {workers}"
    else:
        action = f"at most {_plain(to.rate or rate)} images a minute, down from {_plain(rate)}"
    interval = _minutes(window_s)
    return _notice(
        f"{stack}: {model} slowed down, {share} of its calls fail",
        f"Lane {model}: {share} of {done.attempts} calls failed in the last {interval}, by faults of the provider's "
        "(rate limits, moderation and rows that it refuses are not counted).",
        f"Done: {action}.",
        f"Next: while the alarm stands, this is halved again every {interval}, down to one image a minute. Once it has "
        "cleared, the lane climbs back by itself within some minutes. No job is lost; calls that fail are tried again "
        "as the catalog says.",
        f"To intervene: `imagebatch lanes` shows the lane, `imagebatch pause --lane {model}` stops it, `imagebatch "
        f"resume --lane {model}` lets it go on. `imagebatch lanes set {model}` sets bounds that stay.",
    )


def intake_paused(stack: str, model: str, *, recent: Done, before: Done, recent_s: int) -> str:
    """No new files are taken in, since a lane's pictures became dear. `before`: in the hour before the recent time."""
    interval = _minutes(recent_s)
    return _notice(
        f"{stack}: files are no longer taken in, {model} costs more",
        f"Lane {model}: a picture costs {_dollars(recent)} over the last {interval}; {_dollars(before)} in the hour "
        "before.",
        "Done: new files are not taken in. They wait in the inbox, and none is lost. What was taken in before goes on.",
        "Next: nothing by itself; the intake stays paused until a person says otherwise.",
        "To intervene: `imagebatch resume --intake` takes files in again, at the price as it is. `imagebatch pause "
        f"--lane {model}` stops what is under way as well.",
    )


def parts(notice: str) -> tuple[str, str]:
    """Subject and text of a notice."""
    subject, _, text = notice.partition("\n\n")
    return subject, text


def _notice(subject: str, *paragraphs: str) -> str:
    line = subject.encode("ascii", "replace").decode()
    return "\n\n".join((line if len(line) <= _SUBJECT_LIMIT else f"{line[: _SUBJECT_LIMIT - 3]}...", *paragraphs))


def _plain(rate: Decimal) -> str:
    return f"{rate:.3f}".rstrip("0").rstrip(".")


def _dollars(done: Done) -> str:
    cost = done.cost_per_picture
    return "an unknown amount" if cost is None else f"${cost:.4f}"


def _minutes(seconds: int) -> str:
    if seconds % 60:
        return f"{seconds} seconds"
    return "minute" if seconds == 60 else f"{seconds // 60} minutes"
