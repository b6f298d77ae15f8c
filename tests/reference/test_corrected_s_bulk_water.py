"""A measured stationary sample, diffusing latex spheres, scores 0 once noise is gone; the bare ratio does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bulk_water import BulkWater, bulk_water
from numpy.typing import NDArray

from gbx_beamline.correlation._group_maps import build_group_maps
from gbx_beamline.non_equilibrium import corrected_s, nonequilibrium
from gbx_beamline.records import CorrectedS

RINGS = (1.0, 1.6, 2.2, 2.8)
"""Edges of three rings, 1/um."""


@pytest.fixture(scope="module")
def water(shared_data: Path) -> BulkWater:
    return bulk_water(shared_data)


def ring(water: BulkWater, low: float, high: float) -> tuple[NDArray[np.uint32], CorrectedS]:
    """Counts of one ring, and its corrected S."""
    y, x = np.nonzero((water.q >= low) & (water.q < high))
    rows = water.counts[:, y, x]
    maps, groups = build_group_maps(rows, y=y, x=x, threads=1)
    found = corrected_s(maps, groups, frame_time=water.frame_time, contrast=1.0, mean_counts=float(rows.mean()))
    return rows, found


@pytest.mark.parametrize("which", range(len(RINGS) - 1))
def test_diffusing_spheres_are_stationary(water: BulkWater, which: int) -> None:
    rows, found = ring(water, *RINGS[which : which + 2])
    assert found.status == "ok"
    assert found.groups == 8
    assert found.low < 0.0 < found.high
    assert found.high - found.low < 0.12
    assert found.drift_rms_over_contrast_high < 0.05
    mean = rows.mean(axis=1)
    values = rows.astype(np.float64)
    bare = nonequilibrium(values @ values.T / rows.shape[1] / np.outer(mean, mean), max_cells=512)
    assert 0.2 < bare.s_noneq_norm < 0.45
    assert bare.s_noneq > found.high


def test_windows_of_age_are_stationary_too(water: BulkWater) -> None:
    _, found = ring(water, RINGS[1], RINGS[-1])
    assert len(found.by_age) == 3
    for window in found.by_age:
        assert window.status == "ok"
        assert abs(window.value) < 0.02
        assert window.high < 0.1
