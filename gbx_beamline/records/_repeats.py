"""What several scans of one sample say together."""

from __future__ import annotations

from dataclasses import dataclass

DIFFERENT = 0.01
"""Probability of the scatter under noise alone below which repeats are called different."""


@dataclass(frozen=True, kw_only=True)
class Combined:
    """One quantity measured in several scans."""

    value: float
    """Mean of the scans, weighted by what each is worth."""
    low: float
    high: float
    """``low..high``: 95 % confidence interval of ``value``."""
    error: float
    """Standard error of ``value``: noise of the single scans and what they differ by beyond it."""
    between: float
    """Standard deviation between scans beyond their noise; 0 where noise explains the scatter."""
    chi2: float
    """Squared deviations from the weighted mean over the scans' own variances; about ``count - 1`` where noise explains
    the scatter."""
    p_value: float
    """Probability of at least this scatter under noise alone (Welch's test); NaN for a single scan."""
    count: int
    """Scans."""

    @property
    def different(self) -> bool:
        """Whether the scans differ by more than their noise."""
        return self.p_value < DIFFERENT
