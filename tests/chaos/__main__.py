"""Chaos: the deployed stack on the embedded AWS, a provider that misbehaves, and processes that are killed.

`make chaos`, or `python -m tests.chaos [--only NAME…] [--rows N] [--seed N] [--quick] [--output NAME]`. After each run
the sandbox's ledger, the tables, the buckets and results.csv are compared (`judge`). At the end there is one table, the
same as JSON in bench/results, and exit code 1 if anything is not as it must be.

What paid ÷ unique must be, and why:

- With callbacks it is 1.000: a lost reference comes back with the provider's callback, which carries our signed key.
  Where a call loses both its answer and its callback, there is only polling for it.
- With polling alone and `on_ambiguous = "hold"` it is 1.000 too, whatever share of the answers is lost: a call whose
  answer is lost is made again only when the listing shows no prediction that nobody owns, after the time within which
  the provider lists what it has taken (`reconcile.ANSWERED_SETTLES_SECONDS`; where it gave no answer of its own, the
  time-out of the call later), and before the listing forgets. All that may have been taken is held for a person: the
  share of lost answers is about the share of jobs that are held. A provider that lists later than that is the one way
  to a second payment.
- With polling and `on_ambiguous = "repay"` it is at most 1 + the share of calls that were taken and whose answers were
  lost, by the provider or with a killed worker: each is repaid once, and a second loss of the same job is held. At
  2 % lost answers: 1.020.

The stack keeps its rules and its code; its time is scaled (`stack.SCALE`), which the output says.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.report import say
from tests.chaos.crashes import crash_points
from tests.chaos.forgotten import forgotten_calls
from tests.chaos.frozen import frozen_workers
from tests.chaos.report import save, show_table
from tests.chaos.runs import Outcome
from tests.chaos.scenarios import Plan, Scenario, callbacks, doubled, errors, faults, outage, polling
from tests.chaos.stack import ChaosStack, time_is_scaled

SCENARIOS: dict[str, Scenario] = {
    "faults": faults,
    "polling": polling,
    "callbacks": callbacks,
    "errors": errors,
    "outage": outage,
    "crashes": crash_points,
    "forgotten": forgotten_calls,
    "frozen": frozen_workers,
    "doubled": doubled,
}


def main() -> int:
    """Run it; 1 if an invariant does not hold."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what was started ends too
    plan = Plan(seed=options.seed, rows=options.rows // 4 if options.quick else options.rows, quick=options.quick)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="imagebatch-chaos-") as folder:
        stack = ChaosStack.deploy(Path(folder), step)
        try:
            for name in options.only or SCENARIOS:
                with step(name):
                    found = SCENARIOS[name](stack, plan)
                outcomes += found
                for line in _broken(found):
                    progress(f"    {line}")
        finally:
            stack.stop()
    seconds = time.monotonic() - began
    show_table(outcomes)
    say(f"Time is scaled: {'; '.join(time_is_scaled())}.")
    save(options.output, _command(), {"seed": plan.seed, "time_is_scaled": time_is_scaled()}, outcomes)
    broken = _broken(outcomes)
    for line in broken:
        say(f"BROKEN: {line}")
    say(f"{len(broken) or 'No'} invariants are broken. It took {seconds / 60:.1f} minutes.")
    return int(bool(broken))


def _command() -> str:
    arguments = shlex.join(sys.argv[1:])
    return f"make chaos ARGS={shlex.quote(arguments)}" if arguments else "make chaos"


def _broken(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"{outcome.run}, {outcome.lane}: {what}" for outcome in outcomes for what in outcome.broken]


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    began = time.monotonic()
    progress(f"{what} …")
    yield
    progress(f"{what}: {time.monotonic() - began:.0f} s")


def progress(line: str) -> None:
    """A line for whoever watches."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The deployed stack under faults.")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--rows", type=int, default=1200, help="rows of the largest run; others in proportion")
    parser.add_argument("--seed", type=int, default=3, help="of the faults and of the kills")
    parser.add_argument("--quick", action="store_true", help="a quarter of the rows, and of the outage")
    parser.add_argument("--output", default="chaos", help="name of the JSON file in bench/results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
