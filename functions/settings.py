"""What a function is told by its environment, read once into a frozen record.

Each record stands in functions/runtime, beside what is made of it: making one costs every cold start some time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar


class SettingsError(Exception):
    """Raised when environment variables are missing or unreadable; names all of them at once."""


T = TypeVar("T")


def read_settings(kind: type[T], environment: Mapping[str, str]) -> T:
    """Read a settings record from environment variables named after its fields in capitals.

    Raises:
        SettingsError: naming every variable that is missing or has a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field in fields(kind):  # type: ignore[arg-type]  # every kind is a dataclass
        variable = field.name.upper()
        text = environment.get(variable)
        if text is None:
            if field.default is MISSING:
                wrong.append(f"{variable} is missing")
            continue
        try:
            values[field.name] = _convert(str(field.type), text)
        except ValueError:
            wrong.append(f"{variable} is not a {'number' if field.type == 'int' else 'JSON object'}")
    if wrong:
        raise SettingsError(f"{kind.__name__}: {'; '.join(wrong)}")
    return kind(**values)


def _convert(type_name: str, text: str) -> Any:
    if type_name == "int":
        return int(text)
    if type_name.startswith("Mapping"):
        return json.loads(text)
    return text
