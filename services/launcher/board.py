"""A few live lines on a terminal; on anything else, a line for each thing that has ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text


class Mark(StrEnum):
    """Where a line stands."""

    WAITING = "waiting"
    BUSY = "busy"
    DONE = "done"
    FAILED = "failed"


_SIGNS = {
    Mark.WAITING: Text("·", style="dim"),
    Mark.DONE: Text("✓", style="green"),
    Mark.FAILED: Text("✗", style="red"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what, how it stands, and a few words."""

    name: str
    mark: Mark
    text: str = ""


class Board:
    """Shows rows while something goes on; what is shown last stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: dict[str, Row] = {}
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console, refresh_per_second=10, get_renderable=self._render, transient=False)

    def __enter__(self) -> Self:
        """Begins to show."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the last lines standing."""
        if self._console.is_terminal:
            self._live.stop()

    def show(self, *rows: Row) -> None:
        """Puts rows in, by name; new ones below."""
        for row in rows:
            before = self._rows.get(row.name)
            self._rows[row.name] = row
            ended = row.mark in _SIGNS and row.mark is not Mark.WAITING
            if not self._console.is_terminal and ended and (before is None or before.mark is not row.mark):
                self._console.print(_SIGNS[row.mark], row.name, Text(row.text, style="dim"))

    def _render(self) -> RenderableType:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=2, justify="right")
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="ellipsis", no_wrap=True)
        for row in self._rows.values():
            sign = _SIGNS.get(row.mark, self._spinner)
            grid.add_row(sign, Text(row.name), Text(row.text, style="dim"))
        return grid
