"""WaveSpeed: https://wavespeed.ai/docs. A submit gives a prediction's id, which is polled or comes back in a callback.

In sync mode the answer to the submit has the picture, or the id of a task that takes longer than the provider waits.
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
from urllib.parse import parse_qsl, quote, urlsplit

import httpx

from functions.adapters.http import TooLateError, download, leaves_before, never_sent
from functions.core.catalog import Mode, Model
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
)
from functions.providers.wavespeed_predictions import TASK_ERRORS, has_failed, read_prediction, read_reference

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

_KEY = re.compile(r"[!-~]+")  # what a header can carry
_NO_KEY = Fault(ErrorClass.AUTH, "the stored key is no key; set it anew with `imagebatch key set`")
_NO_CREDIT = "insufficient credit"
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

    @property
    def listed_seconds(self) -> float:
        """See `ImageApi`: seven days."""
        return 7 * 24 * 3600

    async def submit(self, spec: PictureSpec, *, job_id: str, callback_url: str, not_after: float) -> SubmitAnswer:
        """See `ImageApi.submit`. WaveSpeed is not known to honour the idempotency key."""
        if not self._has_key:
            return Refused(_NO_KEY)
        waits = self.model.mode is Mode.SYNC
        # Who has what stands in the callback URL's query may call us.
        signed = [value for _, value in parse_qsl(urlsplit(callback_url).query)]
        secret = (self.key, *signed, spec.prompt, spec.negative_prompt)
        try:
            response = await self.http.post(
                f"{self.base_url}/api/v3/{self.model.provider_model}",
                params={"webhook": callback_url} if callback_url else None,
                json=_submit_body(spec, waits=waits),
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
        return _read_submit(response, waits=waits, secret=secret)

    async def poll(self, reference: str) -> PollAnswer:
        """See `ImageApi.poll`."""
        envelope, status = await self._read("GET", f"/api/v3/predictions/{quote(reference, safe='')}/result")
        data = envelope.get("data")
        if not isinstance(data, dict):
            raise PollError(_unreadable(status))
        return read_prediction(data, reference, status)

    async def predictions(self, since_ms: int, until_ms: int) -> tuple[Prediction, ...]:
        """See `ImageApi.predictions`: all that the account submitted for this model."""
        found: dict[str, Prediction] = {}
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
            new = {str(item["id"]): Prediction(str(item["id"]), failed=has_failed(item)) for item in items}
            # A short page is not the last one where the provider gives fewer than were asked for.
            if not new.keys() - found.keys():
                return tuple(found.values())
            found |= new
        raise PollError(
            Fault(ErrorClass.PROVIDER_ERROR, "the provider lists more predictions than can be looked through")
        )

    async def quote(self) -> Decimal:
        """See `ImageApi.quote`: of a run with one picture, whatever its prompt and size."""
        # A quote is for certain inputs: the required ones, and the number that a price may be multiplied by.
        inputs = {"prompt": "a picture", "num_images": 1}
        body = {"model_id": self.model.provider_model, "inputs": inputs}
        envelope, status = await self._read("POST", "/api/v3/model/pricing", body)
        return _read_price(envelope, status)

    async def fetch(self, output: Output) -> bytes:
        """See `ImageApi.fetch`. Where the operator has pointed the provider, its outputs are trusted too."""
        parts = urlsplit(self.base_url)
        moved = self.base_url != self.model.account.base_url
        return await download(self.http, output.url, trusted_origin=f"{parts.scheme}://{parts.netloc}" if moved else "")

    def price(self, spec: PictureSpec) -> Decimal:  # noqa: ARG002  # the port's; others charge by size
        """See `ImageApi.price`: per run, whatever the size."""
        return self.model.price_usd

    @property
    def _has_key(self) -> bool:
        return _KEY.fullmatch(self.key) is not None

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def _read(self, method: str, path: str, body: object = None) -> tuple[dict[str, Any], int]:
        """An answer whose status and whose envelope both say that it is one, and the status."""
        if not self._has_key:
            raise PollError(_NO_KEY)
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


def _submit_body(spec: PictureSpec, *, waits: bool) -> dict[str, Any]:
    return {
        "prompt": spec.prompt,
        "size": f"{spec.width}*{spec.height}",
        "num_images": 1,
        "seed": spec.seed,
        "output_format": spec.format,
        "enable_base64_output": False,
        "enable_sync_mode": waits,
    }


def _read_submit(response: httpx.Response, *, waits: bool, secret: Sequence[str]) -> SubmitAnswer:
    status, envelope = response.status_code, _json_object(response)
    if status in HTTP_ERRORS:
        return Refused(_refusal(status, status, envelope, response, secret))
    if status != 200:
        return Ambiguous(Fault(ErrorClass.AMBIGUOUS, f"HTTP {status} to the submit", status))
    data = envelope.get("data")
    if isinstance(data, dict) and (reference := read_reference(data)):
        return _read_taken(data, reference, status, waits=waits)
    code = envelope.get("code")
    if isinstance(code, int) and (code in HTTP_ERRORS or code in TASK_ERRORS):
        return Refused(_refusal(code, status, envelope, response, secret))
    return Ambiguous(Fault(ErrorClass.AMBIGUOUS, "the answer to the submit is unreadable", status))


def _read_taken(data: Mapping[str, Any], reference: str, status: int, *, waits: bool) -> SubmitAnswer:
    """A submit that became a prediction: it has failed, it has its picture if we waited for that, or it goes on."""
    match read_prediction(data, reference, status):
        case Completed() as completed if waits:
            return completed
        case Refused(fault) as refused if not fault.resumable:
            return refused
        case _:
            return Accepted(reference, status)


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


def _read_price(envelope: Mapping[str, Any], status: int) -> Decimal:
    data = envelope.get("data")
    if not isinstance(data, dict) or data.get("currency", "USD") != "USD":
        raise PollError(_unreadable(status))
    price = data.get("unit_price")
    if isinstance(price, bool) or not isinstance(price, int | Decimal) or price <= 0:
        raise PollError(Fault(ErrorClass.PROVIDER_ERROR, "the provider's answer has no price in it", status))
    return Decimal(price)


def _json_object(response: httpx.Response) -> dict[str, Any]:
    """The answer, with its fractions as Decimal; empty if it is no JSON object."""
    try:
        content = response.json(parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError):  # the last: an exponent beyond any Decimal's
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
