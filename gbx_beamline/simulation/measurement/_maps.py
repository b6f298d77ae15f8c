"""Noisy two-time maps without pixels: in mean, covariance and S what the analysis makes of photons, in a millisecond.

The expected map on time cells is in ``_map_shape``, the noise about it in ``_map_noise``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import PixelGroups
from gbx_beamline.simulation.measurement._map_arrays import Arrays, NumpyArrays, TorchArrays
from gbx_beamline.simulation.measurement._map_cells import ScanCells, scan_cells
from gbx_beamline.simulation.measurement._map_draw import check_cells, check_draw, draw_at_cells
from gbx_beamline.simulation.measurement._map_noise import detection_of, noisy_maps
from gbx_beamline.simulation.measurement._map_shape import cell_correlations, fields_of
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.measurement._traces import Traces, traces_of

if TYPE_CHECKING:
    from gbx_beamline.simulation.grain_boundary import Draw, GrainBoundary

Engine = Literal["numpy", "torch"]

FEWEST_PHOTONS = 100.0
"""Expected in a cell of a q-ROI or pixel group: with fewer, its mean is no Gaussian and may be nothing."""

FEWEST_GROUPS = 4
"""As ``two_time`` has it."""


@dataclass(frozen=True, kw_only=True)
class Maps:
    """Maps as ``two_time`` makes them of photons, then averaged over square cells of time."""

    g2: NDArray[np.float32]
    """([S,] Q, n, n) baseline 1; NaN on the diagonal, and where a cell has no valid frame."""
    group_maps: NDArray[np.float32] | None
    """([S,] Q, K, n, n) of the pixel groups; NaN also where more than half of a cell's frames are invalid."""
    frames_per_cell: int
    measurements: tuple[Measurement, ...]
    """Of each scan."""

    def pixel_groups(self, roi: int, scan: int = 0) -> PixelGroups:
        """How the pixels of a q-ROI were split, for ``corrected_s``."""
        count = 0 if self.group_maps is None else self.group_maps.shape[-3]
        measurement = self.measurements[scan]
        edges = np.linspace(0, measurement.pixels[roi], count + 1).astype(int)
        return PixelGroups(
            count=count,
            pixels=tuple(int(pixels) for pixels in np.diff(edges)),
            frames_per_cell=self.frames_per_cell,
            pairs=tuple((a, b) for a in range(count) for b in range(a + 2, count)),
            speckle_size=measurement.speckle_size,
            status="ok" if count else "no pixel groups: none were asked for",
        )


def measured_maps(draw: Draw, measurement: Measurement, seed: int, size: int = 64, groups: int = 0) -> Maps:
    """Maps of one scan, as a network sees them.

    Conditional on the draw they have the mean of ``expected_two_time`` over each cell, and the covariance of what
    ``cell_means`` makes of ``measured_two_time`` (group maps: of its own). Their noise is Gaussian but for the division
    by the frames' means; with fewer than about 100 pixels in a group, or 30 speckles, photons show more outliers.

    Args:
        draw: from ``draw_seen``, for which memory grows as the square of the frames; or from ``draw_at_cells``, which
            is faster and leaves out what boundaries, avalanches and beam do within a cell.
        measurement: the settings. Frames beyond ``size * (frames // size)`` are dropped.
        seed: same seed, same maps; that of ``traces_of`` too.
        size: n cells.
        groups: K pixel groups of each q-ROI; 0 for none.

    Returns:
        Maps with g2 (Q, n, n).

    Raises:
        InputError: fewer frames than cells, impossible groups, a draw of other q's or times than the measurement's, or
            too few photons for noise that is about Gaussian.
    """
    check_cells([measurement], size)
    _check_detection([measurement], size, groups)
    check_draw(draw, measurement, size)
    maps = _maps([draw], [measurement], [seed], size, groups, NumpyArrays())
    return replace(maps, g2=maps.g2[0], group_maps=None if maps.group_maps is None else maps.group_maps[0])


def measured_maps_batch(
    boundaries: Sequence[GrainBoundary],
    measurements: Sequence[Measurement],
    seeds: Sequence[int],
    *,
    size: int = 64,
    groups: int = 0,
    engine: Engine = "numpy",
    device: str = "cpu",
) -> Maps:
    """Maps of many scans, from the boundaries' trajectories on: what training draws from.

    Each scan has its own boundary, measurement and seed; trajectories are sampled exactly at the cells' middles. With
    numpy a scan's maps are those of ``measured_maps(draw_at_cells(...), ...)``, whatever else is in the batch, up to
    rounding. With torch they depend on the batch; trajectories and traces are made by numpy all the same.

    Args:
        boundaries: (S,) as for ``draw_seen``.
        measurements: (S,) of equally many frames and q-ROIs.
        seeds: (S,) each of its draw, traces and noise.
        size: n cells.
        groups: K pixel groups of each q-ROI; 0 for none.
        engine: "numpy" or "torch".
        device: of torch.

    Returns:
        Maps with g2 (S, Q, n, n).

    Raises:
        InputError: as ``measured_maps``, scans that do not fit together, or an engine or device that is not there.
        DependencyError: torch is absent.
    """
    if not len(boundaries) == len(measurements) == len(seeds) or not seeds:
        raise InputError(
            f"{len(boundaries)} boundaries, {len(measurements)} measurements, {len(seeds)} seeds",
            needed="one of each for every scan",
            action="correct the batch",
        )
    check_cells(measurements, size)
    _check_detection(measurements, size, groups)
    arrays = _arrays(engine, device, seeds)
    draws = [draw_at_cells(*one, size) for one in zip(boundaries, measurements, seeds, strict=True)]
    return _maps(draws, measurements, seeds, size, groups, arrays)


def _arrays(engine: str, device: str, seeds: Sequence[int]) -> Arrays:
    if engine == "torch":
        return TorchArrays(device, seeds)
    if engine != "numpy":
        raise InputError(f"engine {engine!r}", needed='"numpy" or "torch"', action="choose one")
    return NumpyArrays()


def _check_detection(measurements: Sequence[Measurement], size: int, groups: int) -> None:
    if groups and groups < FEWEST_GROUPS:
        raise InputError(f"groups {groups}", needed=f"0, or at least {FEWEST_GROUPS} pixel groups", action="correct it")
    for measurement in measurements:
        per_cell = measurement.frames // size / max(groups, 1)
        for roi, pixels in enumerate(measurement.pixels):
            photons = per_cell * pixels * measurement.of("mean_counts", roi)
            if photons < FEWEST_PHOTONS:
                raise InputError(
                    f"{photons:.3g} photons in a time cell of q-ROI {roi}" + (" and pixel group" if groups else ""),
                    needed=f"at least {FEWEST_PHOTONS:g}, for noise that is about Gaussian",
                    action="take fewer cells or groups, or simulate its photons with measured_two_time",
                )


def _maps(
    draws: Sequence[Draw],
    measurements: Sequence[Measurement],
    seeds: Sequence[int],
    size: int,
    groups: int,
    arrays: Arrays,
) -> Maps:
    rois = len(measurements[0].pixels)
    g2 = np.empty((len(draws), rois, size, size), dtype=np.float32)
    group_maps = np.empty((len(draws), rois, groups, size, size), dtype=np.float32) if groups else None
    moments = min(len(draws[0].t), measurements[0].frames)
    step = max(1, arrays.block // (rois * max(moments**2, max(groups, 1) * size**2)))
    for first in range(0, len(draws), step):
        part = slice(first, first + step)
        traces = [traces_of(one, seed) for one, seed in zip(measurements[part], seeds[part], strict=True)]
        block = _block(draws[part], measurements[part], traces, seeds[part], size, groups, arrays)
        g2[part] = block[0]
        if group_maps is not None:
            group_maps[part] = block[1]
    return Maps(
        g2=g2,
        group_maps=group_maps,
        frames_per_cell=measurements[0].frames // size,
        measurements=tuple(measurements),
    )


def _block(
    draws: Sequence[Draw],
    measurements: Sequence[Measurement],
    traces: Sequence[Traces],
    seeds: Sequence[int],
    size: int,
    groups: int,
    arrays: Arrays,
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    cells = scan_cells(traces, size)
    shape, follows = cell_correlations(fields_of(draws, measurements, traces, cells), cells, arrays)
    detection = detection_of(measurements, cells, groups)
    g2, group_maps = noisy_maps(shape, follows, detection, seeds, groups, arrays)
    stripes = arrays.array(_stripes(cells, cells.good > 0))
    g2 *= stripes[:, None]
    if group_maps is None:
        return arrays.numpy(g2), None
    group_maps *= arrays.array(_stripes(cells, cells.half))[:, None, None]
    return arrays.numpy(g2), arrays.numpy(group_maps)


def _stripes(cells: ScanCells, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(S, n, n) what the monitor's errors multiply maps by; NaN where there is to be no value."""
    stripes = np.where(known, cells.stripes, np.nan)
    product = stripes[:, :, None] * stripes[:, None, :]
    index = np.arange(product.shape[-1])
    product[:, index, index] = np.nan
    return product
