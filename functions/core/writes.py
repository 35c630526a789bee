"""Conditional writes, said without a database.

The rules (lifecycle, pacing) return a `Write`; an adapter carries it out and nothing else. The same value can be
applied to a plain dict, which is what fakes and the property tests do, so rule and test cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Value = str | int | Decimal | bool | frozenset[str] | Mapping[str, int] | Mapping[str, str] | Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Missing:
    """Holds when the attribute is not there."""

    attribute: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """Holds when the attribute is one of these values."""

    attribute: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class AtMost:
    """Holds when the attribute is a number not above the bound."""

    attribute: str
    bound: int | Decimal


@dataclass(frozen=True, slots=True)
class Above:
    """Holds when the attribute is a number above the bound."""

    attribute: str
    bound: int | Decimal


@dataclass(frozen=True, slots=True)
class Lacks:
    """Holds when the set attribute is not there or has no such member."""

    attribute: str
    member: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds when every part holds; without parts, always."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds when at least one part holds."""

    parts: tuple[Condition, ...]


Condition = Missing | OneOf | AtMost | Above | Lacks | AllOf | AnyOf


def equals(attribute: str, value: Value) -> OneOf:
    """The condition that an attribute has exactly this value."""
    return OneOf(attribute, (value,))


@dataclass(frozen=True, slots=True)
class Write:
    """One conditional write on one record.

    Attributes:
        name: what it is called in logs and in the tests that take conditions away.
        when: it happens only if this holds at that moment.
        sets: attributes and their new values.
        removes: attributes that go.
        adds: numbers that are added to attributes (a missing attribute counts as 0).
        joins: members that are added to set attributes.
    """

    name: str
    when: Condition
    sets: Mapping[str, Value] = field(default_factory=dict)
    removes: tuple[str, ...] = ()
    adds: Mapping[str, int | Decimal] = field(default_factory=dict)
    joins: Mapping[str, str] = field(default_factory=dict)


class StaleWriteError(Exception):
    """Raised when a write's condition did not hold. `record` is what is stored instead, empty if nothing is."""

    def __init__(self, write: Write, record: Mapping[str, Any]) -> None:
        super().__init__(f"{write.name}: the record has moved on")
        self.write = write
        self.record = record


def holds(condition: Condition, record: Mapping[str, Any]) -> bool:
    """Whether a condition holds for a record (an empty mapping stands for no record)."""
    match condition:
        case Missing(attribute):
            return attribute not in record
        case OneOf(attribute, values):
            return attribute in record and record[attribute] in values
        case AtMost(attribute, bound):
            return attribute in record and record[attribute] <= bound
        case Above(attribute, bound):
            return attribute in record and record[attribute] > bound
        case Lacks(attribute, member):
            return member not in record.get(attribute, ())
        case AllOf(parts):
            return all(holds(part, record) for part in parts)
        case AnyOf(parts):
            return any(holds(part, record) for part in parts)


def apply(write: Write, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record after the write.

    Raises:
        StaleWriteError: when its condition does not hold.
    """
    if not holds(write.when, record):
        raise StaleWriteError(write, record)
    after = {**record, **write.sets}
    for attribute in write.removes:
        after.pop(attribute, None)
    for attribute, amount in write.adds.items():
        after[attribute] = after.get(attribute, 0) + amount
    for attribute, member in write.joins.items():
        after[attribute] = frozenset(after.get(attribute, frozenset())) | {member}
    return after
