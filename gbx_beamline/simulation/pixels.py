"""Photon counts of independent pixels with any prescribed dynamics: ground truth without an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError

BLOCK = 1024
"""Pixels drawn at once; part of the definition of a seed's movie."""


def pixel_counts(
    field_correlation: NDArray[Any],
    pixels: int,
    *,
    modes: int,
    mean_counts: float,
    seed: int,
) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """Photon counts of independent pixels.

    Each pixel adds the intensities of ``modes`` independent complex Gaussian fields with
    ``<E(t1) E*(t2)> = f(t1, t2)`` (Goodman, Speckle Phenomena in Optics, ch. 3-4), then draws Poisson counts. In
    expectation ``g2(t1, t2) = 1 + |f(t1, t2)|^2 / modes`` exactly, at the diagonal by factorial moment.

    Args:
        field_correlation: (N, N) f, Hermitian, positive semi-definite, 1 on the diagonal.
        pixels: P.
        modes: coherence modes; the contrast is 1 / modes.
        mean_counts: per pixel and frame.
        seed: same seed, same counts.

    Returns:
        (N, P) uint16, or uint32 where a count needs it.

    Raises:
        InputError: f is no correlation function, or a number is not positive.
    """
    if min(pixels, modes) < 1 or not (np.isfinite(mean_counts) and mean_counts > 0) or seed < 0:
        raise InputError(
            f"pixels = {pixels}, modes = {modes}, mean_counts = {mean_counts}, seed = {seed}",
            needed="at least one pixel and mode, a positive mean and a seed of 0 or more",
            action="correct the setting",
        )
    root = _square_root(np.asarray(field_correlation))
    rng = np.random.default_rng(seed)
    frames = len(root)
    counts = np.empty((frames, pixels), dtype=np.uint32)
    for start in range(0, pixels, BLOCK):
        width = min(BLOCK, pixels - start)
        intensity = np.zeros((frames, width))
        for _ in range(modes):
            white = rng.standard_normal((2, frames, width))
            field = root @ (white[0] + 1j * white[1])
            intensity += field.real**2 + field.imag**2
        # |E|^2 has mean 2 here: one from each of the real and the imaginary part.
        counts[:, start : start + width] = rng.poisson(intensity * (mean_counts / (2 * modes)))
    return counts.astype(np.uint16) if counts.max() <= np.iinfo(np.uint16).max else counts


def _square_root(f: NDArray[Any]) -> NDArray[Any]:
    """(N, N) B with B B^H = f."""
    advice = {
        "needed": "a Hermitian, positive semi-definite (N, N) array with 1 on the diagonal",
        "action": "give f(t1, t2) itself, not |f|^2 or g2",
    }
    if f.ndim != 2 or f.shape[0] != f.shape[1] or f.size == 0 or not np.isfinite(f).all():
        raise InputError(f"a field correlation of shape {f.shape} or with values that are not finite", **advice)
    if not np.allclose(f, f.conj().T, atol=1e-8) or not np.allclose(np.diagonal(f), 1.0, atol=1e-6):
        raise InputError("a field correlation that is not Hermitian or not 1 on the diagonal", **advice)
    values, vectors = np.linalg.eigh(f)
    if values[0] < -1e-8 * values[-1]:
        raise InputError(f"a field correlation with eigenvalue {values[0]:.3g}", **advice)
    return vectors * np.sqrt(np.clip(values, 0.0, None))
