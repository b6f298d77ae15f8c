"""``make bench``: what each step of the chain costs, as ratios within one run on this machine.

Absolute times depend on the machine and on who else uses it; rounds are interleaved and medians compared, and under
1.5 times is no difference.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np

from gbx_beamline import analyze, open_series, two_time
from gbx_beamline.config import parse_config
from gbx_beamline.frames import EigerHeader, EigerWriter
from gbx_beamline.simulation import SpeckleMovie

SHAPE = (512, 512)


def main() -> None:
    """Write a series, then time each way through it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        master, labels = prepare(Path(folder), options.frames)
        report(measure(steps(master, labels), options.rounds), options)


def prepare(folder: Path, frames: int) -> tuple[Path, np.ndarray]:
    """An Eiger series of speckles, and three q-ROIs of 26,000 pixels."""
    movie = SpeckleMovie(SHAPE, frames, rate=1e-3, frame_time=4.0, modes=1, mean_counts=1.0, seed=1)
    header = EigerHeader(frame_time=4.0, count_time=4.0, nimages=frames, ntrigger=1, shape=SHAPE)
    with EigerWriter(folder, "bench", header=header, frames_per_file=100, dtype=np.uint16) as writer:
        for frame in movie:
            writer.append(frame)
    labels = np.zeros(SHAPE, dtype=np.int32)
    for roi in range(3):
        labels[120:380, 50 + 120 * roi : 150 + 120 * roi] = roi + 1
    np.save(folder / "labels.npy", labels)
    return writer.master, labels


def steps(master: Path, labels: np.ndarray) -> dict[str, Callable[[], object]]:
    """The ways that are compared, by name."""
    config = parse_config({"analysis": {"rois": {"labels": str(master.parent / "labels.npy")}}})
    pixels = np.flatnonzero(labels.ravel() == 1)
    series = open_series(master)
    counts = np.concatenate([block.reshape(len(block), -1)[:, pixels] for _, block in series.blocks()])
    wide = counts.astype(np.float64)
    return {
        "plain h5py, every frame": lambda: plain(master),
        "Series.blocks, every frame": lambda: sum(len(block) for _, block in open_series(master).blocks()),
        "float64 product of one ROI": lambda: wide @ wide.T,
        "two_time of one ROI": lambda: two_time(counts, np.ones(len(pixels), dtype=np.int32)),
        "analyze, three ROIs": lambda: analyze(open_series(master), config),
    }


def plain(master: Path) -> int:
    """Read all data files with h5py alone."""
    total = 0
    for path in sorted(master.parent.glob("*_data_*.h5")):
        with h5py.File(path) as file:
            data = file["entry/data/data"]
            assert isinstance(data, h5py.Dataset)
            total += len(data[:])
    return total


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each way, rounds interleaved."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def report(seconds: dict[str, float], options: argparse.Namespace) -> None:
    """Print medians and the ratios that matter."""
    print(f"{options.frames} frames of {SHAPE[0]} x {SHAPE[1]}, median of {options.rounds} interleaved rounds")
    for name, value in seconds.items():
        print(f"  {name:<28} {value:8.3f} s")
    ratios = (
        ("Series.blocks, every frame", "plain h5py, every frame"),
        ("two_time of one ROI", "float64 product of one ROI"),
        ("analyze, three ROIs", "Series.blocks, every frame"),
    )
    print("ratios")
    for above, below in ratios:
        print(f"  {above} / {below}: {seconds[above] / seconds[below]:.2f}")


if __name__ == "__main__":
    main()
