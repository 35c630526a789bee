"""The stack of a chaos run: the real one on the embedded AWS, with the catalog and the crash points of this folder.

The package is a copy of the one that is deployed, with two things changed: its catalog, and the folder `chaos/`. The
stack is deployed as always; then the functions' handlers and time-outs are changed as an operator could change them.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.lambdas import Function, functions
from functions.core.catalog import load_catalog
from ops import packaging
from ops.local.embedded import embedded_aws
from ops.local.instance import LocalInstance
from ops.local.metrics import metrics_bridge
from ops.local.sandbox import sandbox
from tests.chaos.injected.points import armed_name
from tests.chaos.lanes import PATIENCE_SECONDS, TIMEOUT_SECONDS, catalog
from tests.e2e.pipeline import Pipeline
from tests.e2e.processes import processes_of

HERE = Path(__file__).parent
LEASE_SECONDS = 6
VISIBILITY_SECONDS = 8
CONTEXT = {"lease_seconds": str(LEASE_SECONDS), "chunk_rows": "15", "removal": "destroy"}

SCALE = {
    "functions.core.jobs.reconcile:ANSWERED_SETTLES_SECONDS": 4,
    "functions.core.jobs.reconcile:PATIENCE_SECONDS": 5,
    "functions.core.jobs.reconcile:CLOCK_SKEW_SECONDS": 5,
    "functions.core.jobs.attempt:LOOK_AGAIN_SECONDS": 3,
    "functions.core.batches.recount:SILENCE_SECONDS": 8,
    "functions.core.batches.reporting:SILENCE_SECONDS": 8,
    "functions.core.batches.watch:SILENCE_SECONDS": 8,
    "functions.core.batches.reporting:RECOUNT_SECONDS": 12,
}
"""Constants that are up to minutes where it is deployed: when a call that was answered with an error is listed if it
was taken, how long a lost answer is looked for, by how much the provider's clock may differ, when an open call is
looked at again, after how long without a sign somebody looks after a job or a batch, and for how long a recount has its
batch to itself."""

TICK_SECONDS = 3
"""How often the harness sends the tick that a rule sends every minute."""

Step = Callable[[str], AbstractContextManager[object]]


def time_is_scaled() -> list[str]:
    """What is shorter than where it is deployed, in words: the value here, and the deployed one."""
    constants, deployed = {}, load_catalog().enabled_models[0]
    for place, value in SCALE.items():
        module, _, name = place.partition(":")
        constants[name] = f"{name} {value} s ({getattr(importlib.import_module(module), name)})"
    return [
        f"lease {LEASE_SECONDS} s (120)",
        f"visibility of the queues {VISIBILITY_SECONDS} s (720 to 3600)",
        f"tick every {TICK_SECONDS} s (60)",
        f"timeout_seconds {TIMEOUT_SECONDS} s ({deployed.timeout_seconds})",
        f"patience_seconds {PATIENCE_SECONDS} s ({deployed.patience_seconds})",
        *constants.values(),
    ]


@dataclass(frozen=True)
class Fired:
    """What happened at an armed point: to which process, when (epoch seconds), and what jobs the write was about."""

    pid: int
    jobs: list[str]
    at: float


@dataclass(frozen=True)
class ChaosStack:
    """A deployed stack whose functions are watched. `folder` is what they share with the harness."""

    pipeline: Pipeline
    folder: Path
    functions: Mapping[str, Function]

    @classmethod
    def deploy(cls, directory: Path, step: Step) -> ChaosStack:
        """Deploy it into an empty directory."""
        package, folder = directory / "package", directory / "chaos"
        for name in ("armed", "fired", "passed"):
            (folder / name).mkdir(parents=True)
        with step("Building the package, and a copy with crash points"):
            make_package(package)
        instance = LocalInstance.start(directory / "state", context=CONTEXT, package=package, current=False, step=step)
        with step("Turning the crash points on"):
            found = {_part(function): function for function in functions(instance)}
            stack = cls(Pipeline.of(instance), folder, found)
            stack._configure()
        return stack

    def stop(self) -> None:
        """Stop all of it. Its state goes, so there is no waiting until it is saved."""
        state = self.pipeline.instance.state
        for daemon in (metrics_bridge(state), embedded_aws(state).daemon, sandbox(state).daemon):
            daemon.stop()

    @property
    def lanes(self) -> Mapping[str, Mapping[str, str]]:
        """By model: queue, dead-letter queue, function and mapping."""
        lanes: Mapping[str, Mapping[str, str]] = json.loads(self.pipeline.outputs["Lanes"])
        return lanes

    def client(self, service: str) -> Any:
        """A client of an AWS service."""
        session: Any = self.pipeline.instance.session()
        return session.client(service)

    def processes(self, part: str) -> list[int]:
        """Process ids of a function's environments that have begun to work."""
        return processes_of(self.pipeline.instance, self.functions[part].name)

    def set_environment(self, part: str, **variables: str) -> None:
        """Add to a function's environment; its processes are started anew."""
        function = self.functions[part]
        self.client("lambda").update_function_configuration(
            FunctionName=function.name,
            Handler=f"chaos.handlers.{function.part}",
            Environment={"Variables": {**function.environment, **self._watching(part), **variables}},
        )

    def arm(self, part: str, point: str, about: str, action: str = "kill") -> str:
        """Let something happen at a point, once; the name that it has when it has happened."""
        name = armed_name(part, point, about, action)
        (self.folder / "armed" / name).touch()
        return name

    def disarm(self, name: str) -> None:
        """Take back what has not happened."""
        (self.folder / "armed" / name).unlink(missing_ok=True)

    def fired(self, name: str) -> Fired | None:
        """To whom an armed point has happened, if it has."""
        try:
            return Fired(**json.loads((self.folder / "fired" / name).read_text()))
        except FileNotFoundError:
            return None

    def passed(self) -> set[tuple[str, str]]:
        """Every point that was passed since they were forgotten: part and point."""
        names = (file.name.partition("~") for file in (self.folder / "passed").iterdir())
        return {(part, point) for part, _, point in names}

    def forget_passed(self) -> None:
        """Begin anew."""
        for file in (self.folder / "passed").iterdir():
            file.unlink(missing_ok=True)

    def send(self, queue_url: str, bodies: list[str]) -> None:
        """Send messages to a queue."""
        sqs = self.client("sqs")
        for at in range(0, len(bodies), 10):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies[at : at + 10])]
            sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)

    def _configure(self) -> None:
        for part in self.functions:
            self.set_environment(part)
        outputs, sqs = self.pipeline.outputs, self.client("sqs")
        for url in (
            outputs["IntakeQueueUrl"],
            outputs["ReportsQueueUrl"],
            *(lane["queue_url"] for lane in self.lanes.values()),
        ):
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)})

    def _watching(self, part: str) -> dict[str, str]:
        return {"CHAOS_DIR": str(self.folder), "CHAOS_PART": part, "CHAOS_SCALE": json.dumps(SCALE)}


def make_package(package: Path) -> None:
    """A copy of the package that is deployed, with the catalog and the crash points of this folder."""
    packaging.variant(package, catalog())
    shutil.copytree(HERE / "injected", package / "chaos", ignore=shutil.ignore_patterns("__pycache__"))


def _part(function: Function) -> str:
    lane = function.environment.get("LANE")
    return f"{function.part}-{lane}" if lane else function.part
