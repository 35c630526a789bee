"""Where text meets the terminal: nothing that comes from a file or a provider gives orders to it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# C0, DEL and C1 but for line ends; Rich has made spaces of tabs. Its own escape sequences come later, and its
# movements of the cursor are control segments.
_ORDERS = dict.fromkeys(code for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\n"))


class Terminal(Console):
    """A Rich console that prints text without the control characters in it: a file name cannot move the cursor."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console.render`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=segment.text.translate(_ORDERS))
