"""The batches table, uploads and time, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from functions.core.batches.records import OPEN, Batch, Part, batch_from_record, part_from_record, part_record
from functions.core.writes import Write, apply
from tests.fakes.stores import MemoryObjects
from tests.fakes.virtual_time import START_MS


class MemoryBatches:
    """The batches table. Implements `functions.core.batches.records.BatchStore`."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.part_records: dict[str, dict[int, dict[str, Any]]] = {}

    def get(self, batch_id: str) -> Batch | None:
        return batch_from_record(self.records[batch_id]) if batch_id in self.records else None

    def write(self, batch_id: str, write: Write) -> Batch:
        self.records[batch_id] = apply(write, self.records.get(batch_id, {}))
        return batch_from_record(self.records[batch_id])

    def open_batches(self) -> tuple[str, ...]:
        listed = [record for record in self.records.values() if record["listing"] == OPEN]
        return tuple(record["batch_id"] for record in sorted(listed, key=lambda record: record["created_at"]))

    def get_part(self, batch_id: str, offset: int) -> Part | None:
        record = self.part_records.get(batch_id, {}).get(offset)
        return part_from_record(record) if record else None

    def parts(self, batch_id: str) -> Iterator[Part]:
        parts = self.part_records.get(batch_id, {})
        return (part_from_record(parts[offset]) for offset in sorted(parts))

    def add_part(self, batch_id: str, part: Part, write: Write) -> bool:
        parts = self.part_records.setdefault(batch_id, {})
        if part.offset in parts:
            return False
        self.write(batch_id, write)
        parts[part.offset] = part_record(part)
        return True


@dataclass
class MemoryUpload:
    """An object of a `MemoryObjects` bucket that is being written. Implements `functions.core.ports.Upload`."""

    bucket: MemoryObjects
    key: str
    pieces: list[bytes] = field(default_factory=list)

    def write(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def finish(self) -> None:
        self.bucket.objects[self.key] = b"".join(self.pieces)

    def discard(self) -> None:
        self.pieces.clear()


@dataclass
class ManualClock:
    """Time that passes when a test says so. Implements `functions.core.ports.Clock`."""

    now: int = START_MS

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)

    def pass_time(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
