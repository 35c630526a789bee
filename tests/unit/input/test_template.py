"""Templates over the columns of a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.input.errors import TemplateError
from functions.core.input.header import Header
from functions.core.input.template import Template

HEADER = Header(("Handle", "Title", "Body (HTML)", "Google Shopping / MPN", "note", "Note"))


def filled(text: str, *cells: str) -> str:
    template = Template.parse(text)
    return template.fill(cells, template.columns(HEADER))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photo of {Title}, studio light", "photo of Oak Chair, studio light"),
        ("{title} / {TITLE} / { Title }", "Oak Chair / Oak Chair / Oak Chair"),
        ("{Body (HTML)} {google shopping / mpn}", "<p>oak</p> 17"),
        ("{Title}{Handle}", "Oak Chairoak-chair"),
        ("{{Title}} {Title}", "{Title} Oak Chair"),
        ("{{{Title}}}", "{Oak Chair}"),
        ("no column at all", "no column at all"),
    ],
)
def test_columns_are_filled_in_by_name_in_any_case(text: str, expected: str) -> None:
    assert filled(text, "oak-chair", "Oak Chair", "<p>oak</p>", "17", "", "") == expected


def test_braces_in_a_cell_are_characters() -> None:
    assert filled("{Title}", "", "{Handle}", "", "", "", "") == "{Handle}"


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("photo of {Title", 10, "'{' has no partner"),
        ("photo of Title}", 15, "'}' has no partner"),
        ("a {b {Title} c}", 3, "'{' has no partner"),
        ("photo of {}", 10, "names no column"),
        ("photo of { }", 10, "names no column"),
    ],
)
def test_malformed_templates_are_refused_with_the_place(text: str, position: int, reason: str) -> None:
    with pytest.raises(TemplateError, match=reason) as refusal:
        Template.parse(text)
    assert refusal.value.position == position


def test_an_unknown_column_is_named_with_the_near_one() -> None:
    (sentence,) = Template.parse("{Titel} {Titel}").misfits(HEADER)
    assert "'Titel'" in sentence
    assert "did you mean 'Title'?" in sentence
    assert "'Body (HTML)'" in sentence


def test_a_column_that_is_there_twice_cannot_be_filled_in() -> None:
    (sentence,) = Template.parse("{note}").misfits(HEADER)
    assert "more than once (as number 5 and 6)" in sentence


def test_a_template_whose_columns_are_there_has_no_misfits() -> None:
    assert Template.parse("{Title} {handle}").misfits(HEADER) == []


@given(st.text())
def test_any_text_comes_back_when_its_braces_are_doubled(text: str) -> None:
    assert filled(text.replace("{", "{{").replace("}", "}}")) == text
