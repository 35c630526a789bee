"""One run: files go in, things go wrong meanwhile, and when nothing moves any more, somebody looks what is left.

What goes wrong is said by a sandbox behaviour and by hooks: functions that run beside it, each in a thread, until the
run is over.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ops.batches import get_batch, has_ended
from tests.chaos.evidence import collect
from tests.chaos.judge import Evidence, Verdict, judge
from tests.chaos.lanes import LANES
from tests.chaos.stack import SCALE, TICK_SECONDS, ChaosStack
from tests.e2e.pipeline import file_of

LATENCY = {"min": 0.2, "mean": 0.8, "max": 3.0}
"""Seconds that a picture takes at the sandbox."""

_LOOK_SECONDS = 0.5
_QUIET_SECONDS = 40
_SETTLE_SECONDS = 4 * SCALE["functions.core.batches.recount:SILENCE_SECONDS"]


@dataclass
class Live:
    """A run under way. `batches`: by lane, the id of its batch; `counts`: what hooks have done so far; `notes`: what
    they have seen, by lane."""

    stack: ChaosStack
    batches: Mapping[str, str]
    over: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def job_ids(self, lane: str) -> list[str]:
        """The jobs of a lane's batch."""
        return [job["job_id"] for job in self.stack.pipeline.jobs(self.batches[lane])]


Hook = Callable[[Live], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is to happen. `about` says it in words; `lanes`: rows by lane; `seconds`: after which a batch without an end
    counts as stuck."""

    name: str
    about: str
    lanes: Mapping[str, int]
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    hooks: Sequence[Hook] = ()
    seconds: float = 240


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one lane's batch. `counts`: what was done to the run as a whole, `injected`: what the sandbox did;
    `notes`: what was seen meanwhile. `broken`: invariants that do not hold.
    """

    run: str
    about: str
    lane: str
    verdict: Verdict
    seconds: float
    counts: Mapping[str, int]
    injected: Mapping[str, int]
    notes: Any
    broken: tuple[str, ...]


@dataclass(frozen=True)
class Sent:
    """A file that was sent: the batch that it becomes, and its prompts in their order."""

    lane: str
    batch_id: str
    prompts: Sequence[str]


def send(stack: ChaosStack, name: str, lane: str, rows: int) -> Sent:
    """Send a file with so many different pictures for one lane."""
    prompts = [f"{name}, {lane}, picture {number}" for number in range(rows)]
    return Sent(lane, stack.pipeline.put(f"{lane}-{name}.csv", lane_file(lane, prompts)), prompts)


def end(stack: ChaosStack, sent: Sequence[Sent], seconds: float) -> bool:
    """Wait until the batches have ended, or wait for a person alone; whether they have in time."""
    return _wait(seconds, lambda: all(_has_ended(stack, one.batch_id) for one in sent))


def look(stack: ChaosStack, sent: Sequence[Sent]) -> Mapping[str, Evidence]:
    """What is left of batches by their ids, when all is quiet."""
    with beside(Live(stack, {}), (tick,)):
        _wait(_QUIET_SECONDS, lambda: is_quiet(stack, {one.lane for one in sent}))
        return _settled(stack, {one.batch_id: one.prompts for one in sent})


def carry_out(stack: ChaosStack, run: Run) -> list[Outcome]:
    """Carry out one run; an outcome for each lane."""
    stack.pipeline.behave(**{"latency_seconds": LATENCY, **run.behaviour})
    begin = time.monotonic()
    sent = [send(stack, run.name, lane, rows) for lane, rows in run.lanes.items()]
    live = Live(stack, {one.lane: one.batch_id for one in sent})
    with beside(live, (tick, *run.hooks)):
        ended = end(stack, sent, run.seconds)
        seconds = time.monotonic() - begin
    found = look(stack, sent)
    injected = stack.pipeline.sandbox.ledger()["summary"]["injected"]
    troubles = live.troubles if ended else [*live.troubles, f"no end within {run.seconds:.0f} s"]
    return [
        Outcome(
            run=run.name,
            about=run.about,
            lane=one.lane,
            verdict=(verdict := judge(found[one.batch_id])),
            seconds=seconds,
            counts=live.counts,
            injected=injected,
            notes=live.notes.get(one.lane),
            broken=(*troubles, *broken_invariants(one.lane, verdict)),
        )
        for one in sent
    ]


def broken_invariants(lane: str, verdict: Verdict) -> list[str]:
    """What must not be, whatever went wrong.

    Where the lane's policy is to repay, a job may be paid for once more for each of its own repays; elsewhere none is.
    """
    policy = LANES[lane]
    wrong = list(verdict.problems)
    if twice := verdict.unexplained if policy.repays else verdict.double:
        wrong.append(f"{len(twice)} jobs were paid for twice: {', '.join(twice)[:200]}")
    if verdict.repays and not policy.repays:
        wrong.append(f"{verdict.repays} repays, and the policy is to hold")
    if verdict.lost_rows:
        wrong.append(f"{verdict.lost_rows} rows are lost")
    if verdict.broken:
        wrong.append(f"{verdict.broken} broken pictures were kept")
    if verdict.wrong_counters:
        wrong.append(f"wrong counters: {', '.join(verdict.wrong_counters)}")
    return wrong


def lane_file(lane: str, prompts: Sequence[str]) -> str:
    """A CSV that asks one lane for small pictures."""
    header, *rows = file_of(prompts, header=("prompt", "width", "height")).splitlines()
    return "\n".join([f"{header},model", *(f"{row},{lane}" for row in rows), ""])


def tick(live: Live) -> None:
    """Let the reporter look after open batches more often than once a minute."""
    while not live.over.wait(TICK_SECONDS):
        live.stack.pipeline.tick()


def is_quiet(stack: ChaosStack, lanes: Iterable[str]) -> bool:
    """Whether no message of these lanes is left and no callback will come any more."""
    if stack.pipeline.sandbox.callbacks()["pending"]:
        return False
    return not any(_messages(stack, stack.lanes[lane]["queue_url"]) for lane in lanes)


def _messages(stack: ChaosStack, queue_url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return sum(int(number) for number in answer["Attributes"].values())


def _has_ended(stack: ChaosStack, batch_id: str) -> bool:
    batch = get_batch(stack.pipeline.stack, batch_id)
    return batch is not None and has_ended(batch)


def _settled(stack: ChaosStack, prompts: Mapping[str, Sequence[str]]) -> Mapping[str, Evidence]:
    """The evidence, once the counters of batches that wait for a person have been put right, or should have been."""
    found: dict[str, Evidence] = {}

    def settled() -> bool:
        found.update(collect(stack, prompts))
        return all(not one.batch.is_open or not judge(one).wrong_counters for one in found.values())

    _wait(_SETTLE_SECONDS, settled)
    return found


def _wait(seconds: float, look: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)  # nothing tells when a table or a queue changes; a look costs the stack requests
    return True


@contextmanager
def beside(live: Live, hooks: Sequence[Hook]) -> Iterator[Live]:
    """Run hooks beside what is inside; one that fails is a trouble of the run."""

    def run(hook: Hook) -> None:
        try:
            hook(live)
        except Exception as error:  # noqa: BLE001  # in a thread nobody else would see it
            where, said = traceback.extract_tb(error.__traceback__)[-1], str(error).partition("\n")[0]
            live.troubles.append(f"a hook failed: {type(error).__name__}: {said} ({where.name}:{where.lineno})")

    threads = [threading.Thread(target=run, args=(hook,), daemon=True) for hook in hooks]
    for thread in threads:
        thread.start()
    try:
        yield live
    finally:
        live.over.set()
        for thread in threads:
            thread.join(timeout=60)


def doorbell(job_id: str) -> str:
    """The body of a lane's message."""
    return json.dumps({"job_id": job_id})
