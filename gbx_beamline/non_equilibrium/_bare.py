"""Baseline, drift and S_noneq (Eq. 1-3) of one two-time map, as printed.

Equation numbers are those of "Probing Non-Equilibrium Grain Boundary Dynamics with XPCS and
Domain-Adaptive Machine Learning".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import by_lag, cell_means, lag_means
from gbx_beamline.errors import MapError
from gbx_beamline.records import NonEquilibrium


def checked_map(g2: NDArray[Any]) -> NDArray[Any]:
    """The map itself.

    Raises:
        MapError: not square, not real, infinite values or not symmetric.
    """
    if g2.ndim != 2 or g2.shape[0] != g2.shape[1] or g2.size == 0:
        raise MapError(
            f"an array of shape {g2.shape}", needed="a square map (N, N)", action="give one two-time map at a time"
        )
    if g2.dtype.kind not in "uif":
        raise MapError(f"a map of dtype {g2.dtype}", needed="real numbers", action="give g2, not the field correlation")
    if np.isinf(g2).any():
        raise MapError(
            f"{np.isinf(g2).sum()} infinite values",
            needed="finite values, NaN for bad frames",
            action="set them to NaN",
        )
    off = g2[~np.eye(len(g2), dtype=bool)]
    scale = float(np.max(np.abs(off), initial=0.0, where=np.isfinite(off)))
    if not np.allclose(g2, g2.T, rtol=0.0, atol=1e-5 * scale, equal_nan=True):
        raise MapError(
            "a map that is not symmetric",
            needed="C(t1, t2) = C(t2, t1)",
            action="check the file, or average the map with its transpose",
        )
    return g2


def measure_map(g2: NDArray[Any], contrast: float, frame_time: float, max_cells: int, min_pairs: int) -> NonEquilibrium:
    """Eq. 1-3 of one map, without the corrected share.

    Args:
        g2: (N, N) symmetric, NaN where frames are bad.
        contrast: by how much g2 rises above its baseline; NaN or not positive leaves the amplitude NaN.
        frame_time: s between rows.
        max_cells: most time cells.
        min_pairs: shortest diagonal that takes part, cells.
    """
    frames_per_cell = len(g2) // (max_cells + 1) + 1
    binned = cell_means(g2, frames_per_cell)
    cells = len(binned)
    np.fill_diagonal(binned, np.nan)
    # A symmetric map holds every pair twice; one triangle gives the same averages.
    sheared = by_lag(binned)
    tti, pairs = lag_means(sheared)
    tti[pairs < min_pairs] = np.nan
    residual = sheared - tti
    used = np.isfinite(residual)

    status = _status(sheared[used], g2.dtype)
    s_noneq = relative = np.nan
    if status == "ok":
        mean_square = float(np.mean(residual[used] ** 2))
        s_noneq = mean_square / float(np.var(sheared[used]))
        relative = float(np.sqrt(mean_square)) / contrast if contrast > 0 else np.nan
    times = np.arange(cells)
    return NonEquilibrium(
        s_noneq=s_noneq,
        s_noneq_norm=float(np.sqrt(s_noneq)),
        drift_rms_over_contrast=relative,
        contrast=contrast,
        drift=(binned - tti[np.abs(times[:, None] - times[None, :])]).astype(np.float32),
        tti=tti,
        cell=frames_per_cell * frame_time,
        window=cells * frames_per_cell * frame_time,
        frames_per_cell=frames_per_cell,
        min_pairs=min_pairs,
        status=status,
    )


def _status(values: NDArray[np.float64], dtype: np.dtype[Any]) -> str:
    if values.size == 0:
        return "no valid cell off the diagonal"
    if values.size < 3:
        return f"only {values.size} valid cell(s) off the diagonal"
    # Below a few units of the stored type's rounding there is no structure, only rounding.
    rounding = float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)
    if np.ptp(values) <= 4 * rounding * np.abs(values).max():
        return "constant map: nothing varies, so there is no share of variance"
    return "ok"
