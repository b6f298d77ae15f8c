"""Heights of fluctuating boundaries and the amplitude that each one scatters."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gbx_beamline.simulation._modes import Modes
from gbx_beamline.simulation._steps import Steps

BLOCK = 2**20
"""Most random numbers at once: 8 MiB."""

CACHED = 2**14
"""Numbers turned into waves at once: 128 KiB, which stays in cache."""


def amplitudes(
    rng: np.random.Generator,
    modes: Modes,
    steps: Steps,
    bow: float,
    q: NDArray[np.float64],
    *,
    noise_at_sites: bool,
) -> NDArray[np.complex128]:
    """Draw boundaries and add up their sites' waves.

    Args:
        rng: (n, N-2) numbers are taken for each boundary, one boundary after the other.
        modes: of a boundary of N sites.
        steps: n steps from time to time.
        bow: A of Eq. 9, m.
        q: (Q, B) 1/m, what each of B boundaries sees.
        noise_at_sites: the random numbers push the sites (Eq. 6 as the paper integrates it) instead of the modes.

    Returns:
        (Q, B, n) ``a(t) = mean_i exp(-i q z_i(t))`` over all N sites, the pinned ones included. The sum is made in
        single precision on phases reduced in double: good to 1e-7.
    """
    frames, moving = len(steps.kind), len(modes.basis)
    out = np.empty((*q.shape, frames), dtype=np.complex128)
    start = modes.of_bow(bow)
    together = max(1, BLOCK // (frames * moving))
    for first in range(0, q.shape[1], together):
        part = slice(first, min(first + together, q.shape[1]))
        path = rng.standard_normal((part.stop - first, frames, moving))
        pieces = _pieces(frames, path.shape[0] * moving)
        if noise_at_sites:
            for piece in pieces:
                path[:, piece] = path[:, piece] @ modes.basis
        _evolve(path, start, steps.decay, steps.spread, steps.kind)
        for piece in pieces:
            heights = path[:, piece] @ modes.basis
            for roi, seen in enumerate(q[:, part]):
                out[roi, part, piece] = _site_mean(heights, seen)
    return out


def _pieces(frames: int, numbers: int) -> list[slice]:
    """Consecutive frames of ``numbers`` numbers each, as many as stay in cache together."""
    step = max(1, CACHED // numbers)
    return [slice(first, min(first + step, frames)) for first in range(0, frames, step)]


def _site_mean(heights: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(b, n) mean of exp(-i q z) over the N-2 moving sites of (b, n, N-2) and two sites at z = 0; q (b,)."""
    turns = heights * (q / (2.0 * np.pi))[:, None, None]
    # Whole turns go first: what is left fits into single precision, whose sine is fifteen times faster.
    turns -= np.rint(turns)
    phase = turns.astype(np.float32)
    phase *= np.float32(2.0 * np.pi)
    ones = np.ones(phase.shape[-1], dtype=np.float32)
    out = np.empty(phase.shape[:-1], dtype=np.complex128)
    out.real = 2.0 + np.cos(phase) @ ones
    out.imag = -(np.sin(phase, out=phase) @ ones)
    out /= phase.shape[-1] + 2
    return out


@njit(cache=True, nogil=True)
def _evolve(
    noise: NDArray[np.float64],
    start: NDArray[np.float64],
    decay: NDArray[np.float64],
    spread: NDArray[np.float64],
    kind: NDArray[np.int64],
) -> None:
    """Turn the (b, n, modes) noise into the modes' amplitudes, in place."""
    boundaries, frames, modes = noise.shape
    for boundary in range(boundaries):
        path = noise[boundary]
        for frame in range(frames):
            row = kind[frame]
            if frame == 0:
                for mode in range(modes):
                    path[0, mode] = decay[row, mode] * start[mode] + spread[row, mode] * path[0, mode]
            else:
                for mode in range(modes):
                    path[frame, mode] = decay[row, mode] * path[frame - 1, mode] + spread[row, mode] * path[frame, mode]
