"""Being told to end: what a command has begun is undone as after Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def orderly_end() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that every `finally` is carried out; exit code 128 + signal.

    A signal that the caller has switched off, as nohup does, stays off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in _ENDINGS if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    for another in _ENDINGS:  # a second one must not interrupt the clearing up
        signal.signal(another, signal.SIG_IGN)
    if number == signal.SIGHUP:  # the terminal is gone: what is said from here on would be an error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
    raise SystemExit(128 + number)
