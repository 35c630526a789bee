"""The contact sheet of a batch: one HTML file that stands beside its pictures and needs nothing from anywhere else.

Data goes into the page as JSON and is put into the document as text by the page's own script; the content security
policy admits that script and that style sheet alone, by their hashes. So a hostile prompt is words, whatever it says.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PageBatch:
    """The head of the page. Times are ISO-8601 in UTC; `lines`: of results.csv; the page may have fewer."""

    batch_id: str
    name: str
    state: str
    recipe: str
    created_at: str
    late: bool
    rows: int
    jobs: int
    pending: int
    running: int
    held: int
    succeeded: int
    failed: int
    repaid: int
    invalid_rows: int
    duplicates_prevented: int
    cost_usd: Decimal
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRow:
    """One picture that a row asked for, or a row that was not understood.

    `file` is the picture's path from the page; `same_as` the row that has the same picture and came first, `paid_by`
    the batch that paid for it if this one did not; `reason` says why there is none; `columns` are the row's own cells.
    """

    row: int
    status: str
    line: int | None = None
    name: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    file: str = ""
    same_as: int | None = None
    paid_by: str = ""
    model: str = ""
    width: int | None = None
    height: int | None = None
    seed: str = ""
    cost_usd: Decimal | None = None
    attempts: int | None = None
    latency_ms: int | None = None
    sha256: str = ""
    error_class: str = ""
    reason: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


def render_page(batch: PageBatch, rows: Sequence[PageRow]) -> str:
    """The page as HTML text."""
    style, script = _asset("page.css"), _asset("page.js")
    data = {"batch": asdict(batch), "rows": [_known(row) for row in rows]}
    return Template(_asset("template.html")).substitute(
        title=escape(f"{batch.name} · imagebatch"),
        policy=escape(_policy(style, script)),
        style=style,
        script=script,
        data=_json(data),
    )


def _known(row: PageRow) -> dict[str, Any]:
    """What is known of a row: ten thousand rows of empty fields would be half of the page."""
    return {name: value for name, value in asdict(row).items() if value not in ("", None, {})}


def _json(data: Any) -> str:
    """JSON inside a script element: nothing in it may look like a tag's beginning."""
    text = json.dumps(data, default=float, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _policy(style: str, script: str) -> str:
    """Pictures from the page's own folder (`file:` when it is opened from a disk), our style and our script alone."""
    return (
        f"default-src 'none'; img-src 'self' file:; style-src '{_source(style)}'; script-src '{_source(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _asset(name: str) -> str:
    return (files(__name__) / name).read_text(encoding="utf-8")
