"""Simulated maps a second on one core: the paper's ensemble and ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.rounds import Way, busy_note, clocked, interleave
from benchmarks.table import Table
from gbx_beamline.simulation import GrainBoundary, PaperEnsemble, StabilityWarning, two_time_blocks
from gbx_beamline.simulation.measurement import Measurement, draw_sample_group, measured_maps_batch

MEMBERS = 2000
SCANS = 128

Scans = tuple[list[GrainBoundary], list[Measurement], list[int]]


def run(*, quick: bool) -> Iterator[Table]:
    """Time ensembles; ``quick`` takes a twentieth of the members."""
    members = MEMBERS // 20 if quick else MEMBERS
    timed = interleave(ways(members), 2 if quick else 3, say=f"{members} simulated maps")
    rows = tuple((name, str(each), f"{members / each.median:.0f}") for name, each in timed.items())
    yield measured_table(quick=quick)
    yield Table(
        title=f"{members} simulated maps of the grain-boundary model, one thread",
        columns=("ensemble", "seconds", "maps/s"),
        rows=rows,
        notes=(
            "All members of the paper's Latin hypercube, trajectories and random numbers included, streamed in blocks.",
            "The released code takes minutes for one map of 1,250 steps (a Python loop over its pairs of times).",
            busy_note(timed.values()),
        ),
    )


def ways(members: int) -> dict[str, Way]:
    """Ensembles by what they are."""
    paper, exact = PaperEnsemble(members=members), PaperEnsemble(members=members, noise="independent", method="exact")
    boundaries, seeds = exact.boundaries(), exact.seeds()
    ten = [replace(each, boundaries=10) for each in boundaries]
    short = np.linspace(0.0, 2500.0, 256)

    def paper_mode() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StabilityWarning)
            _consume(paper.maps)

    return {
        "1,250 steps to 256 x 256, paper mode": clocked(paper_mode),
        "1,250 steps to 256 x 256": clocked(lambda: _consume(lambda: two_time_blocks(boundaries, seeds))),
        "1,250 steps to 64 x 64": clocked(lambda: _consume(lambda: two_time_blocks(boundaries, seeds, size=64))),
        "256 steps to 64 x 64": clocked(lambda: _consume(lambda: two_time_blocks(boundaries, seeds, t=short, size=64))),
        "256 steps to 64 x 64, ten boundaries": clocked(
            lambda: _consume(lambda: two_time_blocks(ten, seeds, t=short, size=64))
        ),
    }


def _consume(blocks: Callable[[], Iterable[object]]) -> None:
    for _ in blocks():
        pass


def measured_scans(rois: int, boundaries: int | None) -> Scans:
    """Scans of the default prior; ``boundaries`` in place of the prior's own number."""
    rng = np.random.default_rng(2026)
    scans = [
        draw_sample_group(rng, [temperature], q=np.linspace(4.05e8, 4.95e8, rois).tolist())[0]
        for temperature in rng.uniform(290.0, 510.0, SCANS)
    ]
    if boundaries is not None:
        scans = [
            replace(scan, boundary=replace(scan.boundary, boundaries=boundaries, size_spread=0.0)) for scan in scans
        ]
    return [scan.boundary for scan in scans], [scan.measurement for scan in scans], list(range(SCANS))


def measured_table(*, quick: bool) -> Table:
    """Time measured maps, trajectories and random numbers included."""
    cases = {
        f"{rois} q-ROI{'s' if rois > 1 else ''}, {words}": (rois, measured_scans(rois, boundaries))
        for rois in (1, 3)
        for words, boundaries in (("one boundary", 1), ("1 to 64 boundaries of all sizes", None))
    }
    ways = {name: clocked(lambda scans=scans: measured_maps_batch(*scans)) for name, (_, scans) in cases.items()}
    found = interleave(ways, 2 if quick else 5, say=f"{SCANS} measured scans")
    rows = tuple(
        (name, str(each), f"{SCANS / each.median:.0f}", f"{cases[name][0] * SCANS / each.median:.0f}")
        for name, each in found.items()
    )
    return Table(
        title="Maps as measured: every effect from its prior, 256 frames on 64 x 64 cells, one thread",
        columns=("scans", "seconds", "scans/s", "maps/s"),
        rows=rows,
        notes=("Map level: mean, covariance and S_noneq of photons, without pixels.", busy_note(found.values())),
    )
