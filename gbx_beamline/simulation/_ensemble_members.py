"""The calls into the simulators: what the members of an ensemble are, and how some of them are made."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import SimulationConfig
from gbx_beamline.errors import InputError
from gbx_beamline.simulation._ensemble_columns import (
    BOUNDARY,
    MEASURES,
    MEMBER,
    SCAN,
    SCAN_PER_ROI,
    boundary_rows,
    measured_on,
    measurement_rows,
    numbered,
    per_roi,
)
from gbx_beamline.simulation._ensemble_table import Column, Rows
from gbx_beamline.simulation._stability import StabilityWarning
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement import VirtualScan, draw_sample_group, measured_maps
from gbx_beamline.simulation.measurement._map_draw import draw_at_cells
from gbx_beamline.simulation.paper import PaperEnsemble

_SAMPLE = 201
"""Spawn key of the draws that all scans of a sample share; purposes of the simulators lie below."""

_PER_ANGSTROM = 1e10


@dataclass(frozen=True)
class Layout:
    """What is stored of each member."""

    map_shape: tuple[int, ...]
    """([Q,] size, size)."""
    axes: tuple[str, ...]
    """Name of each of these dimensions."""
    columns: tuple[Column, ...]
    """Of the table of parameters."""
    attributes: dict[str, Any]
    """What a reader of the maps wants to know, in JSON's types."""
    notes: tuple[str, ...] = ()
    """What a reader should know before he believes the numbers."""


@dataclass(frozen=True)
class Members:
    """Some members of an ensemble."""

    maps: NDArray[np.float32]
    """(m, [Q,] size, size) g2, baseline 1."""
    rows: Rows
    """(m,) of every column."""


class Simulator(Protocol):
    """One kind of ensemble. Nothing of a member depends on which others are made with it."""

    def layout(self) -> Layout:
        """What is stored.

        Raises:
            InputError: impossible settings.
        """
        ...

    def simulate(self, members: range) -> Members:
        """Make these members."""
        ...


def simulator_for(settings: SimulationConfig) -> Simulator:
    """The simulator of an ensemble."""
    return PaperSimulator(settings) if settings.mode == "paper" else MeasurementSimulator(settings)


def member_seed(seed: int, member: int) -> int:
    """Seed of one member of an ensemble: whoever makes it, it is the same."""
    return int(np.random.SeedSequence((seed, member)).generate_state(1, np.uint64)[0])


class _DrawnOnce(PaperEnsemble):
    """The paper's ensemble, whose members' settings are drawn once per process: a hypercube is one whole."""

    def boundaries(self) -> list[GrainBoundary]:
        """The members' settings."""
        return _drawn(self)


@lru_cache(maxsize=1)
def _drawn(ensemble: _DrawnOnce) -> list[GrainBoundary]:
    return PaperEnsemble.boundaries(ensemble)


class PaperSimulator:
    """Members of the paper's ensemble."""

    def __init__(self, settings: SimulationConfig) -> None:
        self._ensemble = _DrawnOnce(
            members=settings.members,
            seed=settings.seed,
            noise=settings.paper.noise,
            method=settings.paper.method,
            size=settings.cells,
        )

    def layout(self) -> Layout:
        """What is stored."""
        size = self._ensemble.size
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StabilityWarning)
            self._ensemble.maps()
        return Layout(
            map_shape=(size, size),
            axes=("time_1", "time_2"),
            columns=(*MEMBER, *BOUNDARY, *per_roi(("q", "q_z", "contrast", *MEASURES), 1)),
            attributes={"cell_s": 2500.0 / size, "window_s": 2500.0, "resize": "bilinear, as the paper's: no mean"},
            notes=tuple(str(one.message) for one in caught if issubclass(one.category, StabilityWarning)),
        )

    def simulate(self, members: range) -> Members:
        """Make these members."""
        with warnings.catch_warnings():
            # The layout says it once for all.
            warnings.simplefilter("ignore", StabilityWarning)
            maps = np.concatenate(list(self._ensemble.maps(members.start, members.stop)))
        part = slice(members.start, members.stop)
        boundaries = self._ensemble.boundaries()[part]
        rows = numbered(members, self._ensemble.seeds()[part]) | boundary_rows(boundaries)
        rows["contrast"] = np.array([one.contrast for one in boundaries])
        return Members(maps, rows | measured_on(maps[:, None]))


class MeasurementSimulator:
    """Members that were measured."""

    def __init__(self, settings: SimulationConfig) -> None:
        self._seed = settings.seed
        self._size = settings.cells
        self._prior = settings.measurement
        self._q = tuple(q * _PER_ANGSTROM for q in self._prior.q_par)

    def layout(self) -> Layout:
        """What is stored."""
        frames, rois = self._prior.frames, len(self._q)
        if self._size > frames:
            raise InputError(
                f"size = {self._size} cells of {frames} frames",
                needed=f"at most {frames}: a cell holds at least one frame",
                action="lower --size, or raise simulation.measurement.frames",
            )
        self._scan(0)
        cell = frames // self._size * self._prior.frame_time_s
        return Layout(
            map_shape=(rois, self._size, self._size),
            axes=("q", "time_1", "time_2"),
            columns=(
                *MEMBER,
                Column("sample", "1", "number of the sample; scans of one differ in temperature"),
                *BOUNDARY,
                *SCAN,
                *per_roi(("q", "q_z", *SCAN_PER_ROI, *MEASURES), rois),
            ),
            attributes={
                "cell_s": cell,
                "window_s": cell * self._size,
                "q_par_1/m": list(self._q),
                "resize": "area mean",
            },
        )

    def simulate(self, members: range) -> Members:
        """Make these members."""
        scans = [self._scan(member) for member in members]
        seeds = [member_seed(self._seed, member) for member in members]
        maps = np.empty((len(scans), len(self._q), self._size, self._size), dtype=np.float32)
        # One at a time: sums over a batch would round by what else is in it.
        for out, scan, seed in zip(maps, scans, seeds, strict=True):
            draw = draw_at_cells(scan.boundary, scan.measurement, seed, self._size)
            out[:] = measured_maps(draw, scan.measurement, seed, self._size).g2
        rows = numbered(members, seeds)
        rows["sample"] = np.array([member // self._prior.scans_per_sample for member in members])
        rows |= boundary_rows([scan.boundary for scan in scans])
        rows |= measurement_rows([scan.measurement for scan in scans], len(self._q))
        return Members(maps, rows | measured_on(maps))

    def _scan(self, member: int) -> VirtualScan:
        """Truth and measurement of one member, drawn with the others of its sample."""
        prior, together = self._prior, self._prior.scans_per_sample
        sample, place = divmod(member, together)
        seed = np.random.SeedSequence(member_seed(self._seed, sample * together), spawn_key=(_SAMPLE,))
        rng = np.random.Generator(np.random.SFC64(seed))
        temperatures = np.sort(rng.uniform(*prior.temperature_k, size=together))
        scan = draw_sample_group(
            rng,
            temperatures.tolist(),
            q=self._q,
            frames=prior.frames,
            frame_time=prior.frame_time_s,
            pixels=prior.pixels,
        )[place]
        return VirtualScan(boundary=scan.boundary, measurement=scan.measurement.without(*prior.without))
