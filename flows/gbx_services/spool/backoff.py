"""How long to wait before the next try."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Delays that double, with jitter, so that what failed together does not come back together."""

    first: float
    """s."""
    longest: float
    """s; also how far ahead a waiting job's time can lie."""
    jitter: float = 0.5
    """Share of the delay that is left to chance."""
    chance: Callable[[], float] = random.random
    """In [0, 1)."""

    def delay(self, tries: int) -> float:
        """Seconds to wait after ``tries`` tries, one at least."""
        # The exponent is bounded: a run that waits for its documents may be tried for weeks.
        full = min(self.first * 2.0 ** min(max(tries - 1, 0), 60), self.longest)
        return full * (1.0 - self.jitter * self.chance())
