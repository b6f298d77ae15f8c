"""What many scans cost: scans in an hour against workers, and a catalog with the results of years."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.full_catalog import SAMPLES, YEAR, fill, settings
from benchmarks.rounds import tell
from benchmarks.serving import speckles
from benchmarks.table import Table
from gbx_beamline import assemble, reprocessing
from gbx_beamline.catalog import Catalog, Listing, TiledSink, find_for_rule, find_record, find_records, list_entries
from gbx_beamline.config import Config, parse_config
from gbx_beamline.records import Geometry
from gbx_beamline.reprocessing import Choice, Request
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_services.spool import Spool
from gbx_services.sweep import SECONDS_A_DAY, Sweep

FRAMES, SIDE = 64, 256
ROUNDS = 3
WAYS = (("here, one process", 0), ("Dask, 1 worker", 1), ("Dask, 2 workers", 2))


def run(folder: Path, *, quick: bool, scans: int | None, records: int | None) -> Iterator[Table]:
    """Both tables.

    Args:
        folder: For catalogs; 6 GB for 100,000 records, 20 MB for each scan.
        quick: 2,000 records and 10 scans instead of 100,000 and 1,000.
        scans: Another number of scans.
        records: Another number of records.
    """
    count = scans or (10 if quick else 1_000)
    yield throughput(folder / "scans", count)
    yield catalog_table(folder / "full", records or (2_000 if quick else 100_000))


def throughput(folder: Path, count: int) -> Table:
    """Reprocess ``count`` scans with each number of workers."""
    config = _config(folder, cells=256)
    rows = []
    with assemble.open_catalog(config) as catalog:
        uids = _take(catalog, folder, count)
        for number, (name, workers) in enumerate(WAYS):
            # Another hash of the settings each time: what is there already would stand.
            request = Request(_config(folder, cells=255 - number))
            seconds = _reprocess(catalog, uids, request, workers, name)
            rows.append((name, f"{seconds:.0f}", f"{3600.0 * count / seconds:,.0f}"))
    return Table(
        title=f"Reprocessing of {count} scans of {FRAMES} frames, {SIDE} x {SIDE} pixels, one q-ROI",
        columns=("workers", "seconds", "scans an hour"),
        rows=tuple(rows),
        notes=("One thread for each worker; the model is not asked. Catalog server and workers share the machine.",),
    )


def catalog_table(folder: Path, count: int) -> Table:
    """Time what people and services ask a catalog with ``count`` results."""
    config = settings(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tell(f"scale: a catalog of {count} results")
    uids = fill(config, count)
    size = (config.catalog.directory / "catalog.db").stat().st_size / 1e9
    with assemble.open_catalog(config) as catalog, closing(Spool(folder / "queue", repair=True)) as spool:
        rows = [(name, *_seconds(asked)) for name, asked in questions(catalog, uids, config, spool).items()]
    return Table(
        title=f"A catalog of {count:,} results: time of a question",
        columns=("question", "median", "slowest"),
        rows=tuple(rows),
        notes=(
            f"Embedded server, SQLite, {size:.1f} GB; {SAMPLES} samples, a year. {ROUNDS} rounds, each of another run.",
            "The rows were copied in the database; see benchmarks/full_catalog.py.",
        ),
    )


def questions(catalog: Catalog, uids: list[str], config: Config, spool: Spool) -> dict[str, Callable[[int], object]]:
    """What is asked, by name; each takes the number of its round."""
    sink = TiledSink(catalog)
    # A sweep looks at what began in the days before; this moment makes these the newest hundred runs.
    hundred = time.time() + config.serve.sweep.days * SECONDS_A_DAY - YEAR * 100 / max(len(uids), 100)

    def run_of(number: int) -> str:
        return uids[(number + 1) * len(uids) // (ROUNDS + 2)]

    return {
        "is this run settled (sweep, runner)": lambda k: find_for_rule(
            catalog, run_of(k), rule="default", settings_hash="none"
        ),
        "the newest result of a run (gbx report UID)": lambda k: find_record(catalog, run_of(k)),
        "the same by the first 8 characters": lambda k: find_record(catalog, run_of(k)[:8]),
        "the run itself": lambda k: catalog.run(run_of(k)),
        f"results of one sample (1 of {SAMPLES})": lambda k: find_records(catalog, sample=f"sample {k:04d}"),
        "first page of the viewer's list": lambda _: next(list_entries(catalog, Listing.RECORDS)),
        "its 10th page": lambda _: list(islice(list_entries(catalog, Listing.RECORDS, most=1000), 9, 10)),
        "its look every second": lambda _: list(list_entries(catalog, Listing.RECORDS, since=time.time())),
        "100 runs that the queue does not know (sweep)": lambda _: Sweep(spool, config)(catalog, now=hundred),
        "attempts to remove (once an hour)": lambda _: sink.sweep(),
    }


def _seconds(asked: Callable[[int], object]) -> tuple[str, str]:
    times = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        asked(number)
        times.append(time.perf_counter() - began)
    return f"{median(times):.2f} s", f"{max(times):.2f} s"


def _config(folder: Path, *, cells: int) -> Config:
    geometry = {"mode": "transmission", "beam_center_x": -40}
    analysis = {
        "rois": {"rings": [{"q": [0.003, 0.009]}]},
        "geometry": geometry,
        "nonequilibrium": {"max_cells": cells},
        "correlation": {"threads": 1},
    }
    places: dict[str, Any] = {"catalog": {"directory": str(folder.resolve() / "catalog")}, "models": {"infer": False}}
    return parse_config({"analysis": analysis, **places}).absolute()


def _take(catalog: Catalog, folder: Path, count: int) -> list[str]:
    movie = speckles(FRAMES, SIDE, frame_time=1.0)
    feed = ReplayFeed(movie)
    geometry = Geometry(
        shape=(SIDE, SIDE),
        beam_center_x=-40.0,
        beam_center_y=128.0,
        distance=10.08,
        wavelength=1.285e-10,
        pixel_size_x=150e-6,
        pixel_size_y=150e-6,
    )
    eiger: Any = SimulatedEiger(directory=folder / "catalog" / "frames" / "scans", feed=feed, geometry=geometry)
    engine, writer = make_run_engine(catalog.raw, backup_directory=folder / "journals")
    uids = []
    for number in range(count):
        tell(f"scale: scan {number + 1} of {count}")
        feed.rewind()
        outcome: Any = engine(count_series(eiger, frames=FRAMES, frame_time=1.0, sample=f"scale {number % 10}"))
        uids.append(outcome[0])
    tell("scale: documents on their way into the catalog")
    if not writer.flush(3600.0):
        raise RuntimeError(f"{len(writer.left_behind)} of {count} runs did not reach the catalog within an hour")
    writer.close()
    return uids


def _reprocess(catalog: Catalog, uids: list[str], request: Request, workers: int, name: str) -> float:
    jobs = reprocessing.choose(catalog, request.config, Choice(uids=tuple(uids))).jobs
    if not workers:
        return _timed(catalog, jobs, request, None, name)
    from distributed import LocalCluster

    asked: Any = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    cluster: Any
    with LocalCluster(**asked) as cluster:
        return _timed(catalog, jobs, request, cluster.scheduler_address, name)


def _timed(catalog: Catalog, jobs: Any, request: Request, dask: str | None, name: str) -> float:
    began, done = time.perf_counter(), 0
    for row in reprocessing.work(catalog, jobs, request, dask=dask):
        done += not row.failed
        tell(f"scale: {name}, {done} of {len(jobs)}")
    assert done == len(jobs), f"{len(jobs) - done} scans could not be analysed"
    return time.perf_counter() - began
