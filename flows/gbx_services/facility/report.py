"""How the parts of a facility are, as its keeper writes it for whoever asks."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPORT = "parts.json"


@dataclass(frozen=True)
class PartState:
    """How a part is."""

    name: str
    address: str
    trouble: str
    """Empty: it does its work."""
    pid: int | None


@dataclass(frozen=True)
class Report:
    """What the keeper says of itself and of the parts that it has started so far."""

    ready: bool
    failure: str
    """Why it gave up; empty otherwise."""
    seen: float
    """Unix time, s."""
    parts: tuple[PartState, ...]


def read_report(directory: Path) -> Report | None:
    """What the keeper of a folder said last; None where it has said nothing."""
    try:
        said: dict[str, Any] = json.loads((directory / REPORT).read_text())
        return Report(**{**said, "parts": tuple(PartState(**one) for one in said["parts"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_report(directory: Path, report: Report) -> None:
    """Replace what was said last, at once."""
    new = directory / f"{REPORT}.new"
    new.write_text(json.dumps(asdict(report)))
    new.replace(directory / REPORT)


def forget_report(directory: Path) -> None:
    """Remove what an earlier keeper said, before a new one is asked for."""
    (directory / REPORT).unlink(missing_ok=True)
