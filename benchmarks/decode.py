"""What it costs to get pixels out of Eiger 4M frames: h5py against ``frames.picking``, one thread each.

Times are processor time of this process, because the machine may have other users; rounds are interleaved and
medians compared, and under 1.5 times is no difference.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.frames import EigerHeader, EigerWriter, open_series
from gbx_beamline.frames.picking import pick

SHAPE = (2167, 2070)
ROI_PIXELS = 50_000
BASELINE = "h5py, whole frames"


def main() -> None:
    """Print the medians and ratios for dim and bright frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for mean in (0.1, 1.0):
        medians = measure(mean, frames=options.frames, rounds=options.rounds)
        print(f"{options.frames} uint32 frames of {SHAPE[0]} x {SHAPE[1]}, {mean:g} counts a pixel, ms a frame")
        for name, seconds in medians.items():
            print(f"  {name:<40} {1e3 * seconds:7.2f}   {medians[BASELINE] / seconds:5.1f} x")


def measure(mean: float, *, frames: int, rounds: int, dtype: Any = np.uint32) -> dict[str, float]:
    """Median processor seconds for a frame, by way.

    Args:
        mean: Counts per pixel.
        frames: In the series.
        rounds: Interleaved; one more warms up.
        dtype: uint8, uint16 or uint32.
    """
    with tempfile.TemporaryDirectory() as folder:
        master = write_series(Path(folder), frames, mean, dtype)
        ways = decoding_ways(master)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(rounds + 1):
            for name, way in ways.items():
                began = time.process_time()
                way()
                if turn:
                    seconds[name].append((time.process_time() - began) / frames)
    return {name: statistics.median(values) for name, values in seconds.items()}


def module_gaps() -> NDArray[np.bool_]:
    """(y, x) True between the eight modules of an Eiger 4M."""
    gaps = np.zeros(SHAPE, dtype=bool)
    gaps[:, 1030:1040] = True
    for row in (514, 1065, 1616):
        gaps[row : row + 37] = True
    return gaps


def write_series(folder: Path, frames: int, mean: float, dtype: Any = np.uint32) -> Path:
    """A series of Poisson counts, with gaps that read as the dtype's maximum; returns its master."""
    rng = np.random.default_rng(1)
    # A few distinct frames tell as much as many: what is timed never sees two at once.
    distinct = rng.poisson(mean, (min(8, frames), *SHAPE)).astype(dtype)
    header = EigerHeader(frame_time=1e-3, count_time=1e-3, nimages=frames, ntrigger=1, shape=SHAPE)
    mask = module_gaps().astype(np.uint32)
    with EigerWriter(folder, "bench", header=header, dtype=dtype, pixel_mask=mask) as writer:
        for index in range(frames):
            writer.append(distinct[index % len(distinct)])
    return writer.master


def rings() -> NDArray[np.int64]:
    """(P,) pixels of three rings of 50,000 pixels, ring after ring."""
    y, x = np.indices(SHAPE)
    radius = np.hypot(y - 1083.0, x - 900.0).ravel()
    radius[module_gaps().ravel()] = np.inf
    chosen = []
    for inner in (200, 400, 700):
        outside = np.flatnonzero(radius >= inner)
        chosen.append(np.sort(outside[np.argsort(radius[outside], kind="stable")[:ROI_PIXELS]]))
    return np.concatenate(chosen)


def boxes() -> NDArray[np.int64]:
    """(P,) pixels of three boxes of 50,000 pixels, box after box."""
    rows = np.arange(600, 850)[:, None] * SHAPE[1]
    return np.concatenate([(rows + np.arange(left, left + 200)).ravel() for left in (100, 500, 1400)])


def decoding_ways(master: Path) -> dict[str, Callable[[], object]]:
    """The ways that are compared, by name."""
    series = open_series(master)
    chosen = {
        "picked, all pixels but the gaps": np.flatnonzero(~module_gaps().ravel()),
        "picked, all pixels": np.arange(SHAPE[0] * SHAPE[1]),
        "picked, three rings of 50,000 pixels": rings(),
        "picked, three boxes of 50,000 pixels": boxes(),
    }

    def picking(where: NDArray[np.int64]) -> Callable[[], object]:
        return lambda: sum(len(block.rows) for block in pick(series, where, threads=1))

    ways: dict[str, Callable[[], object]] = {BASELINE: lambda: whole_frames(master)}
    return ways | {name: picking(where) for name, where in chosen.items()}


def whole_frames(master: Path) -> int:
    """Read every frame with h5py alone, into one buffer."""
    total = 0
    for path in sorted(master.parent.glob("*_data_*.h5")):
        with h5py.File(path) as file:
            data = file["entry/data/data"]
            assert isinstance(data, h5py.Dataset)
            frame = np.empty((1, *data.shape[1:]), dtype=data.dtype)
            for index in range(len(data)):
                data.read_direct(frame, np.s_[index : index + 1])
                total += 1
    return total


if __name__ == "__main__":
    hdf5plugin.register("bshuf")
    main()
