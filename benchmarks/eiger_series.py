"""A series as an Eiger 4M writes it: 32-bit frames with gaps, bitshuffle-LZ4, three q-ROIs of 50,000 pixels.

The ROIs that are analysed are rings around the middle of the detector: they touch more of a frame than boxes, so
that a decoder which skips what it does not need can skip less.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.counts import speckles
from benchmarks.decode import SHAPE, module_gaps, rings
from benchmarks.rounds import tell
from gbx_beamline.frames import EigerHeader, EigerWriter

RINGS = 3
MEAN = 0.1
"""Photons per pixel and frame, inside the ROIs and outside."""


@dataclass(frozen=True, kw_only=True)
class EigerSeries:
    """What was written."""

    master: Path
    labels: Path
    """Label image (y, x), 1..3 in the ROIs."""
    frames: int
    where: NDArray[np.int64]
    """(P,) flat index of every pixel of the rings, ring after ring."""
    stored_bytes: int
    """Of the data files together."""


def write_series(folder: Path, frames: int, seed: int = 3) -> EigerSeries:
    """Write the series: speckles that move in the ROIs, Poisson background elsewhere.

    The background is cut from a fixed pool of counts at a random place in each frame: drawing 4.5 million counts
    anew would take longer than everything that is measured.
    """
    folder.mkdir()
    bad = module_gaps()
    labels = np.zeros(SHAPE, dtype=np.int32)
    for number, pixels in enumerate(rings().reshape(RINGS, -1), start=1):
        labels.ravel()[pixels] = number
    np.save(folder / "labels.npy", labels)
    rng = np.random.Generator(np.random.SFC64(seed))
    pool = rng.poisson(MEAN, 3 * labels.size // 2).astype(np.uint32)
    movie, inside = speckles(rng, frames, SHAPE), labels > 0
    header = EigerHeader(frame_time=0.01, count_time=0.01, nimages=frames, ntrigger=1, shape=SHAPE)
    with EigerWriter(
        folder, "bench", header=header, frames_per_file=100, dtype=np.uint32, pixel_mask=bad.astype(np.uint32)
    ) as writer:
        for frame in range(frames):
            tell(f"writing a series: frame {frame + 1} of {frames}")
            start = int(rng.integers(pool.size - labels.size))
            image = pool[start : start + labels.size].reshape(SHAPE).copy()
            image[inside] = rng.poisson(MEAN * next(movie)[inside])
            writer.append(image)
    return series_of(writer.master, folder / "labels.npy")


def series_of(master: Path, labels: Path) -> EigerSeries:
    """What lies in these files."""
    flat = np.load(labels).ravel()
    with h5py.File(master) as file:
        count = file["entry/instrument/detector/detectorSpecific/nimages"]
        assert isinstance(count, h5py.Dataset)
        frames = int(count[()])
    return EigerSeries(
        master=master,
        labels=labels,
        frames=frames,
        where=np.concatenate([np.flatnonzero(flat == number) for number in range(1, RINGS + 1)]),
        stored_bytes=sum(path.stat().st_size for path in master.parent.glob("*_data_*.h5")),
    )
