"""WaveSpeed's request bodies, checked as their pages state the ranges; other fields are ignored."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import httpx

from ops.sandbox.predictions import Order, Webhook

_SIZE = re.compile(r"(\d{1,5})\*(\d{1,5})", re.ASCII)
_MIN_SIDE, _MAX_SIDE = 256, 1536
_MAX_IMAGES = 4
_MAX_SEED = 2**31 - 1
_MAX_PAGE_SIZE = 100
_MAX_PORT = 65_535
_FIELDS = (
    "prompt",
    "size",
    "num_images",
    "seed",
    "strength",
    "output_format",
    "enable_base64_output",
    "enable_sync_mode",
)


class RequestError(ValueError):
    """Raised when a request body is refused; the message goes into the answer."""


@dataclass(frozen=True)
class Listing:
    """A query of the predictions; times are epoch seconds, ``None`` is no filter."""

    page: int
    page_size: int
    model: str | None
    status: str | None
    created_after: float | None
    created_before: float | None


def read_webhook(url: str | None, body: Mapping[str, Any], base_url: str) -> Webhook | None:
    """The webhook that a submit asks for with its query, if it does.

    Raises:
        RequestError: the address cannot be one.
    """
    if url is None:
        return None
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or (parsed.port or 0) > _MAX_PORT:
        raise RequestError(f"Invalid parameter: webhook must be an http or https URL, got {url!r}")
    return Webhook(url, base_url, {name: body[name] for name in _FIELDS if name in body})


def read_order(
    body: Mapping[str, Any],
    model: str,
    price_usd: Decimal,
    idempotency_key: str | None,
    webhook: Webhook | None,
) -> tuple[Order, bool]:
    """The order in a submit, and whether the client waits for the result (``enable_sync_mode``).

    Raises:
        RequestError: a field is missing, of the wrong type or out of range.
    """
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise RequestError("Missing required parameter: prompt")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise RequestError("Invalid parameter: prompt is not valid Unicode") from None
    width, height = _size(body.get("size", "1024*1024"))
    seed = _integer(body, "seed", default=-1, low=-1, high=_MAX_SEED)
    _strength(body.get("strength", 0.8))
    order = Order(
        model=model,
        prompt=prompt,
        seed=None if seed == -1 else seed,
        width=width,
        height=height,
        format=_format(body.get("output_format", "jpeg")),
        images=_integer(body, "num_images", default=1, low=1, high=_MAX_IMAGES),
        base64=_boolean(body, "enable_base64_output"),
        price_usd=price_usd,
        idempotency_key=idempotency_key,
        webhook=webhook,
    )
    if webhook and order.base64:
        raise RequestError("Invalid parameter: enable_base64_output cannot be combined with a webhook")
    return order, _boolean(body, "enable_sync_mode")


def read_listing(body: Mapping[str, Any]) -> Listing:
    """The query in a listing request.

    Raises:
        RequestError: a field is of the wrong type or out of range.
    """
    return Listing(
        page=_integer(body, "page", default=1, low=1, high=10**6),
        page_size=_integer(body, "page_size", default=_MAX_PAGE_SIZE, low=1, high=_MAX_PAGE_SIZE),
        model=_optional_text(body, "model"),
        status=_optional_text(body, "status"),
        created_after=_time(body, "created_after"),
        created_before=_time(body, "created_before"),
    )


def read_pricing(body: Mapping[str, Any], models: Collection[str]) -> str:
    """The model in a pricing request: one of ``models``.

    Raises:
        RequestError: a field is missing or of the wrong type, or there is no such model.
    """
    model = body.get("model_id")
    if not isinstance(model, str):
        raise RequestError("Missing required parameter: model_id")
    if not isinstance(body.get("inputs"), dict):
        raise RequestError("Missing required parameter: inputs")
    if model not in models:
        raise RequestError(f"Invalid parameter: model_id names no model, got {model!r}")
    return model


def _size(value: object) -> tuple[int, int]:
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise RequestError(f"Invalid parameter: size must look like 1024*1024, got {value!r}")
    width, height = int(found[1]), int(found[2])
    if not (_MIN_SIDE <= width <= _MAX_SIDE and _MIN_SIDE <= height <= _MAX_SIDE):
        raise RequestError(f"Invalid parameter: size must be {_MIN_SIDE} to {_MAX_SIDE} per side, got {value!r}")
    return width, height


def _format(value: object) -> Literal["jpeg", "png", "webp"]:
    match value:
        case "jpeg" | "png" | "webp":
            return value
    raise RequestError(f"Invalid parameter: output_format must be jpeg, png or webp, got {value!r}")


def _strength(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise RequestError(f"Invalid parameter: strength must be between 0 and 1, got {value!r}")


def _integer(body: Mapping[str, Any], name: str, *, default: int, low: int, high: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise RequestError(f"Invalid parameter: {name} must be an integer between {low} and {high}, got {value!r}")
    return value


def _boolean(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(f"Invalid parameter: {name} must be a boolean, got {value!r}")
    return value


def _optional_text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None or isinstance(value, str):
        return value
    raise RequestError(f"Invalid parameter: {name} must be a string, got {value!r}")


def _time(body: Mapping[str, Any], name: str) -> float | None:
    value = _optional_text(body, name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise RequestError(f"Invalid parameter: {name} must be an ISO 8601 date and time, got {value!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
