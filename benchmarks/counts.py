"""Photon counts with known statistics, as files that ours and the peers' process both read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHAPES = {500: (20, 25), 5_000: (50, 100), 50_000: (200, 250)}
"""(y, x) of a ROI of so many pixels."""
RELAXATION = 200.0
"""Frames in which the field correlation falls to 1/e."""
_SPECKLE = 2
"""Pixels along the side of a speckle."""


def write_counts(folder: Path, frames: int, pixels: int, means: Sequence[float], seed: int = 1) -> dict[float, Path]:
    """Counts (N, P) of fully developed speckle with exponential decay, a .npy for each mean.

    The same intensities (contrast 1) stand behind all means; stored as uint8, or uint16 where a mean needs it.

    Args:
        folder: Exists.
        frames: N.
        pixels: P, a key of ``SHAPES``.
        means: Counts per pixel and frame.
        seed: Same seed, same counts.
    """
    height, width = SHAPES[pixels]
    rng = np.random.Generator(np.random.SFC64(seed))
    files = {mean: folder / f"counts_{pixels}_{mean:g}.npy" for mean in means}
    shape = (frames, pixels)
    stored = {
        mean: np.lib.format.open_memmap(file, "w+", np.uint16 if mean > 5 else np.uint8, shape)
        for mean, file in files.items()
    }
    for frame, intensity in enumerate(speckles(rng, frames, (height, width))):
        for mean, counts in stored.items():
            counts[frame] = np.minimum(rng.poisson(intensity.ravel() * mean), np.iinfo(counts.dtype).max)
    for counts in stored.values():
        counts.flush()
    return files


def speckles(
    rng: np.random.Generator, frames: int, shape: tuple[int, int], relaxation: float = RELAXATION
) -> Iterator[NDArray[np.float32]]:
    """Intensities (y, x) of mean 1 and contrast 1, frame after frame."""
    coarse = tuple(-(-side // _SPECKLE) for side in shape)
    keep = np.float32(np.exp(-1.0 / relaxation))
    fresh = np.float32(np.sqrt(1.0 - keep**2))
    field = rng.standard_normal((2, *coarse), dtype=np.float32)
    for _ in range(frames):
        intensity = np.float32(0.5) * (field**2).sum(axis=0)
        yield np.repeat(np.repeat(intensity, _SPECKLE, 0), _SPECKLE, 1)[: shape[0], : shape[1]]
        field *= keep
        field += fresh * rng.standard_normal(field.shape, dtype=np.float32)
