"""One embedded AWS with the stack on it: start, find, stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import httpx

from functions.core.catalog import CatalogError
from infra.config import read_catalog
from ops import packaging
from ops.local.deployment import Deployment, stack_outputs
from ops.local.embedded import CREDENTIALS, embedded_aws
from ops.local.errors import LocalError
from ops.local.metrics import ensure_bridge, metrics_bridge
from ops.local.providers import Providers
from ops.local.sandbox import hold_callbacks, sandbox
from ops.local.service import HOST
from ops.local.session import EmbeddedSession
from ops.local.state import Record, StateDirectory, known_directories, remember

STACK = "imagebatch"

Step = Callable[[str], AbstractContextManager[object]]
"""Called with what is being done; the context lasts as long as that takes."""


@dataclass(frozen=True, slots=True)
class LocalInstance:
    """A running embedded AWS. :meth:`start` or :meth:`find` give one."""

    state: StateDirectory
    record: Record

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        port: int | None = None,
        stack: str = STACK,
        providers: Providers | None = None,
        context: Mapping[str, str] | None = None,
        package: Path | None = None,
        current: bool = True,
        step: Step = nullcontext,
    ) -> LocalInstance:
        """Start what is not running, deploy what has changed, and return the instance.

        Whatever ends this early, a failure or Ctrl-C, stops what it started; what was running before goes on.

        Args:
            directory: where its state is kept; what an earlier run left there is there again.
            port: of the embedded AWS; without it the one of last time, or any free one.
            stack: the stack's name.
            providers: where the providers are; the sandbox without it.
            context: more CDK context, as ``{"lease_seconds": "5"}``.
            package: a Lambda package to deploy as it is, with the catalog that is in it; without it this checkout's
                is built.
            current: remember it for the other commands.
            step: told what is being done.

        Raises:
            LocalError: with a sentence that says what to do.
        """
        providers = _with_catalog_of(package, providers or Providers()) if package else providers or Providers()
        state = StateDirectory.make(directory)
        if current:
            remember(state)
        busy = f"Another `local up` is at work in {state.path}; wait for it."
        with state.held("up", otherwise=busy), ExitStack() as undo:
            record = _start_processes(state, port, stack, providers, step, undo)
            instance = cls(state, record)
            instance._deploy(providers, context or {}, package.resolve() if package else _build(step), step)
            ensure_bridge(state, record.endpoint_url, undo)
            _let_call_back(record)
            undo.pop_all()
            state.write(record)
        return instance

    @classmethod
    def find(cls, directory: Path | None = None) -> LocalInstance | None:
        """The running instance of ``directory``, or the one of those that run that was started last."""
        for candidate in [directory] if directory else known_directories():
            state = StateDirectory(candidate.resolve())
            record = state.read()
            if record is not None and embedded_aws(state).daemon.pid() is not None:
                return cls(state, record)
        return None

    def stop(self) -> None:
        """Stop it, the sandbox and the metrics bridge. State stays."""
        stop(self.state.path)

    @property
    def endpoint_url(self) -> str:
        """Where the embedded AWS answers."""
        return self.record.endpoint_url

    def session(self) -> boto3.Session:
        """A session whose clients talk to it."""
        return EmbeddedSession(self.endpoint_url)

    def environment(self) -> dict[str, str]:
        """The environment variables with which other AWS tools talk to it."""
        return CREDENTIALS | {"AWS_ENDPOINT_URL": self.endpoint_url}

    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        return stack_outputs(self.session(), self.record.stack)

    def _deploy(self, providers: Providers, context: Mapping[str, str], package: Path, step: Step) -> None:
        deployment = Deployment(
            state=self.state,
            session=self.session(),
            endpoint_url=self.endpoint_url,
            stack=self.record.stack,
            package=package,
            context={"api_url": self._api_url, **providers.context(self.record.sandbox_url), **context},
        )
        with step("Bootstrapping the account for the CDK"):
            deployment.bootstrap()
        if providers.live:
            # Before the functions learn the real address: waiting jobs must not meet it with the sandbox's key.
            providers.store_secrets(self.session(), self.outputs())
        with step("Deploying the stack"):
            deployment.deploy()
        providers.store_secrets(self.session(), self.outputs())

    @property
    def _api_url(self) -> str:
        """Where the embedded AWS serves the HTTP API whose id stands for ``{api}``."""
        return f"{self.endpoint_url}/_aws/execute-api/{{api}}/$default"


def stop(directory: Path) -> bool:
    """Stop the instance of ``directory``, also one that is half there; whether anything was running."""
    state = StateDirectory(directory.resolve())
    aws, fake, bridge, record = embedded_aws(state), sandbox(state), metrics_bridge(state), state.read()
    running = any(daemon.pid() is not None for daemon in (aws.daemon, fake.daemon, bridge))
    if record is not None and record.sandbox_port is not None and fake.daemon.pid() is not None:
        # It ends last, since a worker that cannot reach it spends its jobs' tries. What is due until then stays in its
        # journal for the next start. If it does not answer, it tells nobody anything.
        with suppress(httpx.HTTPError, ValueError):  # nobody there, or somebody else
            hold_callbacks(record.sandbox_port, True)
    bridge.stop()
    aws.stop()
    fake.stop()
    if record is not None:
        state.write(replace(record, pid=None, sandbox_pid=None))
    return running


def _let_call_back(record: Record) -> None:
    """Let the sandbox send its callbacks: who they are for is there."""
    if record.sandbox_pid is None or record.sandbox_port is None:
        return
    try:
        hold_callbacks(record.sandbox_port, False)
    except (httpx.HTTPError, ValueError) as error:
        raise LocalError(f"The sandbox provider is not there ({error}): `imagebatch local down`, then up.") from error


def _with_catalog_of(package: Path, providers: Providers) -> Providers:
    try:
        return replace(providers, catalog=read_catalog(package))
    except CatalogError as error:
        raise LocalError(f"The Lambda package in {package} cannot be deployed: {error}.") from error


def _build(step: Step) -> Path:
    """Build this checkout's Lambda package; its directory."""
    with step("Building the Lambda package"):
        try:
            return packaging.build(packaging.local_target())
        except packaging.PackagingError as error:
            raise LocalError(str(error)) from error


def _start_processes(
    state: StateDirectory, port: int | None, stack: str, providers: Providers, step: Step, undo: ExitStack
) -> Record:
    """Start what is needed and not there, stop what is no longer needed; the record of what runs then."""
    last = state.read()
    fake, aws = sandbox(state, providers.catalog), embedded_aws(state)
    sandbox_port = last.sandbox_port if last else None
    if providers.needs_sandbox():
        with step("Starting the sandbox provider"):
            sandbox_port = fake.ensure(asked=None, remembered=sandbox_port, undo=undo)
    else:
        fake.stop()
    with step("Starting the embedded AWS"):
        aws_port = aws.ensure(asked=port, remembered=last.port if last else None, undo=undo)
    return Record(
        endpoint_url=f"http://{HOST}:{aws_port}",
        port=aws_port,
        pid=aws.daemon.pid(),
        sandbox_url=f"http://{HOST}:{sandbox_port}" if providers.needs_sandbox() else None,
        sandbox_port=sandbox_port,
        sandbox_pid=fake.daemon.pid(),
        stack=stack,
    )
