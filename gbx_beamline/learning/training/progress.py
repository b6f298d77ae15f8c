"""How far a training is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """After a step."""

    step: int
    """Steps that are done."""
    steps: int
    """In all."""
    loss: float
    """Mean over the last steps; nats per scan."""
    scans_per_second: float
    """Of this call."""
    seconds_left: float
    waiting: float
    """Share of the time in which scans were waited for."""
    validation: Mapping[str, float] = field(default_factory=dict)
    """Of the last look at scans that training does not see."""
