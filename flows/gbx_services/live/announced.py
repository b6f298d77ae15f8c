"""What a start document says of the data files to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gbx_beamline.frames.following import DataFiles, find_series
from gbx_beamline.untrusted import confined

_LATEST = 1e11
"""Unix time, s: the year 5138. What lies beyond is no time of ours, and may be no float at all."""


@dataclass(frozen=True)
class Announced:
    """A run whose data files can be followed."""

    run: str
    """uid."""
    started: float
    """Unix time, s."""
    folder: str
    """Where the detector writes."""
    series: str | None
    """What the files' names begin with, where the plan knows it."""
    sequence: str | None
    """Number that the detector gives the series, with which that ends; CHX's plans know it."""

    def files(self, roots: Sequence[Path]) -> DataFiles | None:
        """The run's data files; None where none has appeared yet and no document names them.

        Raises:
            SeriesError: the folder is not below any of ``roots``, or a name that is none.
        """
        folder = confined(self.folder, roots)
        series = self.series or find_series(folder, since=self.started, sequence=self.sequence)
        return None if series is None else DataFiles(folder, series, roots=roots)


def announced(start: Mapping[str, Any]) -> Announced | None:
    """Read a start document; None where it tells of no data files, as most alignment scans.

    Never raises: documents say anything.
    """
    run, started, folder = start.get("uid"), start.get("time"), start.get("data path")
    if not isinstance(run, str) or not isinstance(folder, str) or not folder.strip():
        return None
    if isinstance(started, bool) or not isinstance(started, int | float) or not abs(started) < _LATEST:
        return None
    prefix = start.get("file prefix")
    return Announced(
        run=run,
        started=float(started),
        folder=folder.strip(),
        series=prefix if isinstance(prefix, str) and prefix else None,
        sequence=_sequence(start.get("sequence id")),
    )


def _sequence(value: object) -> str | None:
    """A whole number, however it is written: CHX's documents have text, some of it "1234.0"."""
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, OverflowError):
        return None
    return str(int(number)) if number.is_integer() and number >= 0 else None
