"""Runs of the simulated Eiger, taken with a real RunEngine and written to a real catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import numpy as np
from bluesky import RunEngine
from bluesky_tiled_plugins.writing.tiled_writer import TiledWriter
from numpy.typing import NDArray
from tiled.client.container import Container

from gbx_beamline.records import Geometry
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.legacy_eiger import SPEC_TO_MIMETYPE, EigerNormalizer

ROWS, COLUMNS = 24, 31
GEOMETRY = Geometry(
    shape=(ROWS, COLUMNS),
    beam_center_x=10.25,
    beam_center_y=-3.0,
    distance=10.08,
    wavelength=1.2848e-10,
    pixel_size_x=75e-6,
    pixel_size_y=75e-6,
)


@dataclass(frozen=True)
class Taken:
    """One run and what its frames must be."""

    uid: str
    frames: NDArray[np.uint16]
    """(N, y, x) as the files must hold them: masked pixels at the dtype's maximum."""
    pixel_mask: NDArray[np.uint32]
    files: list[Path]


def writer(raw: Container) -> TiledWriter:
    """A TiledWriter as the beamline uses it."""
    return TiledWriter(raw, batch_size=1, normalizer=EigerNormalizer, spec_to_mimetype=SPEC_TO_MIMETYPE)


def movie(frames: int, seed: int) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Poisson counts, each frame different, and a mask with a gap and a noisy pixel."""
    counts = np.random.default_rng(seed).poisson(3.0, (frames, ROWS, COLUMNS)).astype(np.uint16)
    mask = np.zeros((ROWS, COLUMNS), dtype=np.uint32)
    mask[5], mask[9, 7] = 1, 16
    return counts, mask


def take(raw: Container, folder: Path, *, per_series: int, seed: int = 0, frames_per_file: int = 10) -> Taken:
    """Two triggers of 25 frames over several data files, ``per_series`` triggers to a master."""
    counts, mask = movie(50, seed)
    before = set(folder.glob("*.h5"))
    feed = ReplayFeed(counts, pixel_mask=mask)
    eiger = SimulatedEiger(directory=folder, feed=feed, geometry=GEOMETRY, frames_per_file=frames_per_file)
    settings: Any = eiger.cam
    settings.num_images.put(25)
    settings.num_triggers.put(per_series)
    settings.acquire_period.put(0.5)
    engine = RunEngine()
    engine.subscribe(writer(raw))
    outcome: Any = engine(bp.count([eiger], num=2), sample="gold")
    expected = counts.copy()
    expected[:, mask != 0] = np.iinfo(np.uint16).max
    return Taken(outcome[0], expected, mask, sorted(set(folder.glob("*.h5")) - before))
