"""Live records end to end: how often one is revised, and how old a frame is when its revision can be read.

A real Tiled server and the live service as `gbx serve` keeps it, in processes of their own; this process closes data
files at the pace of a detector and reads each revision whole, as a viewer does. All share this machine's cores.
"""

from __future__ import annotations

import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.decode import SHAPE, module_gaps, rings
from benchmarks.rounds import tell
from benchmarks.table import Table
from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, connect, load_live
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.frames import EigerHeader, EigerWriter
from gbx_services.processes import child, wait_until
from gbx_tiled.embedded import CatalogAddress, embedded_catalog

SMALL = (256, 256)
ROIS = 5
MEAN = 0.5
SECONDS = 120.0
"""Longest wait for the last frames."""

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Case:
    """One scan."""

    name: str
    shape: tuple[int, int]
    frames: int
    per_file: int
    rate: float
    """Frames a second."""


@dataclass
class Seen:
    """What happened when."""

    closed: list[tuple[float, int]] = field(default_factory=list)
    """Time of each data file, and frames then."""
    read: list[tuple[float, int, int]] = field(default_factory=list)
    """Time at which a revision was read, its number, its frames."""
    reading: list[float] = field(default_factory=list)
    """s that reading took."""

    def lags(self) -> list[float]:
        """s from each file's close until its frames could be read."""
        return [next(at for at, _, known in self.read if known >= frames) - closed for closed, frames in self.closed]

    def rate(self) -> float:
        """Revisions a second from the first data file to the last revision, read or not."""
        last = self.read[-1]
        return last[1] / (last[0] - self.closed[0][0])


def run(folder: Path, *, quick: bool) -> Table:
    """Follow scans of small frames at two paces, and one of 4M frames.

    Args:
        folder: For the catalog and the data files.
        quick: Shorter scans.
    """
    count = 750 if quick else 2_500
    cases = [
        Case(f"256 x 256, {ROIS} q-ROIs, {count} frames, 25 a file, 100 a second", SMALL, count, 25, 100.0),
        Case(f"256 x 256, {ROIS} q-ROIs, {count} frames, 25 a file, 200 a second", SMALL, count, 25, 200.0),
        Case("2167 x 2070, 3 q-ROIs, 200 frames, 20 a file, 20 a second", SHAPE, 80 if quick else 200, 20, 20.0),
    ]
    rows: list[tuple[str, ...]] = []
    with embedded_catalog(folder / "live-catalog") as address:
        for case in cases:
            tell(f"live record: {case.name}")
            seen = follow(case, folder, address)
            lags = seen.lags()
            rows.append(
                (
                    case.name,
                    f"{seen.rate():.1f}",
                    f"{statistics.median(lags):.2f} s",
                    f"{max(lags):.2f} s",
                    f"{1e3 * statistics.median(seen.reading):.0f} ms",
                )
            )
    return Table(
        title="Live records: revisions, and lag from a data file's close to its revision read whole",
        columns=("scan", "revisions a second", "lag, median", "lag, longest", "reading one"),
        rows=tuple(rows),
        notes=(
            "The detector, the reader, Tiled and the live service share this machine's cores.",
            "Lag holds the time of reading; no more revisions than data files can come.",
        ),
    )


def follow(case: Case, folder: Path, address: CatalogAddress) -> Seen:
    """Take one scan and watch its live record."""
    frames = folder / "live-catalog" / "frames" / uuid.uuid4().hex
    staged, labels = staged_files(case, folder)
    frames.mkdir()
    settings = {
        "analysis": {"rois": {"labels": str(labels)}},
        "serve": {"live": {"enabled": True, "roots": [str(frames)], "max_memory_gib": 4.0}},
    }
    configuration = folder / "live.yaml"
    configuration.write_text(yaml.safe_dump(settings))
    seen, catalog = Seen(), connect(address.uri, address.api_key)
    with service(configuration, address, folder):
        run = begin(case, catalog, frames)
        await_record(catalog, run)
        detector = threading.Thread(target=close_files, args=(case, staged, frames, seen))
        detector.start()
        watch(catalog, run, case.frames, seen)
        detector.join()
    catalog.close()
    return seen


def staged_files(case: Case, folder: Path) -> tuple[list[Path], Path]:
    """All data files of a scan, written beforehand, and its label image."""
    place = folder / uuid.uuid4().hex
    mask = module_gaps().astype(np.uint32) if case.shape == SHAPE else None
    labels = np.zeros(case.shape, dtype=np.int32)
    if mask is None:
        for roi in range(ROIS):
            labels[20 + 45 * roi : 55 + 45 * roi, 20:236] = roi + 1
    else:
        for roi, pixels in enumerate(rings().reshape(3, -1), start=1):
            labels.ravel()[pixels] = roi
    rng = np.random.default_rng(5)
    distinct: NDArray[Any] = rng.poisson(MEAN, (8 if mask is not None else 64, *case.shape)).astype(np.uint32)
    header = EigerHeader(nimages=case.frames, shape=case.shape)
    writer = EigerWriter(
        place, "bench_1", header=header, frames_per_file=case.per_file, dtype=np.uint32, pixel_mask=mask
    )
    for _ in range(case.frames):
        writer.append(distinct[rng.integers(len(distinct))])
    writer.close()
    np.save(place / "labels.npy", labels)
    return writer.data_files, place / "labels.npy"


@contextmanager
def service(configuration: Path, address: CatalogAddress, folder: Path) -> Iterator[None]:
    """The live service, listening."""
    log = folder / f"live-{uuid.uuid4().hex}.log"
    environment = {
        assemble.CONFIG_VARIABLE: str(configuration),
        assemble.URI_VARIABLE: address.uri,
        "TILED_API_KEY": address.api_key,
    }
    with child(["gbx_services.live"], name="live", log=log, environment=environment) as process:
        wait_until(
            lambda: "the stream of runs is heard" in log.read_text(), process, name="live", log=log, timeout=SECONDS
        )
        yield


def begin(case: Case, catalog: Catalog, frames: Path) -> str:
    """The start document, as a RunEngine's writer brings it."""
    run = str(uuid.uuid4())
    start = {
        "uid": run,
        "time": time.time(),
        "sample": "benchmark",
        "number of images": case.frames,
        "acquire period": 1.0 / case.rate,
        "data path": str(frames),
        "file prefix": "bench_1",
    }
    catalog.raw.create_container(run, metadata={"start": start})
    return run


def await_record(catalog: Catalog, run: str) -> None:
    """Until the service follows the run."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            load_live(catalog, run)
        except RunNotFoundError:
            time.sleep(POLL_SECONDS)
        else:
            return
    raise RuntimeError("the run is not followed")


def close_files(case: Case, staged: list[Path], frames: Path, seen: Seen) -> None:
    """Data files appear one after the other, each when its last frame has been taken."""
    began = time.monotonic()
    for number, path in enumerate(staged, start=1):
        taken = min(number * case.per_file, case.frames)
        time.sleep(max(0.0, began + taken / case.rate - time.monotonic()))
        path.rename(frames / path.name)
        seen.closed.append((time.monotonic(), taken))


def watch(catalog: Catalog, run: str, frames: int, seen: Seen) -> None:
    """Read each revision, as fast as they come."""
    deadline = time.monotonic() + frames + SECONDS
    revision = 0
    while not seen.read or seen.read[-1][2] < frames:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{seen.read[-1:]} after {SECONDS:.0f} s")
        began = time.monotonic()
        state = load_live(catalog, run)
        if state.state == "failed":
            raise RuntimeError(state.reason)
        if state.revision == revision or not state.frames:
            time.sleep(POLL_SECONDS)
            continue
        revision = state.revision
        seen.read.append((time.monotonic(), revision, state.frames))
        seen.reading.append(time.monotonic() - began)
