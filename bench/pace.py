"""How much of a provider's limit is used and how many calls it refuses: imagebatch, and what people would use instead.

Everybody works on the sandbox, which enforces a limit in pictures a minute as the real provider does. imagebatch runs
on the embedded AWS, told the limit by its catalog, with different numbers of workers; and without being told, when it
has to find the limit and to follow it when it is halved. Its peers are told the limit and the latency, or nothing.

Usage: python -m bench.pace [--only PATTERN …] [--minutes N] [--limits SLOW FAST]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bench.pace_figures import Figures, Paced, tuned
from bench.pace_lanes import CONCURRENCY, lane_at_work
from bench.pace_ledger import MINUTE, Provider, Sample, began_at, between, exact, full_minutes, reached_after
from bench.pace_peers import NAMES, Environment, peer_at_work, versions
from bench.pace_tables import show_ceilings, show_contest, show_tuning
from bench.report import save, say
from ops.cli.local import show_step

LIMITS = (500, 3_000)
WORKERS = (1, 4, 16)
MINUTES = 3
LATENCY_SECONDS = {"min": 0.1, "mean": 0.3, "max": 0.5}

UNLIMITED = 600_000
CEILING_ROWS = 9_000
CEILING_SECONDS = 30
CEILING_PAUSE_SECONDS = 10
HEADROOM = 1.05
"""A limit is only enforced on a machine that makes so much more of it without one; else on SHARE_OF_CEILING of what it
makes."""
SHARE_OF_CEILING = 0.9

HOLD_MINUTES = 2
LONGEST_CLIMB_SECONDS = 360.0
SETTLE_MINUTES = 3
TUNING_MINUTES_OF_WORK = 12
_PATIENCE_SECONDS = 150.0
"""For the first call, and beyond the minutes that count."""


class AtWork(Protocol):
    """Somebody who buys pictures."""

    @property
    def provider(self) -> Provider:
        """From whom."""

    def pictures(self) -> int:
        """How many are made."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The runs. `minutes`: how many count in each."""

    directory: Path
    minutes: int
    figures: Figures

    def ceiling(self) -> None:
        """What the machine makes without a limit, by workers."""
        with lane_at_work(
            self._fresh(), told=UNLIMITED, limit=None, latency=LATENCY_SECONDS, workers=max(WORKERS), rows=CEILING_ROWS
        ) as run:
            for workers in sorted(WORKERS, reverse=True):
                run.workers.set(workers)
                time.sleep(CEILING_PAUSE_SECONDS)
                begin = run.provider.sample()
                time.sleep(CEILING_SECONDS)
                end = run.provider.sample()
                assert end.accepted < CEILING_ROWS, "there was not enough work to measure the ceiling"
                self.figures.ceilings[workers] = between(begin, end).accepted / (end.at - begin.at) * MINUTE

    def lane(self, asked: int, workers: int, *, told: bool) -> None:
        """imagebatch at a limit."""
        limit = self.feasible(asked)
        with lane_at_work(
            self._fresh(),
            told=limit if told else None,
            limit=limit,
            latency=LATENCY_SECONDS,
            workers=workers,
            rows=self._rows(limit),
        ) as run:

            def works() -> bool:
                if told:
                    run.workers.keep(workers)
                return True

            watched = self._watch(run.provider, limit, works)
            assert began_at(watched), "the lane made no call"
            self._add("imagebatch", run, watched, limit, told=told, workers=workers)

    def peer(self, name: str, environment: Callable[[], Environment], asked: int, *, told: bool) -> None:
        """A peer at a limit."""
        limit = self.feasible(asked)
        with peer_at_work(
            name,
            environment(),
            self._fresh(),
            told=limit if told else None,
            limit=limit,
            latency=LATENCY_SECONDS,
            rows=self._rows(limit),
        ) as run:
            watched = self._watch(run.provider, limit, run.works)
            assert began_at(watched), f"{name} made no call:\n{run.said()}"
            self._add(name, run, watched, limit, told=told)

    def tuning(self, limit: int) -> None:
        """imagebatch finds a limit, and follows it when it is halved."""
        rows = TUNING_MINUTES_OF_WORK * limit
        with lane_at_work(
            self._fresh(), told=None, limit=limit, latency=LATENCY_SECONDS, workers=max(WORKERS), rows=rows
        ) as run:
            with show_step(f"Looking for a limit of {limit}"):
                before = list(_until_held(run.provider.samples(), limit))
            self._add("imagebatch", run, before, limit, told=False, workers=max(WORKERS))
            # At the turn of a minute: later in it, what it had used before would be refused whatever anybody does.
            run.provider.enforce(limit // 2, LATENCY_SECONDS, CONCURRENCY)
            with show_step(f"Following it down to {limit // 2}"):
                after = [before[-1], *_for_minutes(run.provider.samples(), SETTLE_MINUTES)]
        self.figures.tuned.append(tuned(before, after, limit))

    def feasible(self, asked: int) -> int:
        """The limit asked for, or the highest that this machine can be held to."""
        ceiling = max(self.figures.ceilings.values(), default=float(UNLIMITED))
        if ceiling >= HEADROOM * asked:
            return asked
        self.figures.lowered[asked] = int(SHARE_OF_CEILING * ceiling // 100) * 100
        return self.figures.lowered[asked]

    def _watch(self, provider: Provider, limit: int, works: Callable[[], bool]) -> list[Sample]:
        watched: list[Sample] = []
        begin = time.time()
        with show_step(f"{self.minutes} full minutes at {limit} a minute"):
            for sample in provider.samples():
                watched.append(sample)
                done = len(full_minutes(watched, self._rows(limit))) >= self.minutes
                patience = self.minutes * MINUTE + _PATIENCE_SECONDS if sample.calls else _PATIENCE_SECONDS
                if done or not works() or sample.at > begin + patience:
                    return watched
        return watched

    def _add(
        self, who: str, run: AtWork, watched: Sequence[Sample], limit: int, *, told: bool, workers: int | None = None
    ) -> None:
        summary, charges = run.provider.summary(), run.provider.charges()
        minutes = exact(full_minutes(watched, self._rows(limit))[: self.minutes], summary)
        self.figures.paced.append(
            Paced(
                who=who,
                told=told,
                limit=limit,
                workers=workers,
                minutes=minutes,
                paid=len(charges),
                twice=len(charges) - len({charge["prompt_sha256"] for charge in charges}),
                usd=summary["net_usd"],
                pictures=run.pictures(),
                refused=summary["rejected_429"],
                load=round(os.getloadavg()[0], 1),
            )
        )

    def _rows(self, limit: int) -> int:
        """Work until well after the last minute that counts."""
        return round(limit * (self.minutes + 2.5))

    def _fresh(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.directory))


def _until_held(samples: Iterator[Sample], limit: int) -> Iterator[Sample]:
    """Until a limit was held for a while, or could not be found; the last one is of the turn of a minute."""
    seen: list[Sample] = []
    for sample in samples:
        seen.append(sample)
        yield sample
        began, reached = began_at(seen), reached_after(seen, limit)
        turns = sample.at % MINUTE < 1
        if began is None:
            assert sample.at - seen[0].at < LONGEST_CLIMB_SECONDS, "the lane made no call at all"
        elif turns and sample.at - began >= (LONGEST_CLIMB_SECONDS if reached is None else reached + HOLD_MINUTES * 60):
            return


def _for_minutes(samples: Iterator[Sample], minutes: int) -> Iterator[Sample]:
    for _, sample in zip(range(round(minutes * MINUTE)), samples, strict=False):
        yield sample


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it, print the figures and write them, unless a part was asked for."""
    options = _options(arguments)
    begin = time.monotonic()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="imagebatch-bench-") as folder:
        for name, run in runs(Bench(Path(folder), options.minutes, figures), options.limits):
            if any(fnmatch(name, pattern) for pattern in options.only):
                say(f"\n{name}")
                try:
                    run()
                except Exception as error:  # noqa: BLE001  # an hour's other figures are not lost by it
                    traceback.print_exc()
                    figures.failed[name] = f"{type(error).__name__}: {error}"
    report(figures)
    seconds = round(time.monotonic() - begin)
    say(f"All of it took {seconds / 60:.0f} minutes.")
    if options.only == ["*"]:
        save("pace", to_json(figures, options, seconds))


def runs(bench: Bench, limits: Sequence[int]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Every run with its name, in their order."""
    environments: list[Environment] = []

    def environment() -> Environment:
        if not environments:
            with show_step("Installing the peers"):
                environments.append(Environment.make(bench.directory / "peers"))
        return environments[0]

    yield "ceiling", bench.ceiling
    for limit in limits:
        for workers in WORKERS:
            yield f"imagebatch-{limit}-told-{workers}", partial(bench.lane, limit, workers, told=True)
    yield "tuning", partial(bench.tuning, limits[0])
    for limit in limits[1:]:
        yield f"imagebatch-{limit}-untold", partial(bench.lane, limit, max(WORKERS), told=False)
    for limit in limits:
        for name in NAMES:
            for told in (True, False):
                run = partial(bench.peer, name, environment, limit, told=told)
                yield f"{name}-{limit}-{'told' if told else 'untold'}", run


def report(figures: Figures) -> None:
    """Print the tables."""
    show_ceilings(figures.ceilings)
    show_tuning(figures.tuned)
    show_contest(figures.paced, figures.ceilings)
    for asked, limit in figures.lowered.items():
        say(f"This machine, which runs everything, cannot make {asked} a minute: the limit was {limit} in its place.")
    for name, why in figures.failed.items():
        say(f"{name} failed: {why}")


def to_json(figures: Figures, options: argparse.Namespace, seconds: int) -> dict[str, Any]:
    """For the results file."""
    return {
        "asked": {"limits": options.limits, "minutes": options.minutes, "latency_seconds": LATENCY_SECONDS},
        "peers": versions(),
        "seconds": seconds,
        "ceilings_per_minute": {str(workers): round(rate) for workers, rate in figures.ceilings.items()},
        "limits_lowered": {str(asked): limit for asked, limit in figures.lowered.items()},
        "runs": [one.to_json() for one in figures.paced],
        "self_tuning": [asdict(one) for one in figures.tuned],
        "failed": figures.failed,
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pace", description=__doc__)
    names = "ceiling, tuning, imagebatch-500-told-4, celery-3000-untold"
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help=f"runs by name, such as {names}")
    parser.add_argument("--minutes", type=int, default=MINUTES, help="full minutes that count in each run")
    parser.add_argument("--limits", type=int, nargs=2, default=list(LIMITS), metavar=("SLOW", "FAST"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
