"""Columns of an ensemble's table: every setting of a member's boundary and measurement, and what its maps measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.simulation._ensemble_table import Column
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement import EFFECTS, Measurement

Arrays = dict[str, NDArray[Any]]
"""(m,) of each column, by name."""

BOUNDARY = (
    Column("gamma", "J s m^-4", "GB friction 1/M (the paper's Gamma)"),
    Column("diffusivity", "m^2/s", "D of the bulk"),
    Column("gb_fraction", "1", "lambda_GB, share of the scatterers that sit on boundaries"),
    Column("temperature", "K", "temperature"),
    Column("stiffness", "J/m^2", "k, stiffness of a boundary"),
    Column("sites", "1", "N, sites of a boundary; the median where sizes are spread"),
    Column("spacing", "m", "dx = L_y, distance of sites"),
    Column("bow", "m", "A of Eq. 9: initially z = A x (L - x) / L^2"),
    Column("q_convention", "", "which q the bulk's q^2 D takes: parallel or total"),
    Column("boundaries", "1", "boundaries that the beam sees"),
    Column("size_spread", "1", "sigma of the lognormal distribution of the boundaries' numbers of sites"),
    Column("orientations", "", "aligned: every boundary faces q; isotropic: it has any azimuth"),
    Column("avalanche_rate", "1/s", "events that renew scatterers"),
    Column("avalanche_share", "1", "mean share of the scatterers that one event renews"),
    Column("avalanche_tail", "", "distribution of the events' sizes"),
)
"""Fields of GrainBoundary with one value; q and q_z have one per q-ROI, contrast is the measurement's where there is
one."""

_UNITS = {"mean_counts": "photons", "speckle_size": "pixels"}
"""Of the measurement's effects that are no pure numbers."""

SCAN = (
    Column("frames", "1", "frames of the scan"),
    Column("frame_time", "s", "time between frames"),
    *(Column(name, _UNITS.get(name, "1"), effect.what) for name, effect in EFFECTS.items() if not effect.per_roi),
)
"""Settings of a Measurement that hold for all its q-ROIs."""

SCAN_PER_ROI = ("pixels", *(name for name, effect in EFFECTS.items() if effect.per_roi))
"""Those that each q-ROI has of its own."""

MEMBER = (
    Column("member", "1", "number of the member: its place in the array of maps"),
    Column("seed", "1", "seed of the member's random numbers"),
)

_WHAT = {
    "q": ("1/m", "q_par"),
    "q_z": ("1/m", "q_z inside the sample"),
    "pixels": ("1", "pixels of the q-ROI"),
    "s_noneq": ("1", "bare S_noneq (Eq. 3) of the map as stored, a share of variance, noise included"),
    "s_noneq_norm": ("1", "its root, the ratio of norms that the paper's figures show"),
    **{name: (_UNITS.get(name, "1"), EFFECTS[name].what) for name in EFFECTS if EFFECTS[name].per_roi},
}

MEASURES = ("s_noneq", "s_noneq_norm")
"""What is measured on each map."""


def per_roi(names: Sequence[str], rois: int) -> tuple[Column, ...]:
    """Columns of quantities that each q-ROI has of its own."""
    return tuple(Column(column, *_WHAT[name]) for name in names for column in _names(name, rois))


def numbered(members: range, seeds: Sequence[int]) -> Arrays:
    """Number and seed of each member."""
    return {"member": np.array(members), "seed": np.array(seeds, dtype=np.uint64)}


def boundary_rows(boundaries: Sequence[GrainBoundary]) -> Arrays:
    """Settings of boundaries with equally many q."""
    rows = {column.name: np.array([getattr(one, column.name) for one in boundaries]) for column in BOUNDARY}
    rois = np.size(boundaries[0].q)
    for name in ("q", "q_z"):
        values = np.array([np.broadcast_to(getattr(one, name), rois) for one in boundaries], dtype=np.float64)
        rows |= _split(name, values)
    return rows


def measurement_rows(measurements: Sequence[Measurement], rois: int) -> Arrays:
    """Settings of measurements of equally many q-ROIs."""
    rows: Arrays = {}
    for name in (field.name for field in fields(Measurement)):
        if name in SCAN_PER_ROI:
            rows |= _split(name, np.array([[one.of(name, roi) for roi in range(rois)] for one in measurements]))
        else:
            rows[name] = np.array([getattr(one, name) for one in measurements])
    return rows


def measured_on(maps: NDArray[np.float32]) -> Arrays:
    """Bare S of (m, Q, size, size) maps; NaN where a map has none."""
    found = np.array([[nonequilibrium(g2, max_cells=len(g2)).s_noneq for g2 in member] for member in maps])
    return _split("s_noneq", found) | _split("s_noneq_norm", np.sqrt(found))


def _split(name: str, values: NDArray[Any]) -> Arrays:
    """(m, Q) as a column for each q-ROI."""
    return dict(zip(_names(name, values.shape[1]), values.T, strict=True))


def _names(name: str, rois: int) -> tuple[str, ...]:
    """Columns of a quantity: its name, or with a number behind it, from 1, where there are several q-ROIs."""
    return (name,) if rois == 1 else tuple(f"{name}_{roi + 1}" for roi in range(rois))
