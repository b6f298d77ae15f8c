"""Interleaved rounds: every way once per round, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

SLOW = 20.0
"""s. A way that takes longer in its first round is not repeated: its spread is then unknown."""
BUSY = 1.25
"""Wall clock over processor time from which on the machine is called busy."""


class Clock(NamedTuple):
    """What one run took."""

    wall: float
    """s that passed."""
    processor: float
    """s of processor time. With one thread and no waiting the two are equal; more wall means a busy machine."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of one way, a value for each round."""

    seconds: tuple[float, ...]
    """By the clock on the wall."""
    processor: tuple[float, ...]

    @property
    def median(self) -> float:
        """s."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float | None:
        """(largest - smallest) / median; None for a single round."""
        return (max(self.seconds) - min(self.seconds)) / self.median if len(self.seconds) > 1 else None

    @property
    def busy(self) -> float:
        """Wall clock over processor time: 1 on a quiet machine."""
        return sum(self.seconds) / max(sum(self.processor), 1e-9)

    def __str__(self) -> str:
        value = f"{self.median:.3g}" if self.median < 1000 else f"{self.median:.0f}"
        return f"{value} s" + ("" if self.spread is None else f" ±{50 * self.spread:.0f} %")


Way = Callable[[], Clock]


def clocked(work: Callable[[], object]) -> Way:
    """A way that tells what ``work`` took."""

    def way() -> Clock:
        wall, processor = time.perf_counter(), time.process_time()
        work()
        return Clock(time.perf_counter() - wall, time.process_time() - processor)

    return way


def interleave(ways: Mapping[str, Way], rounds: int, *, say: str = "") -> dict[str, Measured]:
    """Time every way once per round.

    Args:
        ways: By name; each does its work and tells what it took.
        rounds: At least 1.
        say: What is being measured, for whoever waits.

    Returns:
        By name; a way that failed (RuntimeError) is left out, and stderr says why.
    """
    clocks: dict[str, list[Clock]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            if name in clocks and (not clocks[name] or clocks[name][0].wall < SLOW):
                tell(f"{say}: {name}")
                try:
                    clocks[name].append(way())
                except RuntimeError as failed:
                    print(f"{say}: {name} left out: {failed}", file=sys.stderr)
                    del clocks[name]
    return {
        name: Measured(seconds=tuple(c.wall for c in found), processor=tuple(c.processor for c in found))
        for name, found in clocks.items()
    }


def busy_note(measured: Iterable[Measured]) -> str:
    """Whether other work disturbed these measurements."""
    worst = max((each.busy for each in measured), default=1.0)
    said = f"Wall clock over processor time was at most {worst:.2f}"
    return f"{said}: the machine was busy with other work, believe nothing." if worst > BUSY else f"{said}."


def tell(what: str) -> None:
    """Say on stderr what goes on; results go to stdout."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def ratio(above: Measured | None, below: Measured) -> str:
    """``above / below`` of the medians, for a table."""
    return "" if above is None else f"{above.median / below.median:.2f}"
