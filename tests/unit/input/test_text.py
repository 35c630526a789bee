"""Numbers and names as people type them into cells."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.core.input.text import (
    canonical_decimal,
    decimal_number,
    field_key,
    listing,
    normalize_text,
    whole_number,
)


@pytest.mark.parametrize("text", ["1024", " 1024 ", "+1024", "1024.", "1024.0", "1024,00", "01024"])
def test_whole_numbers_are_read_in_every_notation_of_a_spreadsheet(text: str) -> None:
    assert whole_number(text) == 1024


@pytest.mark.parametrize("text", ["", "abc", "1.5", "1,024", "1 024", "1e3", "0x10", "١٠٢٤", "1" * 16, "--1"])
def test_what_may_mean_something_else_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        whole_number(text)


@pytest.mark.parametrize(("text", "number"), [("3.50", "3.5"), ("3,5", "3.5"), ("-0", "0"), ("7", "7"), ("7.", "7")])
def test_decimal_points_and_commas_are_read(text: str, number: str) -> None:
    assert decimal_number(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "x", "1,024", "1.2.3", "nan", "inf", "1e3"])
def test_what_may_mean_something_else_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        decimal_number(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=6))
def test_a_canonical_number_is_the_same_number_in_plain_notation(number: Decimal) -> None:
    text = canonical_decimal(number)
    assert Decimal(text) == number
    assert "E" not in text
    assert canonical_decimal(Decimal(text)) == text


@given(st.text())
def test_normal_text_stays_as_it_is(text: str) -> None:
    normal = normalize_text(text)
    assert normalize_text(normal) == normal


@pytest.mark.parametrize("name", ["negative_prompt", "Negative Prompt", " NEGATIVE-prompt ", "negative  prompt"])
def test_names_of_fields_are_compared_in_any_spelling(name: str) -> None:
    assert field_key(name) == "negative_prompt"


def test_long_listings_are_cut() -> None:
    assert listing([]) == "none"
    assert listing(["a"]) == "'a'"
    assert listing(["a", "b", "c"]) == "'a', 'b' and 'c'"
    assert listing(["a"] * 50, limit=2) == "'a', 'a' and 48 more"
