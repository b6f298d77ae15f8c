"""How fast waiting scans are worked off: by the runner of `gbx serve`, and by Prefect's workers in a facility."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.rounds import tell
from benchmarks.serving import Beamline, Place, Service, analysis, speckles, wait_for
from benchmarks.table import Table
from gbx_beamline.catalog import connect
from gbx_services.facility.folder import POOL, Facility, read
from gbx_services.spool import Spool, State

FRAMES, SIDE, ROIS = 2_500, 256, 5
SCANS = 12
END_SECONDS = 900.0
SCRIPT = Path(__file__).parents[1] / "deploy" / "local-facility.sh"


def run(folder: Path, *, quick: bool) -> Table:
    """Let scans wait in a paused queue, then let it go on.

    Args:
        folder: For catalogs and frames, 0.2 GB a scan and way.
        quick: 4 scans instead of 12.
    """
    scans = 4 if quick else SCANS
    tell("backlog: frames")
    movie = speckles(FRAMES, SIDE, frame_time=1.0)
    rows: list[tuple[str, ...]] = []
    for number in (1, 2):
        name = f"runner, {number} at a time"
        tell(f"backlog: {name}")
        with closing(Service(folder / f"runner-{number}", rois=ROIS, concurrency=number)) as service:
            rows.append(_row(name, _work_off(service.place, service.spool, movie, scans, name), scans))
    with _facility(folder) as facility, closing(Spool(facility.directory / "serve")) as spool:
        for number in (1, 2):
            name = f"Prefect, {number} worker{'s' * (number > 1)}"
            # With one flow run at a time for all of the pool the other worker stands idle.
            _prefect(facility, "work-pool", "set-concurrency-limit", POOL, str(number))
            rows.append(_row(name, _work_off(_place(facility), spool, movie, scans, name), scans))
    return Table(
        title=f"Waiting scans: {scans} of {FRAMES} frames, {SIDE} x {SIDE} pixels, {ROIS} q-ROIs, model and report",
        columns=("who works", "seconds", "scans an hour"),
        rows=tuple(rows),
        notes=(
            "From the end of the queue's pause to the last report. All services share the machine with who works.",
            "The runner stays; a worker starts a process for each scan, whose imports are half of its time.",
        ),
    )


def _row(name: str, seconds: float, scans: int) -> tuple[str, ...]:
    return name, f"{seconds:.0f}", f"{3600.0 * scans / seconds:,.0f}"


def _work_off(place: Place, spool: Spool, movie: NDArray[np.uint16], count: int, name: str) -> float:
    """s from the end of the pause until nothing waits."""
    spool.pause("benchmark")
    with closing(Beamline(place, movie, frame_time=1.0, acceleration=None)) as beamline:
        uids = []
        for number in range(count):
            tell(f"backlog: {name}, scan {number + 1} of {count}")
            uids.append(beamline.take(name).uid)
    wait_for(lambda: set(uids) <= {job.run for job in spool.jobs()}, END_SECONDS)
    tell(f"backlog: {name}, working")
    began = time.time()
    spool.resume()
    ended = wait_for(lambda: all(_done(spool, uid) for uid in uids), END_SECONDS)
    return ended - began


def _done(spool: Spool, uid: str) -> bool:
    jobs = [job for job in spool.jobs(run=uid) if job.selected]
    if any(job.state is State.PARKED for job in jobs):
        raise RuntimeError(f"run {uid} was not analysed: {[job.reason for job in jobs]}")
    return bool(jobs) and all(job.state is State.DONE for job in jobs)


@contextmanager
def _facility(folder: Path) -> Iterator[Facility]:
    """`deploy/local-facility.sh`, up while the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "facility.yaml"
    config.write_text(yaml.safe_dump({"analysis": analysis(ROIS)}))
    directory = folder / "facility"

    def script(verb: str, *arguments: str) -> None:
        subprocess.run([SCRIPT, verb, "--directory", directory, *arguments], check=True, stdout=subprocess.DEVNULL)

    tell("backlog: local-facility.sh up")
    script("up", "--config", str(config))
    try:
        facility = read(directory)
        if facility is None:
            raise RuntimeError(f"no facility in {directory}")
        yield facility
    finally:
        script("down")


def _place(facility: Facility) -> Place:
    def raw() -> Any:
        return connect(facility.tiled_writing, facility.tiled_key).raw

    return Place(facility.directory / "frames" / "scans", facility.directory / "journals", raw)


def _prefect(facility: Facility, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **facility.client_environment()},
    )
