"""Draws of the sample for fast maps: at one moment per time cell, and checked against the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gbx_beamline.errors import InputError
from gbx_beamline.simulation.measurement._q_nodes import node_factors
from gbx_beamline.simulation.measurement._settings import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gbx_beamline.simulation.grain_boundary import Draw, GrainBoundary


def draw_at_cells(boundary: GrainBoundary, measurement: Measurement, seed: int, size: int = 64) -> Draw:
    """One realisation as the measurement's q-ROIs see it, like ``draw_seen``, at the middles of ``size`` time cells.

    Args:
        boundary: as for ``draw_seen``.
        measurement: the settings.
        seed: same seed, same realisation.
        size: n cells of ``frames // size`` frames.

    Raises:
        InputError: another number of q than of q-ROIs, or fewer frames than cells.
    """
    check_cells([measurement], size)
    rois = len(measurement.pixels)
    q = np.atleast_1d(np.asarray(boundary.q, dtype=np.float64))
    if q.size != rois:
        raise InputError(
            f"{q.size} q and {rois} q-ROIs", needed="one q for each q-ROI", action="give as many q as pixels"
        )
    factors = node_factors(measurement)
    offset = 1.0 + measurement.q_offset
    q_z = np.broadcast_to(np.asarray(boundary.q_z, dtype=np.float64), q.shape)
    seen = replace(
        boundary,
        q=tuple(np.outer(q * offset, factors).ravel().tolist()),
        q_z=tuple(np.repeat(q_z * offset, len(factors)).tolist()),
    )
    return seen.draw(_middles(measurement, size), seed)


def check_cells(measurements: Sequence[Measurement], size: int) -> None:
    """Refuse scans that do not fit together or hold too few frames.

    Raises:
        InputError: named.
    """
    shapes = {(measurement.frames, len(measurement.pixels)) for measurement in measurements}
    if len(shapes) > 1:
        raise InputError(
            f"scans of (frames, q-ROIs) {', '.join(map(str, sorted(shapes)))}",
            needed="equally many frames and q-ROIs in all scans of a batch",
            action="make a batch for each",
        )
    frames = measurements[0].frames
    if not 3 <= size <= frames:
        raise InputError(f"size {size}", needed=f"3 to {frames} time cells for {frames} frames", action="correct size")


def check_draw(draw: Draw, measurement: Measurement, size: int) -> None:
    """Refuse a draw that another measurement sees.

    Raises:
        InputError: other q's, or times that are neither the frames' nor the cells'.
    """
    sets = len(measurement.pixels) * len(node_factors(measurement))
    frames = np.arange(measurement.frames) * measurement.frame_time
    tolerance = 1e-6 * measurement.frame_time
    fits = any(
        draw.t.shape == wanted.shape and np.allclose(draw.t, wanted, rtol=1e-9, atol=tolerance)
        for wanted in (frames, _middles(measurement, size))
    )
    if len(draw.amplitudes) != sets or not fits:
        raise InputError(
            f"a draw at {len(draw.amplitudes)} q and {len(draw.t)} times from {draw.t[0]:g} to {draw.t[-1]:g} s",
            needed=f"{sets} q (a node or three for each q-ROI), at the times of {measurement.frames} frames every "
            f"{measurement.frame_time:g} s or at the middles of {size} cells of them",
            action="make it with draw_seen or draw_at_cells",
        )


def _middles(measurement: Measurement, size: int) -> NDArray[np.float64]:
    """(n,) s."""
    frames = measurement.frames // size
    return (np.arange(size, dtype=np.float64) * frames + 0.5 * (frames - 1)) * measurement.frame_time
