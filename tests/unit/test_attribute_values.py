"""Attribute values as boto3's own serializer makes and reads them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.attribute_values import from_item, from_value, to_item, to_value

leaves = (
    st.text()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9)
    | st.frozensets(st.text(), min_size=1, max_size=4)
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


def _set(value: Any) -> Any:
    """As boto3 wants it: sets, not frozensets."""
    match value:
        case frozenset():
            return set(value)
        case dict():
            return {name: _set(member) for name, member in value.items()}
        case list():
            return [_set(member) for member in value]
    return value


def _sorted(value: Any) -> Any:
    match value:
        case {"SS": members}:
            return {"SS": sorted(members)}
        case dict():
            return {name: _sorted(member) for name, member in value.items()}
        case list():
            return [_sorted(member) for member in value]
    return value


@given(values)
def test_a_value_is_written_as_boto3_writes_it(value: Any) -> None:
    assert to_value(value) == _sorted(TypeSerializer().serialize(_set(value)))


@given(values)
def test_a_value_is_read_as_boto3_reads_it(value: Any) -> None:
    stored: Any = to_value(value)
    assert _set(from_value(stored)) == TypeDeserializer().deserialize(stored)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_a_record_comes_back_as_it_was(record: dict[str, Any]) -> None:
    assert from_item(to_item(record)) == record


@pytest.mark.parametrize("value", [0.1, None, {1, 2}, b"bytes"])
def test_what_the_records_never_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        to_value(value)


def test_a_number_keeps_every_digit() -> None:
    assert from_value(to_value(Decimal("0.00310"))) == Decimal("0.0031")
