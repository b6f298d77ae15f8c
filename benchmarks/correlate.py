"""Two-time correlation from counts in memory: ours beside pyCHX, boost_corr and ESRF's xpcs-correlator."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.counts import SHAPES, write_counts
from benchmarks.peers import FLOAT32_PYCHX, GEMM_PEERS, SPARSE_PEERS, Peers
from benchmarks.peers_worker import forget_peak, resident
from benchmarks.rounds import Clock, Measured, Way, busy_note, clocked, interleave, ratio
from benchmarks.table import Table
from gbx_beamline import one_time, two_time
from gbx_beamline.records import TwoTime

OURS, OURS_GROUPS, OURS_G2 = "ours", "ours, 8 groups", "ours, with g2"
GROUPS = 8
TARGETS = {500: 4.0, 5_000: 6.0, 50_000: 8.0}
"""Fastest peer over ours that the project set itself, for a processor with AMX."""
SPARSE_MEAN = 0.01
SPARSE_TARGETS = (10.0, 2.5)
"""At ``SPARSE_MEAN`` and 5,000 pixels or more: against matrix products, against ESRF's sparse kernels."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One size of data."""

    pixels: int
    mean: float
    rounds: int


QUICK = (
    *(Case(pixels=500, mean=mean, rounds=3) for mean in (0.01, 1.0)),
    *(Case(pixels=5_000, mean=mean, rounds=2) for mean in (0.01, 1.0)),
    Case(pixels=50_000, mean=0.1, rounds=1),
)
FULL = (
    *(Case(pixels=500, mean=mean, rounds=9) for mean in (0.01, 0.1, 1.0, 10.0)),
    *(Case(pixels=5_000, mean=mean, rounds=5) for mean in (0.01, 0.1, 1.0, 10.0)),
    *(Case(pixels=50_000, mean=mean, rounds=3) for mean in (0.01, 0.1, 1.0, 10.0)),
)
FRAMES = 2_500
SECONDS_NOTES = (
    (
        "Median of the rounds ± half the range between the fastest and the slowest of them; no ± means a single "
        "round. One thread each, from counts in memory, each in the type it likes best (the conversion to it is "
        "not timed). '-': not run, because a sparse kernel would need minutes at this density."
    ),
    (
        "ours: two_time on uint8/uint16 frames, with all checks, the diagonal without shot noise and the static "
        "baseline; ours, with g2: and the one-time g2 with errors from it; ours, 8 groups: and the maps of eight "
        "pixel groups on binned time."
    ),
    (
        "pyCHX: auto_two_Arrayc on float64, as Get_Pixel_Arrayc makes it; numpy sees `a @ a.T` in it and computes "
        "half the matrix. pyCHX float32: the same function fed with float32, which its pipeline does not do."
    ),
    (
        "boost_corr: TwotimeCorrelator as solve_twotime drives it on a CPU (averages, smoothing by one static bin, "
        "map, g2 and g2 of five parts). ESRF dense: correlator_dense_chunked without dask (map, g2, errors), in one "
        "chunk or, from 5,000 pixels, in 4 x 4, whichever was faster. ESRF sparse: correlator_sparse_pixel_chunked "
        "without its g2 and correlator_sparse_frame_chunked, from event lists."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one case gave."""

    case: Case
    measured: dict[str, Measured]
    differences: dict[str, float]
    """Largest relative difference to ours off the diagonal, by peer."""
    memory: dict[str, int]
    """Bytes held at worst beyond the input."""
    groups: str
    """What became of the pixel groups."""


def run(folder: Path, peers: Peers | None, *, quick: bool) -> list[Outcome]:
    """Time all cases.

    Args:
        folder: For the counts, up to 0.7 GB at a time.
        peers: Their process; None = ours alone.
        quick: Fewer cases and rounds.
    """
    cases = QUICK if quick else FULL
    outcomes: list[Outcome] = []
    for pixels in SHAPES:
        chosen = [case for case in cases if case.pixels == pixels]
        files = write_counts(folder, FRAMES, pixels, [case.mean for case in chosen])
        for case in chosen:
            outcomes.append(measure(case, files[case.mean], peers, pairs_limit=5e8 if quick else 5e9))
            files[case.mean].unlink()
    return outcomes


def tables(outcomes: list[Outcome]) -> list[Table]:
    """Ratios first: they are what is asked for."""
    return [ratio_table(outcomes), seconds_table(outcomes), agreement_table(outcomes), memory_table(outcomes)]


def measure(case: Case, file: Path, peers: Peers | None, *, pairs_limit: float) -> Outcome:
    """Ours and the peers in interleaved rounds on the counts in one file."""
    counts = np.load(file)
    image = counts.reshape(len(counts), *SHAPES[case.pixels])
    _with_g2(image[:64])  # compiles
    memory: dict[str, int] = {}
    before = forget_peak()
    first = correlate(image, 0)
    if before is not None:
        memory[OURS] = resident("VmHWM") - before
    reference = file.with_suffix(".map.npy")
    np.save(reference, first.g2[0])
    ways: dict[str, Way] = {
        OURS: clocked(partial(correlate, image, 0)),
        OURS_G2: clocked(partial(_with_g2, image)),
    }
    groups = "this release knows no groups"
    if knows_groups():
        ways[OURS_GROUPS] = clocked(partial(correlate, image, GROUPS))
        groups = _said(correlate(image, GROUPS))
    differences: dict[str, float] = {}
    if peers is not None:
        few = event_pairs(counts) <= pairs_limit
        for name in (*GEMM_PEERS, FLOAT32_PYCHX, *(SPARSE_PEERS if few else ())):
            if name not in peers.failed:
                ways[name] = partial(peers.clock, name, file)
        peers.differences = differences
        for name in (*GEMM_PEERS, *SPARSE_PEERS):
            if name in ways:
                ways[name] = _compared_once(peers, name, file, reference)
    measured = interleave(ways, case.rounds, say=f"{case.pixels} pixels, {case.mean:g} counts")
    reference.unlink()
    memory |= {} if peers is None else {name: peers.memory[name] for name in measured if name in peers.memory}
    return Outcome(case=case, measured=measured, differences=differences, memory=memory, groups=groups)


def _compared_once(peers: Peers, name: str, file: Path, reference: Path) -> Way:
    def way() -> Clock:
        return peers.clock(name, file, reference if name not in peers.differences else None)

    return way


def knows_groups() -> bool:
    """Whether this release's ``two_time`` makes maps of pixel groups."""
    return "groups" in inspect.signature(two_time).parameters


def correlate(counts: NDArray[Any], groups: int) -> TwoTime:
    """Our two-time map of one ROI that fills the frames (N, y, x)."""
    labels = np.ones(counts.shape[1:], dtype=np.int32)
    settings: dict[str, Any] = {"groups": groups} if knows_groups() else {}
    return two_time(counts, labels, frame_time=1.0, **settings)


def _with_g2(counts: NDArray[Any]) -> object:
    return one_time(correlate(counts, 0))


def _said(tt: TwoTime) -> str:
    made = tt.groups[0]
    cells = 0 if tt.group_maps is None else tt.group_maps.shape[-1]
    return f"{made.count} groups, {cells} cells" + ("" if made.status == "ok" else f" ({made.status})")


def event_pairs(counts: NDArray[Any]) -> float:
    """Pairs of photon events in the same pixel, which is what a sparse kernel works on."""
    events = np.count_nonzero(counts, axis=0).astype(np.float64)
    return float((events * (events + 1) / 2).sum())


def fastest(outcome: Outcome, names: tuple[str, ...]) -> Measured | None:
    """The fastest of these that were measured."""
    found = [outcome.measured[name] for name in names if name in outcome.measured]
    return min(found, key=lambda measured: measured.median, default=None)


def seconds_table(outcomes: list[Outcome]) -> Table:
    """Medians with their spread."""
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.measured))
    rows = [
        (
            f"{outcome.case.pixels}",
            f"{outcome.case.mean:g}",
            *(str(outcome.measured[name]) if name in outcome.measured else "-" for name in names),
        )
        for outcome in outcomes
    ]
    return Table(
        title=f"Two-time correlation of one ROI, {FRAMES} frames: seconds",
        columns=("pixels", "counts", *names),
        rows=tuple(rows),
        notes=(*SECONDS_NOTES, f"Pixel groups: {'; '.join(dict.fromkeys(outcome.groups for outcome in outcomes))}."),
    )


def ratio_table(outcomes: list[Outcome]) -> Table:
    """How many times as long as ours each peer takes, and what was aimed at."""
    names = (*GEMM_PEERS, FLOAT32_PYCHX, *SPARSE_PEERS)
    rows = []
    for outcome in outcomes:
        ours = outcome.measured[OURS]
        gemm, sparse = fastest(outcome, GEMM_PEERS), fastest(outcome, SPARSE_PEERS)
        any_peer = fastest(outcome, (*GEMM_PEERS, *SPARSE_PEERS))
        rows.append(
            (
                f"{outcome.case.pixels}",
                f"{outcome.case.mean:g}",
                *(ratio(outcome.measured.get(name), ours) for name in names),
                ratio(gemm, ours),
                ratio(sparse, ours),
                ratio(any_peer, ours),
                aim(outcome.case),
                ratio(outcome.measured.get(OURS_GROUPS), ours),
            )
        )
    return Table(
        title="Two-time correlation: time of each peer / time of ours",
        columns=(
            "pixels",
            "counts",
            *names,
            "fastest product",
            "fastest sparse",
            "fastest peer",
            "aim",
            "ours with groups / without",
        ),
        rows=tuple(rows),
        notes=(
            "The aims are for a processor with AMX; groups may cost 1.6 times. Under 1.5 times is no difference.",
            "pyCHX float32 does not count as a peer.",
            busy_note(each for outcome in outcomes for each in outcome.measured.values()),
        ),
    )


def aim(case: Case) -> str:
    """What this project set itself for a case."""
    if case.mean == SPARSE_MEAN and case.pixels >= 5_000:
        return f"{SPARSE_TARGETS[0]:g} product, {SPARSE_TARGETS[1]:g} sparse"
    return f"{TARGETS[case.pixels]:g}"


def agreement_table(outcomes: list[Outcome]) -> Table:
    """How far the peers' maps are from ours."""
    names = (*GEMM_PEERS, *SPARSE_PEERS)
    rows = [
        (
            f"{outcome.case.pixels}",
            f"{outcome.case.mean:g}",
            *(f"{outcome.differences[name]:.1e}" if name in outcome.differences else "-" for name in names),
        )
        for outcome in outcomes
    ]
    return Table(
        title="Two-time correlation: largest relative difference between a peer's map and ours, off the diagonal",
        columns=("pixels", "counts", *names),
        rows=tuple(rows),
        notes=("Ours is stored as float32 (6e-8); boost_corr and ESRF dense compute in float32.",),
    )


def memory_table(outcomes: list[Outcome]) -> Table:
    """Bytes held at worst beyond the input."""
    names = (OURS, *GEMM_PEERS, *SPARSE_PEERS)
    rows = [
        (
            f"{outcome.case.pixels}",
            f"{outcome.case.mean:g}",
            *(f"{outcome.memory[name] / 1e6:.0f}" if name in outcome.memory else "-" for name in names),
        )
        for outcome in outcomes
    ]
    return Table(
        title="Two-time correlation: most memory held beyond the input, MB",
        columns=("pixels", "counts", *names),
        rows=tuple(rows),
        notes=(
            f"A map of {FRAMES} frames is {4e-6 * FRAMES**2:.0f} MB in float32.",
            (
                "The inputs, not counted: uint8 or uint16 for ours and ESRF dense, float32 for boost_corr, "
                "float64 for pyCHX, event lists for ESRF sparse."
            ),
        ),
    )
