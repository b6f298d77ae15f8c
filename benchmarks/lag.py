"""From the stop document to what a user sees, through `gbx serve`; and what analysis costs the scans."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.rounds import tell
from benchmarks.serving import Beamline, Scan, Service, speckles, wait_for
from benchmarks.table import Table
from gbx_beamline.catalog import Catalog, Listing, find_inferences, find_records, list_entries

FRAMES, SIDE, ROIS = 2_500, 256, 5
AIM = 5.0
"""s."""
SLOWER_AIM = 1.05
ACCELERATION = 200.0
"""Detector seconds per real one: a scan of 2,500 s takes 12.5 s, most of which the analysis of the one before needs."""

RESULT_SECONDS = 120.0
LOOK_SECONDS = 0.2
"""Between two looks for a result; a viewer looks every second. Each costs the server some 20 ms of a core."""
RECORD, INFERENCE, REPORT = "correlation record", "inference record", "report drawn"


def run(folder: Path, *, quick: bool) -> Iterator[Table]:
    """Take scans while `gbx serve` runs.

    Args:
        folder: For catalog and frames, 0.2 GB a scan.
        quick: 3 scans and rounds instead of 8.
    """
    scans = 3 if quick else 8
    tell("lag: frames")
    movie = speckles(FRAMES, SIDE, frame_time=1.0)
    tell("lag: gbx serve")
    with (
        closing(Service(folder, rois=ROIS)) as service,
        closing(Beamline(service.place, movie, frame_time=1.0, acceleration=None)) as beamline,
        closing(Beamline(service.place, movie, frame_time=1.0, acceleration=ACCELERATION)) as paced,
    ):
        lags = [_lags(service, beamline.take(f"lag {number}")) for number in range(scans)]
        yield _lag_table(lags)
        yield _duration_table(*_durations(service, paced, scans))


def _lags(service: Service, scan: Scan) -> dict[str, float]:
    """s after the stop document, by what was there."""
    tell(f"lag: run {scan.uid[:8]}")
    with service.catalog() as catalog:
        record = wait_for(lambda: _newest(catalog, Listing.RECORDS) == scan.uid, RESULT_SECONDS, every=LOOK_SECONDS)
        inference = wait_for(
            lambda: _newest(catalog, Listing.INFERENCES) == scan.uid, RESULT_SECONDS, every=LOOK_SECONDS
        )
        _check(catalog, scan)
    report = wait_for(lambda: service.done(scan.uid), RESULT_SECONDS)
    return {RECORD: record - scan.stopped, INFERENCE: inference - scan.stopped, REPORT: report - scan.stopped}


def _newest(catalog: Catalog, what: Listing) -> str:
    """Run of the newest entry, for one small request: who looks must not keep busy what is looked at."""
    return next((page[0].facts["run"] for page in list_entries(catalog, what, most=1)), "")


def _check(catalog: Catalog, scan: Scan) -> None:
    """A lag of failures and refusals would be worth nothing."""
    (record,) = find_records(catalog, run_uid=scan.uid)
    (inference,) = find_inferences(catalog, run_uid=scan.uid)
    if record.failed or inference.refused:
        said = record.metadata.get("reason") or inference.metadata["refusal"]["reason"]
        raise RuntimeError(f"run {scan.uid} was not judged: {said}")


def _durations(service: Service, beamline: Beamline, rounds: int) -> tuple[list[float], list[float]]:
    """s of scans during which the one before is analysed, and of scans in peace, in turn."""
    with_analysis: list[float] = []
    in_peace: list[float] = []
    for number in range(rounds):
        tell(f"lag: scans with and without analysis, {number + 1} of {rounds}")
        in_peace.append(beamline.take(f"in peace {number}").seconds)
        last = beamline.take(f"analysed {number}")
        with_analysis.append(last.seconds)
        wait_for(lambda uid=last.uid: service.done(uid), RESULT_SECONDS)
        # Whatever follows a result, a writer's last request or a sweep, is over by then.
        threading.Event().wait(2.0)
    return with_analysis, in_peace


def _lag_table(lags: Sequence[dict[str, float]]) -> Table:
    rows = []
    for what in (RECORD, INFERENCE, REPORT):
        seconds = [lag[what] for lag in lags]
        aim = "" if what == REPORT else f"< {AIM:g}"
        rows.append((what, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}", f"{lags[0][what]:.2f}", aim))
    return Table(
        title=f"Lag of `gbx serve`: {FRAMES} frames of {SIDE} x {SIDE}, {ROIS} q-ROIs, {len(lags)} scans",
        columns=("s from the stop document to", "median", "worst", "first scan", "aim"),
        rows=tuple(rows),
        notes=(
            "Through RunEngine, Tiled, its stream, queue, Prefect and runner, all on this machine; asked every 0.2 s.",
            "The report is drawn when the queue is done with the run, which it looks for every 0.3 s.",
        ),
    )


def _duration_table(with_analysis: Sequence[float], in_peace: Sequence[float]) -> Table:
    busy, free = statistics.median(with_analysis), statistics.median(in_peace)
    rows = (
        ("in peace", f"{free:.2f}", f"{max(in_peace):.2f}", ""),
        ("while the scan before is analysed", f"{busy:.2f}", f"{max(with_analysis):.2f}", ""),
        ("ratio of the medians", f"{busy / free:.3f}", "", f"<= {SLOWER_AIM:g}"),
    )
    return Table(
        title=f"Scans of {FRAMES} frames at {ACCELERATION:g} frames a second, with and without analysis beside them",
        columns=("scan", "median s", "worst s", "aim"),
        rows=rows,
        notes=(f"{len(in_peace)} of each, in turn, on {time.strftime('%Y-%m-%d')}.",),
    )
