"""An accelerated beamtime: hundreds of short scans through `gbx serve`, and what its processes hold meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.rounds import tell
from benchmarks.serving import Beamline, Service, speckles, wait_for
from benchmarks.table import Table

FRAMES, FRAME_TIME, SIDE, ROIS = 64, 35.0, 256, 2
"""Few frames that last as long as the model asks for."""

AHEAD = 3
"""Scans that may wait for their analysis: what is measured is memory, not the length of a queue."""

RESULT_SECONDS = 300.0
SETTLED = 0.4
"""Share of the scans after which allocators and caches have what they need: slopes are those of the rest."""

MEBI = 2**20


class Held(NamedTuple):
    """What a process and its children hold."""

    memory: float
    """MiB resident."""
    handles: int
    """Open file descriptors."""


def run(folder: Path, *, quick: bool, scans: int | None = None) -> Table:
    """Take scan after scan.

    Args:
        folder: For catalog and frames, 10 MB a scan.
        quick: 60 scans instead of 400.
        scans: Another number of them.
    """
    count = scans or (60 if quick else 400)
    movie = speckles(FRAMES, SIDE, frame_time=FRAME_TIME)
    with (
        closing(Service(folder, rois=ROIS)) as service,
        closing(Beamline(service.place, movie, frame_time=FRAME_TIME, acceleration=None)) as beamline,
    ):
        uids: list[str] = []
        samples: list[dict[str, Held]] = []
        databases: list[float] = []
        for number in range(count):
            tell(f"beamtime: scan {number + 1} of {count}")
            uids.append(beamline.take(f"beamtime {number}").uid)
            if number >= AHEAD:
                wait_for(lambda uid=uids[-AHEAD - 1]: service.done(uid), RESULT_SECONDS)
            samples.append({name: held(pid) for name, pid in service.pids().items()})
            databases.append(_size(service.directory / "prefect") / MEBI)
        wait_for(lambda: all(service.done(uid) for uid in uids), RESULT_SECONDS)
    return _table(samples, databases)


def held(pid: int) -> Held:
    """Of a process and its children."""
    root = psutil.Process(pid)
    memory, handles = 0.0, 0
    for process in (root, *root.children(recursive=True)):
        try:
            memory += process.memory_info().rss / MEBI
            handles += process.num_fds()
        except psutil.NoSuchProcess:
            continue
    return Held(memory, handles)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("prefect.db*"))


def _table(samples: Sequence[dict[str, Held]], databases: Sequence[float]) -> Table:
    rows = []
    for name in samples[0]:
        # A process that died meanwhile has begun again: its name stays.
        memory = [sample[name].memory for sample in samples]
        handles = [float(sample[name].handles) for sample in samples]
        rows.append(
            (
                name,
                *(f"{memory[0]:.0f}", f"{memory[-1]:.0f}", f"{_slope(memory):+.1f}"),
                *(f"{handles[0]:.0f}", f"{handles[-1]:.0f}", f"{_slope(handles):+.1f}"),
            )
        )
    grows = f"Prefect's database grows by {_slope(databases):.1f} MiB per 100 scans until serve.keep_days have passed."
    return Table(
        title=f"A beamtime of {len(samples)} scans of {FRAMES} frames ({ROIS} q-ROIs, judged by the model)",
        columns=("process", "MiB first", "MiB last", "MiB per 100 scans", "files first", "files last", "per 100 scans"),
        rows=tuple(rows),
        notes=(
            f"Resident memory and open files of a process with its children; slopes: last {1 - SETTLED:.0%} of scans.",
            grows,
        ),
    )


def _slope(values: Sequence[float]) -> float:
    """Per 100 scans."""
    rest = np.asarray(values[int(SETTLED * len(values)) :])
    return float(np.polyfit(np.arange(len(rest)), rest, 1)[0] * 100.0) if len(rest) > 1 else 0.0
