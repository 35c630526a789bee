"""Which picture is meant, and its id: the job id, the idempotency key, the storage key and the database key.

Canonical JSON of a spec: sorted keys, no blanks, text in NFC with collapsed white space, numbers in one
notation, the identity version under `v`. A field that equals its default of that version is left out. That
stays unambiguous, since a field at its default is *always* left out and the defaults of a version never
change, so one spec has one text; it keeps a record within one write unit, and a field added later (with a
default that means what was done before) changes no id that exists. Changing a default, a rule of
normalization or the meaning of a field needs a new version.
"""

import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from functions.core.input.text import canonical_decimal, normalize_text

IDENTITY_VERSION = 1

_TEXT_FIELDS = ("model", "prompt", "negative_prompt", "format", "edition")
_WHOLE_FIELDS = ("width", "height", "seed", "steps", "variant")


@dataclass(frozen=True, slots=True)
class PictureSpec:
    """One picture, fully described. Built normalized, so that equal meaning is equal specs.

    width and height are pixels; variant counts from 0; edition is empty unless a new picture of the same
    description is wanted; params are provider parameters beyond the named ones (names are case-sensitive,
    values are text and compared as text: `"1.10"` may be a version). Raises ValueError for text that UTF-8
    cannot carry and for guidance that is not finite, TypeError for a whole number that is not an int.
    """

    model: str
    prompt: str
    negative_prompt: str = ""
    width: int = 1024
    height: int = 1024
    seed: int | None = None
    steps: int | None = None
    guidance: Decimal | None = None
    format: str = "jpeg"
    variant: int = 0
    edition: str = ""
    # Left out of the hash of the object only, since a dict has none; equality looks at it.
    params: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in _TEXT_FIELDS:
            object.__setattr__(self, name, _text(getattr(self, name)))
        for name in _WHOLE_FIELDS:
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, operator.index(value))
        image_format = self.format.lower()
        object.__setattr__(self, "format", "jpeg" if image_format == "jpg" else image_format)
        if self.guidance is not None:
            object.__setattr__(self, "guidance", Decimal(canonical_decimal(self.guidance)))
        params = {_text(name): _text(value) for name, value in self.params.items()}
        object.__setattr__(self, "params", {name: params[name] for name in sorted(params) if params[name]})


def _text(text: str) -> str:
    normal = normalize_text(text)
    try:
        normal.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start + 1} is half of a surrogate pair, not text") from error
    return normal


# Frozen with IDENTITY_VERSION 1, and written out so that changing a default above cannot change an id.
_DEFAULTS_V1: Mapping[str, object] = {
    "negative_prompt": "",
    "width": 1024,
    "height": 1024,
    "seed": None,
    "steps": None,
    "guidance": None,
    "format": "jpeg",
    "variant": 0,
    "edition": "",
    "params": {},
}
_FIELDS = tuple(each.name for each in fields(PictureSpec))


def canonical_json(spec: PictureSpec) -> str:
    """The one text of a spec: `{"model":"…","prompt":"…","v":1}` and every field not at its default."""
    content: dict[str, object] = {"v": IDENTITY_VERSION}
    for name in _FIELDS:
        value = getattr(spec, name)
        if name not in _DEFAULTS_V1 or value != _DEFAULTS_V1[name]:
            content[name] = canonical_decimal(value) if isinstance(value, Decimal) else value
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def job_id(spec: PictureSpec) -> str:
    """SHA-256 of the canonical JSON in UTF-8: 64 hex digits."""
    return hashlib.sha256(canonical_json(spec).encode("utf-8")).hexdigest()


def spec_from_json(text: str) -> PictureSpec:
    """The spec of a canonical JSON text. Raises ValueError for another version, unknown or missing fields."""
    content: dict[str, Any] = json.loads(text)
    version = content.pop("v", None)
    if version != IDENTITY_VERSION:
        raise ValueError(f"identity version {version!r} is not {IDENTITY_VERSION}")
    unknown = sorted(set(content) - set(_FIELDS))
    missing = sorted(set(_FIELDS) - set(_DEFAULTS_V1) - set(content))
    if unknown or missing:
        raise ValueError(f"not a picture spec of version {version}: unknown {unknown}, missing {missing}")
    values = {**_DEFAULTS_V1, **content}
    if values["guidance"] is not None:
        values["guidance"] = Decimal(values["guidance"])
    return PictureSpec(**values)
