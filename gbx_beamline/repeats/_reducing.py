"""One scan as an average needs it: on the common axis, with the noise that its pixel groups know of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation import curve_noise
from gbx_beamline.correlation.diagonals import by_lag, cell_means, lag_means
from gbx_beamline.records import OneTime, Repeat, ScanResult, TwoTime
from gbx_beamline.repeats._axes import Axis
from gbx_beamline.repeats._figures import Measured, measured, of_result

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reduced:
    """What is kept of one scan; some MB, whatever its length."""

    repeat: Repeat
    sample: str | None
    names: tuple[str, ...]
    q: Values
    """(2, Q) q_par and q_z, 1/m; NaN where unknown."""
    settings_hash: str
    access_tags: tuple[str, ...]
    curves: Values
    """(Q, n) one-time g2."""
    noise: tuple[Values | None, ...]
    """(Q,) of (K, n), see ``correlation.curve_noise``."""
    maps: NDArray[np.float32]
    """(Q, m, m)."""
    times: dict[str, Measured | str]
    shares: dict[str, Measured | str]
    share_cells: tuple[tuple[float, float], ...]
    """(Q,) cell and window of S_noneq, s: part of its definition."""


def reduced(result: ScanResult, axis: Axis, frames_per_cell: int, *, record: str = "") -> Reduced:
    """Bring one result to the common axis.

    Args:
        result: Of the scan.
        axis: Common to all.
        frames_per_cell: Rows of this scan's maps in a cell.
        record: Key of its record, where it is in a catalog.
    """
    tt, scan, found = result.analysed_two_time, result.scan, of_result(result)
    frames = axis.cells * frames_per_cell
    rois = range(len(tt.names))
    lags = slice(None, frames, frames_per_cell)
    noise = (curve_noise(tt, roi, frames) for roi in rois)
    return Reduced(
        repeat=Repeat(
            record=record,
            run_uid=scan.run_uid,
            temperature=scan.temperature,
            started=scan.started,
            frames_per_cell=frames_per_cell,
        ),
        sample=scan.sample,
        names=tt.names,
        q=np.array([result.rois.q_par, result.rois.q_z], dtype=np.float64),
        settings_hash=result.provenance.settings_hash or result.provenance.config_hash,
        access_tags=scan.access_tags,
        curves=np.stack([_curve(tt, result.one_time, roi, axis, frames_per_cell) for roi in rois]),
        noise=tuple(None if one is None else one[:, lags] for one in noise),
        maps=np.array([_map(tt, roi, axis, frames_per_cell) for roi in rois], dtype=np.float32),
        times=measured(found, "relaxation_time"),
        shares=measured(found, "s_noneq"),
        share_cells=tuple((one.cell, one.window) for one in result.nonequilibrium),
    )


def _curve(tt: TwoTime, known: OneTime, roi: int, axis: Axis, frames_per_cell: int) -> Values:
    """The record's own curve where its lags are the common ones, else the mean along the diagonals of cells."""
    whole = axis.cells == tt.g2.shape[-1] == known.tau.size
    if frames_per_cell == 1 and whole:
        return known.g2[roi]
    cells = _clean_cells(tt.g2[roi], tt.diagonal[roi], axis.cells, frames_per_cell)
    return lag_means(by_lag(cells))[0]


def _map(tt: TwoTime, roi: int, axis: Axis, frames_per_cell: int) -> Values:
    joined = frames_per_cell * axis.cells_per_map_cell
    return _clean_cells(tt.g2[roi], tt.diagonal[roi], axis.cells // axis.cells_per_map_cell, joined)


def _clean_cells(g2: NDArray[Any], diagonal: Values, cells: int, frames: int) -> Values:
    """(cells, cells) means over off-diagonal entries; cells of one frame have the diagonal without shot noise."""
    used = cells * frames
    means = cell_means(g2[:used, :used], frames)
    if frames == 1:
        np.fill_diagonal(means, diagonal[:used])
    return means
