"""The whole chain on Eiger 4M frames, beside decoding alone: seconds, and the most memory held."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
from numpy.typing import NDArray

from benchmarks.decode import ROI_PIXELS, SHAPE
from benchmarks.eiger_series import EigerSeries, write_series
from benchmarks.memory import peak_of
from benchmarks.rounds import Measured, Way, busy_note, clocked, interleave, ratio
from benchmarks.table import Table
from gbx_beamline import analyze, open_series, two_time
from gbx_beamline.config import Config, parse_config
from gbx_beamline.frames import picking
from gbx_beamline.records import ScanResult

H5PY, OPEN, PICK = "h5py, whole frames", "open_series", "open_series and pick, three rings"
ROI, ANALYZE = "two_time, one ring from memory", "analyze, three rings"
CHAIN_AIM, DECODE_AIM, SHARE_AIM = 1.15, 1.5, 0.1
WARM_UP = 32
"""Frames of a series that is analysed once before, so that nothing is compiled on the clock."""
MEMORY_AIM = 1.5
"""GB, for the whole chain on 2,500 frames."""


def run(folder: Path, frames: int, *, quick: bool) -> list[Table]:
    """Time decoding, picking, one ROI's correlation and the whole chain in interleaved rounds.

    Args:
        folder: For the series, 0.75 MB a frame.
        frames: How many.
        quick: Two rounds instead of three.
    """
    whole_chain(write_series(folder / "compiling", WARM_UP))
    series = write_series(folder / "series", frames)
    measured = interleave(ways(series), 2 if quick else 3, say=f"chain, {series.frames} frames")
    return [seconds_table(series, measured), memory_table(series)]


def ways(series: EigerSeries) -> dict[str, Way]:
    """The ways that are compared, by name."""
    counts = roi_counts(series)
    return {
        H5PY: clocked(partial(read_frames, series)),
        OPEN: clocked(partial(open_series, series.master)),
        PICK: clocked(partial(pick_pixels, series)),
        ROI: clocked(partial(two_time, counts, np.ones(counts.shape[1], dtype=np.int32))),
        ANALYZE: clocked(partial(whole_chain, series)),
    }


def read_frames(series: EigerSeries) -> int:
    """Decode every frame with h5py into one array that is used again: the least that h5py can do."""
    frame = np.empty(SHAPE, dtype=np.uint32)
    read = 0
    for path in sorted(series.master.parent.glob("*_data_*.h5")):
        with h5py.File(path) as file:
            data = file["entry/data/data"]
            assert isinstance(data, h5py.Dataset)
            for index in range(len(data)):
                data.read_direct(frame, np.s_[index])
                read += 1
    return read


def pick_pixels(series: EigerSeries) -> int:
    """Our decoding of the ROI pixels, kept by nobody."""
    return sum(len(block.rows) for block in picking.pick(open_series(series.master), series.where, threads=1))


def roi_counts(series: EigerSeries) -> NDArray[np.uint8]:
    """(N, P) counts of the first ring."""
    blocks = picking.pick(open_series(series.master), series.where[:ROI_PIXELS], threads=1)
    return np.concatenate([block.rows for block in blocks])


def configuration(series: EigerSeries) -> Config:
    """Settings as a user has them, with the three ROIs."""
    return parse_config({"analysis": {"rois": {"labels": str(series.labels)}}})


def whole_chain(series: EigerSeries) -> ScanResult:
    """From the master file to the record."""
    return analyze(open_series(series.master), configuration(series))


def seconds_table(series: EigerSeries, measured: dict[str, Measured]) -> Table:
    """Seconds of each way and what they are to each other."""
    h5py_alone, pick, roi, chain = (measured[name] for name in (H5PY, PICK, ROI, ANALYZE))
    rows = [
        (name, str(seconds), f"{1e3 * seconds.median / series.frames:.2f}", "", "")
        for name, seconds in measured.items()
    ]
    rows += [
        ("h5py / open and pick", "", "", ratio(h5py_alone, pick), f">= {DECODE_AIM}"),
        ("two_time of one ring / h5py", "", "", f"{roi.median / h5py_alone.median:.3f}", f"< {SHARE_AIM}"),
        ("two_time of one ring / open and pick", "", "", f"{roi.median / pick.median:.3f}", f"< {SHARE_AIM}"),
        ("analyze / h5py", "", "", ratio(chain, h5py_alone), f"<= {CHAIN_AIM}"),
        ("analyze / open and pick", "", "", ratio(chain, pick), f"<= {CHAIN_AIM}"),
    ]
    return Table(
        title=f"Whole chain, {series.frames} Eiger 4M frames (uint32, bitshuffle-LZ4), three rings of 50,000 pixels",
        columns=("what", "seconds", "ms a frame", "ratio", "aim"),
        rows=tuple(rows),
        notes=(
            f"{series.stored_bytes / series.frames / 1e6:.2f} MB a frame as stored; one thread; files in page cache.",
            busy_note(measured.values()),
            "h5py reads each frame whole into one array; pick decodes what the ROI pixels need.",
            "'Decoding alone' is given twice: h5py, and our own, beside which the same aims are harder to reach.",
            (
                "analyze: from the master file to the record, with everything that stands in it. Correlation grows "
                "as the square of the number of frames and decoding with the number: the aims are for 2,500."
            ),
        ),
    )


def memory_table(series: EigerSeries) -> Table:
    """The most resident memory of each way, in a process of its own."""
    rows = []
    for name in ("import", "h5py", "pick", "analyze"):
        rows.append((name, f"{peak_of(name, series) / 1e9:.2f}"))
    return Table(
        title=f"Peak memory, {series.frames} Eiger 4M frames, three rings of 50,000 pixels",
        columns=("what", "GB resident"),
        rows=tuple(rows),
        notes=(
            f"Highest resident memory of a fresh process. The aim for analyze on 2,500 frames is {MEMORY_AIM} GB.",
            "import: the package and what it stands on, before any data.",
        ),
    )
