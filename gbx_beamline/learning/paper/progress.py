"""How far a stage of the paper's training is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class StageProgress:
    """After a step."""

    stage: str
    """"vanilla", "surrogate" or "adaptation"."""
    step: int
    """Steps that are done."""
    steps: int
    """In all."""
    loss: float
    """Of this step."""
    seconds_left: float
    validation: Mapping[str, float] = field(default_factory=dict)
    """Of the last look at what training does not see."""


Progress = Callable[[StageProgress], None]
Stop = Callable[[], bool]
"""Asked after every step; True ends as an interruption does."""
