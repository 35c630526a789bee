"""A client's webhook endpoint on a loopback port: it keeps what it is sent and answers as it is told."""

import hashlib
import hmac
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic, sleep
from typing import Any

DROP = 0
"""As an answer: the connection closes without one."""


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: it never did.
    """
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not come about"
        sleep(0.005)


@dataclass(frozen=True)
class Received:
    """One request; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def timestamp(self) -> int:
        """When it was delivered, by the sandbox's clock."""
        return int(self.headers["webhook-timestamp"])

    def is_signed_with(self, secret: str) -> bool:
        """Whether the signature is the secret's, by WaveSpeed's documentation and not by the sandbox's code."""
        stamp = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}."
        key = secret.split("_", 1)[1].encode()
        digest = hmac.new(key, stamp.encode() + self.body, hashlib.sha256).hexdigest()
        return self.headers["webhook-signature"] == f"v3,{digest}"


class Receiver:
    """What was received, in order of arrival, and what is answered: ``answers`` in turn, then 200."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/callbacks"
        self.received: list[Received] = []
        self.answers: deque[int] = deque()
        self.gate = threading.Event()
        self.gate.set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def wait_for(self, count: int) -> list[Received]:
        """Return when so many arrived."""
        until(lambda: len(self.received) >= count)
        return list(self.received)

    def take(self, received: Received) -> int:
        """Keep a request; the answer's status, once the gate is open."""
        with self._lock:
            self.received.append(received)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            answer = self.answers.popleft() if self.answers else 200
        self.gate.wait()
        with self._lock:
            self._at_once -= 1
        return answer


@contextmanager
def listening() -> Iterator[Receiver]:
    """A receiver until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers["content-length"]))
            answer = receiver.take(Received(self.path, headers, body))
            if answer == DROP:
                return
            with suppress(ConnectionError):  # the sandbox may have lost patience
                self.send_response(answer)
                if answer in (301, 302, 307, 308):
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_GET = do_POST  # noqa: N815 - named by http.server

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.gate.set()
            server.shutdown()
            thread.join()
