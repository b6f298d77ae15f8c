"""The two-time map that a measurement shows on average: what photons and fast maps scatter about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.simulation.grain_boundary import Draw
from gbx_beamline.simulation.measurement._q_nodes import node_weights, roi_nodes
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.measurement._traces import Traces


def sample_correlation(draw: Draw, node: int) -> NDArray[np.complex128]:
    """(N, N) normalised field correlation g of the sample at one q of the draw; 1 on the diagonal."""
    amplitudes, share = draw.amplitudes[node], draw.gb_fraction
    boundary = np.einsum("b,bt,bs->ts", draw.weights, amplitudes, amplitudes.conj(), optimize=True)
    lag = np.abs(draw.t[:, None] - draw.t[None, :])
    g1 = share * boundary + (1.0 - share) * np.exp(-draw.bulk_rates[node] * lag)
    level = np.sqrt(np.diagonal(g1.real))
    return g1 * np.exp(-np.abs(draw.renewals[:, None] - draw.renewals[None, :])) / np.outer(level, level)


def motion_kernel(displacement: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, N) what is left of the field's correlation when the beam moved on the sample: exp(-(d - d')^2 / 8).

    d in standard deviations of the intensity profile, a Gaussian: the overlap of two displaced amplitude profiles.
    """
    return np.exp(-((displacement[:, None] - displacement[None, :]) ** 2) / 8.0)


def interference(field: NDArray[np.complex128], reference: float) -> NDArray[np.float64]:
    """|f|^2 of a field correlation F, or with a share ``reference`` of coherent uniform light.

    ``(1 - x)^2 |F|^2 + 2 x (1 - x) Re F`` (partial heterodyning; Gutt et al., Phys. Rev. Lett. 91, 076104 (2003)).
    """
    x = reference
    return (1.0 - x) ** 2 * (field.real**2 + field.imag**2) + 2.0 * x * (1.0 - x) * field.real


def expected_shape(draw: Draw, measurement: Measurement, traces: Traces, roi: int) -> NDArray[np.float64]:
    """(N, N) (g2 - 1) / contrast of fully coherent light, averaged over the q in the ROI.

    ``F = s + (1 - s) g``, times what beam motion leaves of it, interfering with the reference.
    """
    static = measurement.of("static_fraction", roi)
    kernel = motion_kernel(traces.displacement) if measurement.beam_motion > 0 else 1.0
    part = roi_nodes(draw, measurement, roi)
    total = np.zeros((len(draw.t), len(draw.t)))
    for node, weight in zip(range(part.start, part.stop), node_weights(measurement), strict=True):
        field = kernel * (static + (1.0 - static) * sample_correlation(draw, node))
        total += weight * interference(field, measurement.of("reference", roi))
    return total


def expected_two_time(draw: Draw, measurement: Measurement, traces: Traces, roi: int) -> NDArray[np.float64]:
    """The map of one q-ROI without any noise, as ``two_time`` shows it after stripes of the monitor.

    ``g2 = (1 + u^2) [1 + (1 - b)^2 v v' beta shape] (1 + e)(1 + e')``.

    Args:
        draw: from ``draw_seen``.
        measurement: the settings.
        traces: of the same measurement.
        roi: 0, 1, ...

    Returns:
        (N, N) free of shot noise on the diagonal too; rows and columns of invalid frames are NaN.
    """
    visible = traces.visibility * (1.0 - measurement.of("background", roi))
    speckle = measurement.of("contrast", roi) * np.outer(visible, visible)
    g2 = 1.0 + speckle * expected_shape(draw, measurement, traces, roi)
    stripes = np.where(traces.valid, 1.0 + traces.monitor, np.nan)
    return (1.0 + measurement.of("unevenness", roi) ** 2) * g2 * np.outer(stripes, stripes)
