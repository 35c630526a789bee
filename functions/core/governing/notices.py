"""What the operator is told when the governor acts: what happened, what was done, what comes next, how to intervene."""

from __future__ import annotations

from decimal import Decimal

from functions.core.governing.workers import Throttle
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


def intake_paused(stack: str, model: str, *, recent: Done, before: Done, recent_s: int, ratio: Decimal | None) -> str:
    """No new files are taken in, since a lane's pictures became dear. `before`: in the hour before the recent time.

    ratio: so many times the price of that hour, as the alarm saw it; None where it does not say.
    """
    return _notice(
        f"{stack}: files are no longer taken in, {model} costs more",
        f"Lane {model}: {_dearer(recent, before, _minutes(recent_s), ratio)}",
        "Done: the intake is paused. What lies in the lanes' queues, some two minutes of work, is worked off. Batches "
        "that were taken in wait, and go on when it is resumed; files that are uploaded wait as well.",
        "Next: nothing by itself; the intake stays paused until a person says otherwise. A batch ends seven days after "
        "its upload, with what it has by then. A file that has waited for ten days is not taken in any more: it is "
        "still in the inbox, and has to be uploaded again.",
        "To intervene: `imagebatch resume --intake` lets all of it go on, at the price as it is; for an hour it is not "
        f"paused again for the price of this lane. `imagebatch pause --lane {model}` stops what lies in the lane's "
        "queue as well; with the lane paused, a resumed intake reads the files that wait and buys nothing there.",
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


def _dearer(recent: Done, before: Done, interval: str, ratio: Decimal | None) -> str:
    now, then = recent.cost_per_picture, before.cost_per_picture
    if now is not None and then is not None:
        return f"a picture costs ${now:.4f} over the last {interval}; ${then:.4f} in the hour before."
    more = "" if ratio is None else f"{round((ratio - 1) * 100)} % "
    return (
        f"a picture costs {more}more than in the hour before, as its alarm says. In the last {interval}, or in the "
        "hour before them, there are no pictures any more to tell it in dollars."
    )


def _minutes(seconds: int) -> str:
    if seconds % 60:
        return f"{seconds} seconds"
    return "minute" if seconds == 60 else f"{seconds // 60} minutes"
