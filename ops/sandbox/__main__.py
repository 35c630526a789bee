"""``python -m ops.sandbox --port N --state DIR``: runs the sandbox provider until SIGTERM."""

import argparse
import json
import signal
import sys
from pathlib import Path

from ops.sandbox import app, server
from ops.sandbox.behaviour import Behaviour, BehaviourError, parse
from ops.sandbox.engine import Engine
from ops.sandbox.journal import Journal, JournalError


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        behaviour = _behaviour(options.behaviour)
        engine = Engine(Journal(options.state / "journal.jsonl"), behaviour)
        sock = server.bind(options.host, options.port)
    except (BehaviourError, JournalError, OSError) as error:
        print(f"The sandbox cannot start: {error}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    # uvicorn raises the signal again when it is done; then the process is to end well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    address = f"http://{options.host}:{sock.getsockname()[1]}"
    print(f"sandbox provider on {address}", flush=True)  # noqa: T201 - a command's output
    server.Server(app.build(engine)).run(sockets=[sock])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops.sandbox", description="An image API on this machine.")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free port, which is printed")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where charges are remembered")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--behaviour", type=Path, metavar="FILE", help="JSON, as PUT /_sandbox/behaviour takes it")
    return parser


def _behaviour(path: Path | None) -> Behaviour:
    if path is None:
        return Behaviour()
    try:
        return parse(json.loads(path.read_text()))
    except BehaviourError:
        raise
    except ValueError as error:
        raise BehaviourError(f"{path} is not JSON: {error}.") from error


if __name__ == "__main__":
    sys.exit(main())
