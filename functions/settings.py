"""What each function is told by its environment, read once into a frozen record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar


class SettingsError(Exception):
    """Raised when environment variables are missing or unreadable; names all of them at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitterSettings:
    """Settings of the splitter. `chunk_rows`: rows of a chunk; `lane_queues`: queue URL by model."""

    inbox_bucket: str
    metadata_bucket: str
    jobs_table: str
    batches_table: str
    intake_queue_url: str
    reports_queue_url: str
    lane_queues: Mapping[str, str]
    chunk_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of one lane's worker. `lane` is the model's name; the mappings go by account.

    `api_url` is where providers reach us, empty where they shall not; `callback_secret` is the secret id of what
    callback URLs are signed with.
    """

    lane: str
    jobs_table: str
    lanes_table: str
    images_bucket: str
    metadata_bucket: str
    lane_queue_url: str
    dead_letter_queue_url: str
    provider_urls: Mapping[str, str]
    provider_secrets: Mapping[str, str]
    lease_seconds: int
    api_url: str
    callback_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionSettings:
    """Settings of the completion function. `lane_queues` goes by model, the other mappings by account."""

    jobs_table: str
    images_bucket: str
    metadata_bucket: str
    lane_queues: Mapping[str, str]
    provider_urls: Mapping[str, str]
    provider_secrets: Mapping[str, str]
    webhook_secrets: Mapping[str, str]
    callback_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """Settings of the tracker."""

    batches_table: str
    reports_queue_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReporterSettings:
    """Settings of the reporter."""

    metadata_bucket: str
    jobs_table: str
    batches_table: str
    intake_queue_url: str
    reports_queue_url: str


T = TypeVar("T")


def read_settings(kind: type[T], environment: Mapping[str, str]) -> T:
    """Read a settings record from environment variables named after its fields in capitals.

    Raises:
        SettingsError: naming every variable that is missing or has a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for field in fields(kind):  # type: ignore[arg-type]  # every kind is a dataclass of this module
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
