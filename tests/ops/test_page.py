import base64
import json
import re
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

from ops.page import PageBatch, PageRow, render_page

BATCH = PageBatch(
    batch_id="products-1",
    name="products.csv",
    state="completed",
    recipe="",
    created_at="2026-11-21T08:43:06.120Z",
    late=False,
    rows=1,
    jobs=1,
    pending=0,
    running=0,
    held=0,
    succeeded=1,
    failed=0,
    repaid=0,
    invalid_rows=0,
    duplicates_prevented=0,
    cost_usd=Decimal("0.003"),
    lines=1,
)
HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>\u2028$title ${data} '\"&"


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside == "style":
            self.styles.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def data_of(page: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Elements(page).scripts[0])
    return data


def test_a_hostile_prompt_is_text_and_nothing_else() -> None:
    page = render_page(replace(BATCH, name=HOSTILE), [PageRow(row=1, status="success", prompt=HOSTILE)])

    elements = Elements(page)
    assert len(elements.scripts) == 2  # the data and the page's own
    assert not [tag for tag, _ in elements.tags if tag == "img"]
    assert data_of(page)["rows"][0]["prompt"] == HOSTILE
    assert "alert" not in elements.scripts[1]


def test_the_policy_admits_the_pages_own_script_and_style_alone() -> None:
    elements = Elements(render_page(BATCH, []))
    policy = next(attrs["content"] for tag, attrs in elements.tags if attrs.get("http-equiv"))
    assert policy is not None

    for kind, text in (("script-src", elements.scripts[1]), ("style-src", elements.styles[0])):
        digest = base64.b64encode(sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_page_takes_nothing_from_elsewhere() -> None:
    page = render_page(BATCH, [])

    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r"(?m)(^|\s)//.*$", "", page))


def test_what_is_not_known_of_a_row_takes_no_room() -> None:
    page = render_page(BATCH, [PageRow(row=7, status="failed", reason="no")])

    assert data_of(page)["rows"] == [{"row": 7, "status": "failed", "reason": "no"}]


def test_amounts_are_numbers() -> None:
    page = render_page(BATCH, [PageRow(row=1, status="success", cost_usd=Decimal("0.003"))])

    assert data_of(page)["batch"]["cost_usd"] == 0.003
    assert data_of(page)["rows"][0]["cost_usd"] == 0.003
