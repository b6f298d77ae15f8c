"""At which q a q-ROI sees the sample: the geometry's error and the ROI's width."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.simulation.grain_boundary import Draw, GrainBoundary
from gbx_beamline.simulation.measurement._settings import Measurement

_NODES = np.array([-math.sqrt(0.6), 0.0, math.sqrt(0.6)])
_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0


def node_factors(measurement: Measurement) -> NDArray[np.float64]:
    """(K,) q in units of the middle of the ROI: 1 node, or with ``q_spread`` 3 Gauss-Legendre nodes.

    Three are exact for what is a polynomial of degree 5 in q within the ROI.
    """
    return 1.0 + measurement.q_spread * _NODES if measurement.q_spread > 0 else np.ones(1)


def node_weights(measurement: Measurement) -> NDArray[np.float64]:
    """(K,) shares of the ROI's pixels at each node; their sum is 1."""
    return _WEIGHTS.copy() if measurement.q_spread > 0 else np.ones(1)


def roi_nodes(draw: Draw, measurement: Measurement, roi: int) -> slice:
    """Where the draw's first axis holds the K nodes of q-ROI ``roi``.

    Raises:
        InputError: the draw was made for other q or at other times than the measurement's.
    """
    nodes, rois = len(node_factors(measurement)), len(measurement.pixels)
    found = draw.amplitudes.shape
    expected = np.arange(measurement.frames) * measurement.frame_time
    if found[0] != nodes * rois or found[-1] != len(expected) or not np.allclose(draw.t, expected):
        raise InputError(
            f"a draw at {found[0]} q and {found[-1]} times from {draw.t[0]:g} to {draw.t[-1]:g} s",
            needed=f"{rois} q-ROIs x {nodes} nodes, and {len(expected)} frames every {measurement.frame_time:g} s",
            action="make it with draw_seen(boundary, measurement, seed)",
        )
    if not 0 <= roi < rois:
        raise InputError(f"q-ROI {roi}", needed=f"0 to {rois - 1}", action="correct roi")
    return slice(roi * nodes, (roi + 1) * nodes)


def draw_seen(boundary: GrainBoundary, measurement: Measurement, seed: int) -> Draw:
    """One realisation of the boundary as the measurement's q-ROIs see it, at the times of its frames.

    Args:
        boundary: its ``q`` (one, or one for each q-ROI of the measurement) is what the geometry says; the sample is
            seen at ``q (1 + q_offset) (1 + q_spread u)``. The offset holds for ``q_z`` too, the spread does not.
        measurement: frames, their times, q-ROIs, offset and spread.
        seed: same seed, same realisation.

    Returns:
        Draw whose first axis holds the nodes of the first q-ROI, then those of the next, ...

    Raises:
        InputError: another number of q than of q-ROIs.
    """
    rois = len(measurement.pixels)
    q = np.atleast_1d(np.asarray(boundary.q, dtype=np.float64))
    if q.size != rois:
        raise InputError(
            f"{q.size} q and {rois} q-ROIs", needed="one q for each q-ROI", action="give as many q as pixels"
        )
    factors = node_factors(measurement)
    offset = 1.0 + measurement.q_offset
    out_of_plane = np.broadcast_to(np.asarray(boundary.q_z, dtype=np.float64), q.shape)
    seen = replace(
        boundary,
        q=tuple(float(value) for value in np.outer(q * offset, factors).ravel()),
        q_z=tuple(float(value) for value in np.repeat(out_of_plane * offset, len(factors))),
    )
    return seen.draw(np.arange(measurement.frames) * measurement.frame_time, seed)
