"""WaveSpeed: https://wavespeed.ai/docs. Asynchronous: a submit gives a prediction's id, which is polled.

HTTP 200 alone is no success: the envelope carries a code of its own, and a prediction ends in a status.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    404: ErrorClass.INVALID,
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


@dataclass(frozen=True, slots=True)
class WaveSpeed:
    """One model at WaveSpeed. Implements `functions.core.ports.ImageApi`.

    `base_url` may be a gateway of the operator's; `monotonic` is the clock that `not_after` is read on.
    """

    http: httpx.AsyncClient
    base_url: str
    key: str
    model: Model
    monotonic: Callable[[], float]

    async def submit(self, spec: PictureSpec, *, job_id: str, not_after: float) -> SubmitAnswer:
        """See `ImageApi.submit`. WaveSpeed is not known to honour the idempotency key."""
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
        except httpx.TransportError as error:
            if never_sent(error):
                return Refused(Fault(ErrorClass.NETWORK, "the provider could not be reached"))
            return Ambiguous(Fault(ErrorClass.AMBIGUOUS, f"the answer to the submit was lost ({type(error).__name__})"))
        return _read_submit(response)

    async def poll(self, reference: str) -> PollAnswer:
        """See `ImageApi.poll`."""
        response = await self._read("GET", f"/api/v3/predictions/{quote(reference, safe='')}/result")
        envelope = _json_object(response)
        data = envelope.get("data")
        if not isinstance(data, dict):
            raise PollError(
                Fault(ErrorClass.PROVIDER_ERROR, "the provider's answer is unreadable", response.status_code)
            )
        return _read_prediction(data, response.status_code)

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
            envelope = _json_object(await self._read("POST", "/api/v3/predictions", body))
            items = _listed(envelope)
            found += [Prediction(str(item["id"]), failed=item.get("status") in _ENDED_BADLY) for item in items]
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

    async def _read(self, method: str, path: str, body: object = None) -> httpx.Response:
        try:
            response = await self.http.request(
                method, f"{self.base_url}{path}", json=body, headers=self._authorization, timeout=20.0
            )
        except httpx.TransportError as error:
            raise PollError(
                Fault(ErrorClass.NETWORK, f"the provider could not be asked ({type(error).__name__})")
            ) from error
        if response.status_code != 200:
            error_class = HTTP_ERRORS.get(response.status_code, ErrorClass.PROVIDER_ERROR)
            raise PollError(_http_fault(error_class, response))
        return response


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


def _read_submit(response: httpx.Response) -> SubmitAnswer:
    status = response.status_code
    if status in HTTP_ERRORS:
        return Refused(_http_fault(_refusal_class(status, response), response))
    if status != 200:
        return Ambiguous(_http_fault(ErrorClass.AMBIGUOUS, response))
    data = _json_object(response).get("data")
    reference = data.get("id") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        return Ambiguous(Fault(ErrorClass.AMBIGUOUS, "the answer to the submit is unreadable", status))
    if data.get("status") in _ENDED_BADLY:
        return Refused(_task_fault(data, status))
    return Accepted(reference, status)


def _read_prediction(data: Mapping[str, Any], status: int) -> PollAnswer:
    if data.get("status") in _ENDED_BADLY:
        return Refused(_task_fault(data, status))
    if data.get("status") != "completed" or data.get("code") == STILL_WORKING:
        return Working()
    outputs = data.get("outputs")
    if not isinstance(outputs, list) or not outputs or not isinstance(outputs[0], str):
        raise PollError(
            Fault(ErrorClass.CORRUPT, "the prediction is completed but has no picture", status, resumable=True)
        )
    return Completed(Output(url=outputs[0]), status)


def _refusal_class(status: int, response: httpx.Response) -> ErrorClass:
    if status == 400 and _NO_CREDIT in response.text.lower():
        return ErrorClass.FUNDS
    return HTTP_ERRORS[status]


def _task_fault(data: Mapping[str, Any], status: int) -> Fault:
    text = str(data.get("error") or "")
    known = data.get("code")
    match = _CODE_IN_TEXT.search(text)
    code = known if isinstance(known, int) else int(match.group()) if match else 0
    flagged = any(data.get("has_nsfw_contents") or ())
    unknown = ErrorClass.MODERATED if flagged else ErrorClass.PROVIDER_ERROR
    return Fault(TASK_ERRORS.get(code, unknown), _shown(text) or f"the task failed with code {code}", status)


def _http_fault(error_class: ErrorClass, response: httpx.Response) -> Fault:
    message = _json_object(response).get("message")
    text = f"HTTP {response.status_code}" + (f": {_shown(message)}" if isinstance(message, str) else "")
    return Fault(error_class, text, response.status_code, retry_after=_retry_after(response))


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _listed(envelope: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = envelope.get("data")
    items = data.get("items") if isinstance(data, dict) else data
    if not isinstance(items, list) or not all(isinstance(item, dict) and "id" in item for item in items):
        raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "the provider's listing is unreadable"))
    return items


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _shown(text: str) -> str:
    return " ".join(text.split())[:200]


def _iso(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat().replace("+00:00", "Z")
