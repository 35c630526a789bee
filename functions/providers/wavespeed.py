"""WaveSpeed: https://wavespeed.ai/docs. Asynchronous: a submit gives a prediction's id, which is polled.

HTTP 200 alone is no success: the envelope carries a code of its own, and a prediction ends in a status.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from functions.adapters.http import TooLateError, download, leaves_before, never_sent
from functions.core.catalog import Model
from functions.core.errors import ErrorClass, Fault
from functions.core.input.identity import PictureSpec
from functions.core.ports import (
    Accepted,
    Ambiguous,
    Completed,
    NotSent,
    Output,
    PollAnswer,
    PollError,
    Prediction,
    Refused,
    SubmitAnswer,
    Working,
)

HTTP_ERRORS: Mapping[int, ErrorClass] = {
    400: ErrorClass.INVALID,
    401: ErrorClass.AUTH,
    402: ErrorClass.FUNDS,
    403: ErrorClass.AUTH,
    404: ErrorClass.PROVIDER_ERROR,  # a path or a model that moved is no fault of the row's
    422: ErrorClass.INVALID,
    429: ErrorClass.RATE_LIMITED,
}
"""Statuses that say no without having taken the call. Any 5xx on a submit may hide a call that was taken."""

TASK_ERRORS: Mapping[int, ErrorClass] = {
    1200: ErrorClass.MODERATED,
    1400: ErrorClass.INVALID,
    1401: ErrorClass.INVALID,
    1402: ErrorClass.INVALID,
    1403: ErrorClass.INVALID,
    1405: ErrorClass.INVALID,
    1406: ErrorClass.CAPACITY,
    1407: ErrorClass.FUNDS,
    5000: ErrorClass.CAPACITY,
    5003: ErrorClass.CAPACITY,
}
"""Task codes of failed predictions; failures are refunded."""

STILL_WORKING = 5004
"""The code of an answer that gave up waiting for a task which goes on."""

_ENDED_BADLY = frozenset({"failed", "cancelled", "timeout", "deleted"})
_NO_CREDIT = "insufficient credit"
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}")
_CODE_IN_TEXT = re.compile(r"\b(1[24]\d\d|50\d\d)\b")
_LISTED_PER_PAGE = 100
_MOST_PAGES = 50
_LONGEST_RETRY_AFTER = 900.0  # seconds


@dataclass(frozen=True, slots=True)
class WaveSpeed:
    """One model at WaveSpeed. Implements `functions.core.ports.ImageApi`.

    `base_url` may be a gateway of the operator's; `monotonic` is the clock that `not_after` is read on.
    """

    http: httpx.AsyncClient
    base_url: str
    key: str = field(repr=False)
    model: Model
    monotonic: Callable[[], float]

    async def submit(self, spec: PictureSpec, *, job_id: str, not_after: float) -> SubmitAnswer:
        """See `ImageApi.submit`. WaveSpeed is not known to honour the idempotency key."""
        if not self.key or not self.key.isascii() or not self.key.isprintable():
            return Refused(Fault(ErrorClass.AUTH, "the stored key is no key; set it anew with `imagebatch key set`"))
        try:
            response = await self.http.post(
                f"{self.base_url}/api/v3/{self.model.provider_model}",
                json=_submit_body(spec),
                headers={**self._authorization, "Idempotency-Key": job_id},
                timeout=httpx.Timeout(self.model.timeout_seconds, connect=4.0, pool=4.0),
                extensions=leaves_before(not_after, self.monotonic),
            )
        except TooLateError:
            return NotSent()
        except httpx.RequestError as error:
            if never_sent(error):
                return Refused(Fault(ErrorClass.NETWORK, "the provider could not be reached"))
            return Ambiguous(Fault(ErrorClass.AMBIGUOUS, f"the answer to the submit was lost ({type(error).__name__})"))
        return _read_submit(response, secret=(self.key, spec.prompt, spec.negative_prompt))

    async def poll(self, reference: str) -> PollAnswer:
        """See `ImageApi.poll`."""
        envelope, status = await self._read("GET", f"/api/v3/predictions/{quote(reference, safe='')}/result")
        data = envelope.get("data")
        if not isinstance(data, dict):
            raise PollError(_unreadable(status))
        return _read_prediction(data, status)

    async def predictions(self, since_ms: int, until_ms: int) -> tuple[Prediction, ...]:
        """See `ImageApi.predictions`: all that the account submitted for this model."""
        found: list[Prediction] = []
        for page in range(1, _MOST_PAGES + 1):
            body = {
                "page": page,
                "page_size": _LISTED_PER_PAGE,
                "model": self.model.provider_model,
                "created_after": _iso(since_ms),
                "created_before": _iso(until_ms),
            }
            envelope, status = await self._read("POST", "/api/v3/predictions", body)
            items = _listed(envelope, status)
            found += [Prediction(str(item["id"]), failed=_status(item) in _ENDED_BADLY) for item in items]
            if len(items) < _LISTED_PER_PAGE:
                return tuple(found)
        raise PollError(
            Fault(ErrorClass.PROVIDER_ERROR, "the provider lists more predictions than can be looked through")
        )

    async def fetch(self, output: Output) -> bytes:
        """See `ImageApi.fetch`. Where the operator has pointed the provider, its outputs are trusted too."""
        parts = urlsplit(self.base_url)
        moved = self.base_url != self.model.account.base_url
        return await download(self.http, output.url, trusted_origin=f"{parts.scheme}://{parts.netloc}" if moved else "")

    def price(self, spec: PictureSpec) -> Decimal:  # noqa: ARG002  # the port's; others charge by size
        """See `ImageApi.price`: per run, whatever the size."""
        return self.model.price_usd

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def _read(self, method: str, path: str, body: object = None) -> tuple[dict[str, Any], int]:
        """An answer whose status and whose envelope both say that it is one, and the status."""
        try:
            response = await self.http.request(method, f"{self.base_url}{path}", json=body, headers=self._authorization)
        except httpx.RequestError as error:
            why = f"the provider could not be asked ({type(error).__name__})"
            raise PollError(Fault(ErrorClass.NETWORK, why)) from error
        status = response.status_code
        if status != 200:
            error_class = HTTP_ERRORS.get(status, ErrorClass.PROVIDER_ERROR)
            raise PollError(Fault(error_class, f"HTTP {status}", status, retry_after=_retry_after(response)))
        envelope = _json_object(response)
        # A failed listing that is read as an empty one would prove that a paid call never arrived.
        if envelope.get("code") != 200:
            raise PollError(_unreadable(status))
        return envelope, status


def _submit_body(spec: PictureSpec) -> dict[str, Any]:
    return {
        "prompt": spec.prompt,
        "size": f"{spec.width}*{spec.height}",
        "num_images": 1,
        "seed": spec.seed,
        "output_format": spec.format,
        "enable_base64_output": False,
        "enable_sync_mode": False,
    }


def _read_submit(response: httpx.Response, secret: Sequence[str]) -> SubmitAnswer:
    status, envelope = response.status_code, _json_object(response)
    if status in HTTP_ERRORS:
        return Refused(_refusal(status, status, envelope, response, secret))
    if status != 200:
        return Ambiguous(Fault(ErrorClass.AMBIGUOUS, f"HTTP {status} to the submit", status))
    data = envelope.get("data")
    reference = data.get("id") if isinstance(data, dict) else None
    if isinstance(data, dict) and isinstance(reference, str) and _REFERENCE.fullmatch(reference):
        return Refused(_task_fault(data, status)) if _status(data) in _ENDED_BADLY else Accepted(reference, status)
    code = envelope.get("code")
    if isinstance(code, int) and (code in HTTP_ERRORS or code in TASK_ERRORS):
        return Refused(_refusal(code, status, envelope, response, secret))
    return Ambiguous(Fault(ErrorClass.AMBIGUOUS, "the answer to the submit is unreadable", status))


def _read_prediction(data: Mapping[str, Any], status: int) -> PollAnswer:
    if _status(data) in _ENDED_BADLY:
        return Refused(_task_fault(data, status))
    if _status(data) != "completed" or data.get("code") == STILL_WORKING:
        return Working()
    outputs = data.get("outputs")
    if not isinstance(outputs, list) or not outputs or not isinstance(outputs[0], str):
        why = "the prediction is completed but has no picture"
        return Refused(Fault(ErrorClass.CORRUPT, why, status, resumable=True))
    return Completed(Output(url=outputs[0]), status)


def _refusal(
    code: int, status: int, envelope: Mapping[str, Any], response: httpx.Response, secret: Sequence[str]
) -> Fault:
    """A submit that was not taken. What the provider says of it is shown without what is nobody's business."""
    said = envelope.get("message")
    text = said if isinstance(said, str) else ""
    error_class = HTTP_ERRORS.get(code) or TASK_ERRORS[code]
    if _NO_CREDIT in text.lower():
        error_class = ErrorClass.FUNDS
    shown = "" if error_class is ErrorClass.AUTH else _shown(text, secret)
    return Fault(
        error_class, f"HTTP {code}" + (f": {shown}" if shown else ""), status, retry_after=_retry_after(response)
    )


def _task_fault(data: Mapping[str, Any], status: int) -> Fault:
    """A task that failed. Its text may repeat the prompt: its code says as much."""
    known = data.get("code")
    match = _CODE_IN_TEXT.search(str(data.get("error") or ""))
    code = known if isinstance(known, int) else int(match.group()) if match else 0
    flags = data.get("has_nsfw_contents")
    flagged = isinstance(flags, list) and any(flag is True for flag in flags)
    error_class = TASK_ERRORS.get(code, ErrorClass.MODERATED if flagged else ErrorClass.PROVIDER_ERROR)
    return Fault(error_class, f"the task failed with code {code}" if code else "the task failed", status)


def _status(data: Mapping[str, Any]) -> str:
    status = data.get("status")
    return status if isinstance(status, str) else ""


def _unreadable(status: int) -> Fault:
    return Fault(ErrorClass.PROVIDER_ERROR, "the provider's answer is unreadable", status)


def _retry_after(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def _listed(envelope: Mapping[str, Any], status: int) -> list[dict[str, Any]]:
    data = envelope.get("data")
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) and "id" in item for item in items):
        raise PollError(_unreadable(status))
    return items


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _shown(text: str, secret: Sequence[str]) -> str:
    """A provider's words, short, and without the key and the prompt that they may repeat."""
    words = " ".join(text.split())
    for one in secret:
        words = words.replace(one, "…") if one else words
    return words[:200]


def _iso(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
