"""Random streams that do not disturb each other: one for every purpose of a simulated scan."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from gbx_beamline.errors import InputError


class Purpose(IntEnum):
    """What a stream is drawn for. A number once given to a purpose stays with it: it is part of a seed's scan.

    Numbers above 100 are those of the boundary's own draw, which may share the seed.
    """

    FLUX = 1
    MOTION = 2
    MONITOR = 3
    BAD_FRAMES = 4
    BEAM_DUMP = 5
    FIELDS = 6
    PHOTONS = 7
    OUTLIERS = 8
    MAPS = 9


def stream(seed: int, purpose: Purpose, *index: int) -> np.random.Generator:
    """Generator of one purpose: switching an effect on or off leaves the draws of the others as they were.

    Args:
        seed: of the scan, 0 or more.
        purpose: what is drawn.
        index: which one, e.g. the q-ROI.

    Raises:
        InputError: a negative seed.
    """
    if seed < 0:
        raise InputError(f"seed {seed}", needed="0 or more", action="correct the seed")
    # A spawn key, not further entropy: SeedSequence takes (1, 2) and (1, 2, 0) for the same entropy.
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(int(purpose), *index))))
