"""Speckle and photon noise of two-time maps, drawn with its covariance instead of pixel by pixel.

Counts of pixel p over their expectation are ``1 + v y_p(t) + s_p(t)``: y the speckle, ``y = sum_m w_m (|E_m|^2 - 1)``
over coherence modes, v the visibility, s the photons' noise of variance ``(1 + v y) / mu``. A map is

    C = 1 + (R - m m') / [(1 + m) (1 + m')],

m the mean and R the mean product of ``v y + s`` over P pixels. Both are means over many pixels, so they are Gaussian
with covariances that Wick's theorem gives (Goodman, Statistical Optics, sec. 2.8; G the expected (g2 - 1) / beta, f the
field correlation, f^2 = G, kappa_k the pixels that share a speckle, see ``_map_speckles``):

- speckle, two fields: ``sum_m w_m^2 2 Re(f_ji W_m,ij)`` and ``m_i = sum_m w_m W_m,ii``, with W a Gaussian Hermitian
  matrix ``f^(1/2) Z f^(1/2)`` of variance kappa_2 / P. Contrast and mean fluctuate together;
- speckle, four fields: ``beta L Z L'`` with ``L L' = G`` and variance kappa_4 / P; products within one mode add
  ``sum w^4 2 f_ik f_kj f_jl f_li``, put in by a factor on each entry, which is exact for every entry's own variance;
- speckle with photons: ``A_ij = <y_i s_j>``, for each j of covariance ``(beta G_ik + sum w^3 2 f_ik f_kj f_ji) / (P
  mu_j)``;
- photons with photons: independent, of variance ``(1 + v v' beta G) / (P mu mu')``.

Photons of different pixels are independent whatever the speckle's size. Pixels of unequal brightness (unevenness u)
multiply the map by ``1 + u^2`` and add stripes, because its rows weigh pixels by their brightness twice and their means
once. Left out are third cumulants (photons show entries of a skewness of 3 to 6 over the root of the number of
independent pixels) and covariances of second order in one over that number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.simulation.measurement._map_arrays import Array, Arrays
from gbx_beamline.simulation.measurement._map_cells import ScanCells
from gbx_beamline.simulation.measurement._map_shape import per_roi
from gbx_beamline.simulation.measurement._map_speckles import sharing
from gbx_beamline.simulation.measurement._modes import mode_weights
from gbx_beamline.simulation.measurement._photons import patch_shape
from gbx_beamline.simulation.measurement._q_nodes import node_factors
from gbx_beamline.simulation.measurement._settings import Measurement


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What the noise of S scans' Q q-ROIs depends on, beside their expected maps."""

    contrast: NDArray[np.float64]
    """(S, Q) beta, the sum of w^2."""
    third: NDArray[np.float64]
    """(S, Q) sum of w^3."""
    fourth: NDArray[np.float64]
    """(S, Q) sum of w^4."""
    unevenness: NDArray[np.float64]
    """(S, Q) u."""
    pixels: NDArray[np.float64]
    """(S, Q) of one group."""
    shared_two: NDArray[np.float64]
    """(S, Q) kappa_2 of a group."""
    shared_four: NDArray[np.float64]
    """(S, Q) kappa_4 of a group."""
    visibility: NDArray[np.float64]
    """(S, Q, n) v."""
    shot: NDArray[np.float64]
    """(S, Q, n) 1 / mu."""


def detection_of(measurements: Sequence[Measurement], cells: ScanCells, groups: int) -> Detection:
    """Detection of scans whose pixels are split into ``groups`` equal parts, runs of rows."""
    parts = max(groups, 1)
    contrast = per_roi(measurements, "contrast")
    powers = np.array([[(mode_weights(beta)[:, None] ** (3, 4)).sum(axis=0) for beta in scan] for scan in contrast])
    pixels = np.array([measurement.pixels for measurement in measurements], dtype=np.float64)
    patches = np.array([[patch_shape(count) for count in measurement.pixels] for measurement in measurements])
    strips = np.array([len(node_factors(measurement)) for measurement in measurements])
    size = np.array([measurement.speckle_size for measurement in measurements])
    two, three, four = sharing(
        np.broadcast_to(size[:, None], pixels.shape), patches[..., 0] / parts, patches[..., 1] / strips[:, None]
    )
    uneven = per_roi(measurements, "unevenness")
    # Relative weights of the field's square and of its product with the reference, where nothing has decayed.
    speckle = (1.0 - per_roi(measurements, "reference")) ** 2
    mixed = np.maximum(1.0 - speckle - per_roi(measurements, "reference") ** 2, 0.0)
    four = (speckle**2 * four + 2.0 * speckle * mixed * three + mixed**2 * two) / (speckle + mixed) ** 2
    brightness = 1.0 + 4.0 * uneven**2
    background = per_roi(measurements, "background")
    return Detection(
        contrast=contrast,
        third=powers[..., 0],
        fourth=powers[..., 1],
        unevenness=uneven,
        pixels=pixels / parts,
        shared_two=two * brightness,
        shared_four=four * brightness,
        visibility=cells.visibility[:, None, :] * (1.0 - background)[..., None],
        shot=cells.shot[:, None, :] / per_roi(measurements, "mean_counts")[..., None],
    )


def noisy_maps(
    shape: Array, follows: Array, detection: Detection, seeds: Sequence[int], groups: int, arrays: Arrays
) -> tuple[Array, Array | None]:
    """Maps of the ROIs and of their pixel groups, without stripes of the monitor.

    Args:
        shape: (S, Q, n, n) G, from ``cell_correlations``.
        follows: (S, Q, n, n) f, from there.
        detection: of the same scans.
        seeds: (S,).
        groups: K; 0 for none.
        arrays: numpy or torch.

    Returns:
        (S, Q, n, n), and (S, Q, K, n, n) or None. A ROI's map is that of its groups' pixels together. Diagonals mean
        nothing.
    """
    scale = _scales(shape, follows, detection, arrays)
    rois, size = shape.shape[1:3]
    white = arrays.normals(seeds, (rois, max(groups, 1), 5 * size + 3, size))
    two, four, mixed, photons, chain = (white[..., part * size : (part + 1) * size, :] for part in range(5))
    steady, stripe, flicker = (white[..., 5 * size + row, :] for row in range(3))

    root, field_root = (arrays.root(matrix)[:, :, None] for matrix in (shape, follows))
    two = field_root @ two @ field_root.swapaxes(-1, -2)
    mixed = root @ mixed
    product = root @ four @ root.swapaxes(-1, -2)
    product *= scale.four
    product += two * scale.two
    product += mixed * scale.mixed
    product += (field_root @ chain) * scale.chain
    product += photons * scale.photons
    mean = two.diagonal(0, -2, -1) * scale.mean_speckle
    mean = mean + mixed.diagonal(0, -2, -1) * scale.mean_mixed + steady * scale.mean_photons
    if detection.unevenness.any():
        rows = (root @ stripe[..., None])[..., 0] * scale.stripe_speckle + flicker * scale.stripe_photons
        product += rows[..., None]
    product = product + product.swapaxes(-1, -2)
    product += scale.expected

    uneven = 1.0 + arrays.array(detection.unevenness)[:, :, None, None] ** 2
    total = _normalised(product.mean(2), mean.mean(2)) if groups else _normalised(product[:, :, 0], mean[:, :, 0])
    return total * uneven, _normalised(product, mean) * uneven[:, :, None] if groups else None


def _normalised(product: Array, mean: Array) -> Array:
    """``1 + (R - m m') / [(1 + m) (1 + m')]``."""
    level = 1.0 + mean
    return 1.0 + (product - mean[..., :, None] * mean[..., None, :]) / (level[..., :, None] * level[..., None, :])


@dataclass(frozen=True, kw_only=True)
class _Scales:
    """Standard deviations: (S, Q, 1, n, n) before a matrix is added to its transpose, (S, Q, 1, n) of means."""

    expected: Array
    two: Array
    four: Array
    mixed: Array
    chain: Array
    photons: Array
    mean_speckle: Array
    mean_mixed: Array
    mean_photons: Array
    stripe_speckle: Array
    stripe_photons: Array


def _scales(shape: Array, follows: Array, detection: Detection, arrays: Arrays) -> _Scales:
    xp = arrays.xp

    def matrix(values: NDArray[np.float64]) -> Array:
        return arrays.array(values)[:, :, None, None]

    beta, pixels = detection.contrast, detection.pixels
    v = arrays.array(detection.visibility)
    seen = v[..., :, None] * v[..., None, :]
    # Per pixel of the group: 1 / (P mu).
    noise = arrays.array(detection.shot / pixels[..., None])
    positive = xp.clip(shape, 0.0, None)
    within = positive.diagonal(0, -2, -1)
    expected = matrix(beta) * shape * seen

    four = seen * xp.sqrt(1.0 + matrix(2.0 * detection.fourth / beta**2) * (positive / (1.0 + positive * positive)))
    four *= matrix(beta * np.sqrt(0.5 * detection.shared_four / pixels))
    two = seen * follows * matrix(np.sqrt(detection.fourth * detection.shared_two / pixels))
    mixed = v[..., :, None] * xp.sqrt(matrix(beta)[..., 0] * noise)[..., None, :]
    chain = (
        follows * v[..., :, None] * xp.sqrt(arrays.array(2.0 * detection.third[..., None]) * v * noise)[..., None, :]
    )
    root_noise = xp.sqrt(noise)
    photons = xp.sqrt(0.5 * xp.clip(1.0 + expected, 0.0, None)) * (root_noise[..., :, None] * root_noise[..., None, :])
    photons *= matrix(np.sqrt(pixels))
    speckle = v * xp.sqrt(within) * matrix(np.sqrt(beta * detection.shared_two / pixels))[..., 0]
    lost = xp.clip(1.0 - matrix(beta)[..., 0] * within * v * v, 0.0, None)
    uneven = matrix(detection.unevenness)[..., 0]
    return _Scales(
        expected=expected[:, :, None],
        two=two[:, :, None],
        four=four[:, :, None],
        mixed=mixed[:, :, None],
        chain=chain[:, :, None],
        photons=photons[:, :, None],
        mean_speckle=speckle[:, :, None],
        mean_mixed=(root_noise * v * matrix(np.sqrt(beta))[..., 0])[:, :, None],
        mean_photons=(root_noise * xp.sqrt(lost))[:, :, None],
        stripe_speckle=(uneven * v * matrix(np.sqrt(beta * detection.shared_two / pixels))[..., 0])[:, :, None],
        stripe_photons=(uneven * root_noise)[:, :, None],
    )
