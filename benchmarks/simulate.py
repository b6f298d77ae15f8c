"""Simulated maps a second on one core: the paper's ensemble and ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.rounds import Way, busy_note, clocked, interleave
from benchmarks.table import Table
from gbx_beamline.simulation import PaperEnsemble, StabilityWarning, two_time_blocks

MEMBERS = 2000


def run(*, quick: bool) -> Iterator[Table]:
    """Time ensembles; ``quick`` takes a twentieth of the members."""
    members = MEMBERS // 20 if quick else MEMBERS
    measured = interleave(ways(members), 2 if quick else 3, say=f"{members} simulated maps")
    rows = tuple((name, str(each), f"{members / each.median:.0f}") for name, each in measured.items())
    yield Table(
        title=f"{members} simulated maps of the grain-boundary model, one thread",
        columns=("ensemble", "seconds", "maps/s"),
        rows=rows,
        notes=(
            "All members of the paper's Latin hypercube, trajectories and random numbers included, streamed in blocks.",
            "The released code takes minutes for one map of 1,250 steps (a Python loop over its pairs of times).",
            busy_note(measured.values()),
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
