"""Our signed key in a callback's URL: which call of which job the callback is about, and until when it counts.

`{job_id}.{attempt}.{expires}.{mac}`, where the MAC is HMAC-SHA256 (RFC 2104) over provider, job, attempt and expiry. It
is checked before anything else of a callback is read: nobody but the provider that was given the URL can name a job.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256

LIFE_SECONDS = 7 * 24 * 3600
"""As long as a batch lives and WaveSpeed keeps a picture (https://wavespeed.ai/docs): later there is nothing to get."""

SHORTEST_SECRET = 32
"""Characters that a signing secret must have. What is shorter, such as a secret that nobody has set, signs nothing."""

_FORM = re.compile(r"([0-9a-f]{64})\.([1-9][0-9]{0,8})\.([1-9][0-9]{0,10})\.([0-9a-f]{64})")


class KeyRefusedError(Exception):
    """Raised when a signed key is not ours or not any more. `reason`: forged or expired."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CallbackKey:
    """One paid call: `attempt` is the one that announced it. `expires` is in epoch seconds."""

    job_id: str
    attempt: int
    expires: int

    def signed(self, secret: str, provider: str) -> str:
        """The key as it stands in the URL."""
        return f"{self.job_id}.{self.attempt}.{self.expires}.{self._mac(secret, provider)}"

    def _mac(self, secret: str, provider: str) -> str:
        said = f"{provider}\n{self.job_id}\n{self.attempt}\n{self.expires}"
        return hmac.new(secret.encode(), said.encode(), sha256).hexdigest()


def callback_url(api_url: str, provider: str, job_id: str, attempt: int, *, secret: str, now_ms: int) -> str:
    """Where the provider is to post the outcome of a call; empty where there is no API or no secret to sign with."""
    if not api_url or len(secret) < SHORTEST_SECRET:
        return ""
    key = CallbackKey(job_id, attempt, now_ms // 1000 + LIFE_SECONDS)
    return f"{api_url}/callbacks/{provider}?key={key.signed(secret, provider)}"


def read_key(text: str, *, secret: str, provider: str, now_ms: int) -> CallbackKey:
    """Read a signed key.

    Raises:
        KeyRefusedError: when we did not sign it for this provider, or its time is over.
    """
    form = _FORM.fullmatch(text)
    if form is None or len(secret) < SHORTEST_SECRET:
        raise KeyRefusedError("forged")
    key = CallbackKey(form[1], int(form[2]), int(form[3]))
    if not hmac.compare_digest(key.signed(secret, provider), text):
        raise KeyRefusedError("forged")
    if now_ms // 1000 > key.expires:
        raise KeyRefusedError("expired")
    return key
