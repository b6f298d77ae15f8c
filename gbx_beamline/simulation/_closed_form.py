"""Ensemble mean of a boundary's field correlation in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.simulation._modes import Modes
from gbx_beamline.simulation._steps import Steps

BLOCK = 2**21
"""Most numbers at once: 16 MiB."""


def mean_field(
    modes: Modes, steps: Steps, bow: float, q: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """E[g1_GB] over trajectories, summed over values of q.

    The heights are Gaussian, so ``E[exp(-i q (z_i(t) - z_j(t')))] = exp(-i q (m_i(t) - m_j(t')) - q^2/2 (V_i(t) +
    V_j(t') - 2 C_ij(t, t')))`` with the means m, variances V and covariances ``C_ij(t <= t') = sum_n S_in S_jn v_n(t)
    d_n(t, t')`` that the modes' steps give.

    Args:
        modes: of a boundary of N sites.
        steps: n steps; exact or Euler, each has its own closed form.
        bow: A of Eq. 9, m.
        q: (R,) 1/m.
        weights: (Q, R) of each q in each of Q results.

    Returns:
        (Q, n, n), Hermitian.
    """
    mean = np.pad(steps.means(modes.of_bow(bow)) @ modes.basis, ((0, 0), (1, 1)))
    variances = steps.variances()
    basis = np.pad(modes.basis, ((0, 0), (1, 1)))
    spread = variances @ basis**2
    phase = np.exp(1j * q[:, None, None] * mean)  # of the second site; the first has its conjugate
    frames, sites = mean.shape
    out = np.zeros((len(weights), frames, frames), dtype=np.complex128)
    # The bow is symmetric, so (i, j) and its mirror image (N-1-i, N-1-j) have the same mean: half of i will do.
    half = np.arange((sites + 1) // 2)
    twice = np.where(2 * half == sites - 1, 1.0, 2.0) / sites**2
    together = max(1, BLOCK // (sites * max(frames, len(basis))))
    for first in range(0, len(half), together):
        part = half[first : first + together]
        products = (basis[:, part, None] * basis[:, None, :]).reshape(len(basis), -1)
        for k in range(frames):
            shared = (steps.decays_from(k) * variances[k]) @ products
            distance = spread[k, part, None] + spread[k:, None, :] - 2.0 * shared.reshape(-1, len(part), sites)
            for value, turn, weight in zip(q, phase, weights.T, strict=True):
                damping = np.exp(-0.5 * value**2 * distance)
                row = np.einsum("i,tij,tj->t", twice[part] * turn[k, part].conj(), damping, turn[k:], optimize=True)
                out[:, k, k:] += weight[:, None] * row
    lower = np.tril_indices(frames, -1)
    out[:, lower[0], lower[1]] = out[:, lower[1], lower[0]].conj()
    return out
