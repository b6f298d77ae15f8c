"""Random streams of a boundary draw: one for every purpose, so that no draw depends on another."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Draws(IntEnum):
    """What a stream is drawn for. A number once given stays: it is part of what a seed means."""

    # Below 100 are the purposes of the measurement, which may share the seed.
    NOISE = 101
    SIZES = 102
    ORIENTATIONS = 103
    AVALANCHES = 104


def stream(seed: int, purpose: Draws) -> np.random.Generator:
    """Generator of one purpose of a draw."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(int(purpose),))))
