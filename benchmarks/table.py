"""Tables of results: as text on the screen, as Markdown in RESULTS.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """One topic."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """What a reader must know to believe the numbers, a sentence or two each."""

    def text(self) -> str:
        """For a terminal."""
        widths = [max(len(row[k]) for row in (self.columns, *self.rows)) for k in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (self.columns, *self.rows)
        ]
        return "\n".join([self.title, *(f"  {line}" for line in lines), *(f"  - {note}" for note in self.notes)])

    def markdown(self) -> str:
        """For a file."""
        lines = [" | ".join(row) for row in (self.columns, ("---",) * len(self.columns), *self.rows)]
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([f"## {self.title}", "", *(f"| {line} |" for line in lines), *([""] if notes else []), *notes])
