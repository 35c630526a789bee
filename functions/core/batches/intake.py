"""What happens to the messages of the intake queue: an upload is scanned, cut into chunks, and its jobs are rung.

    Uploaded ──► Scan ─┬► Chunk ─┬► doorbells of the first jobs
                  ▲    ├► Chunk  ├► Ring ─► a slice of doorbells, then Ring again
                  └────┘         └► Chunk, of the rows that were too many pictures
Each step may run twice, or die anywhere and run again, and changes nothing by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from functions.core.batches.chunking import Chunker
from functions.core.batches.messages import Chunk, IntakeMessage, Ring, Scan, Uploaded
from functions.core.batches.ringing import Ringer
from functions.core.batches.scanning import Scanner


@dataclass(frozen=True, slots=True)
class Splitter:
    """Everything that the intake queue's messages ask for."""

    scanner: Scanner
    chunker: Chunker
    ringer: Ringer

    def handle(self, message: IntakeMessage, remaining: Callable[[], float]) -> None:
        """Do what a message asks for. `remaining`: seconds that are left of this invocation."""
        match message:
            case Uploaded():
                self.scanner.start(message, remaining)
            case Scan():
                self.scanner.scan(message, remaining)
            case Chunk():
                self.chunker.split(message)
            case Ring():
                self.ringer.turn(message)
