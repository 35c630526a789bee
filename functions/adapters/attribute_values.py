"""DynamoDB's attribute values to plain values and back: what boto3's serializer does, for the types our records hold.

boto3 itself stays out of the functions: importing it costs half of the worker's cold start, and botocore has all that
they use of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def to_value(value: Any) -> dict[str, Any]:
    """A plain value as an attribute value: text, whole number, Decimal, bool, list, mapping or frozenset of texts.

    Raises:
        TypeError: for anything else; a float among it, since it may not be the number it shows.
    """
    match value:
        case str():
            return {"S": str(value)}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": str(value)}
        case frozenset():
            return {"SS": sorted(value)}
        case Mapping():
            return {"M": to_item(value)}
        case list() | tuple():
            return {"L": [to_value(member) for member in value]}
        case _:
            raise TypeError(f"{type(value).__name__} is not stored in DynamoDB here")


def from_value(value: Mapping[str, Any]) -> Any:
    """An attribute value as a plain value: numbers as Decimal, string sets as frozensets."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return Decimal(content)
        case "SS":
            return frozenset(content)
        case "M":
            return from_item(content)
        case "L":
            return [from_value(member) for member in content]
        case "S" | "BOOL":
            return content
        case _:
            raise TypeError(f"attribute values of type {kind} are not stored here")


def to_item(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a DynamoDB item."""
    return {name: to_value(value) for name, value in record.items()}


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """A DynamoDB item as a record."""
    return {name: from_value(value) for name, value in item.items()}
