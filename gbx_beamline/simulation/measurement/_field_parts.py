"""The sample's field as a sum of independent parts, each of which can be continued from one frame to the next.

``E(t) = sum_j phi_j(t) X_j(t)``, ``<X_j(t) X_j*(t')> = exp(-|T(t) - T(t')|)`` with the T of the part: 0 for what never
moves, the avalanches' H for the boundaries, H and ``q^2 D t`` for the bulk. Beam motion multiplies the correlation by
``exp(-(d - d')^2 / 8) = sum_k phi_k(d) phi_k(d')``, which multiplies the number of terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.simulation.grain_boundary import Draw

TOLERANCE = 1e-4
"""Share of a part's intensity that may be left out of its sum in any frame; what is kept is scaled up by it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """J terms that move alike, at each of Q q's."""

    factors: NDArray[np.complex128]
    """(Q, N, J) phi."""
    renewed: NDArray[np.float64]
    """(N - 1,) growth of T between frames that all q's share."""
    rates: NDArray[np.float64] | None
    """(Q,) 1/s by which T grows as well; None where it does not."""


def field_parts(
    draw: Draw, nodes: slice, *, static_fraction: float, displacement: NDArray[np.float64]
) -> tuple[Part, ...]:
    """Parts whose correlations add up to ``[s + (1 - s) g] exp(-(d - d')^2 / 8)``.

    Exact but for ``TOLERANCE``; where there is one boundary and the beam stands still, exact to rounding.

    Args:
        draw: the sample.
        nodes: which of its q's.
        static_fraction: s.
        displacement: (N,) d.

    Returns:
        Parts of non-zero intensity; their factors' squares add up to 1 in every frame.
    """
    amplitudes = draw.amplitudes[nodes].transpose(0, 2, 1) * np.sqrt(draw.weights * draw.gb_fraction)
    bulk = np.full((*amplitudes.shape[:2], 1), np.sqrt(1.0 - draw.gb_fraction), dtype=np.complex128)
    level = np.sqrt(_power(amplitudes) + _power(bulk))[..., None]
    moving = np.sqrt(1.0 - static_fraction)
    boundary, bulk = moving * amplitudes / level, moving * bulk / level
    static = np.full_like(bulk, np.sqrt(static_fraction))

    renewed = np.diff(draw.renewals)
    still = np.zeros_like(renewed)
    rates = draw.bulk_rates[nodes]
    if not renewed.any():
        # Nothing tells them apart: fewer terms together than one by one.
        boundary, static = np.concatenate([boundary, static], axis=2), np.zeros_like(static)
    features = motion_features(displacement)
    parts = (
        Part(factors=boundary, renewed=renewed, rates=None),
        Part(factors=bulk, renewed=renewed, rates=rates if rates.any() else None),
        Part(factors=static, renewed=still, rates=None),
    )
    return tuple(_compressed(part, features) for part in parts if np.abs(part.factors).max() > 0.0)


def motion_features(displacement: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K) phi with ``sum_k phi_k(d) phi_k(d') = exp(-(d - d')^2 / 8)``.

    The series of ``exp(d d' / 4)``: ``phi_k(d) = exp(-d^2 / 8) (d / 2)^k / sqrt(k!)``, K terms until ``TOLERANCE`` of 1
    is missing at the largest displacement.
    """
    # From the middle of the range, which leaves the differences as they are and the series short.
    d = displacement - 0.5 * (displacement.min() + displacement.max())
    term = np.exp(-(d**2) / 8.0)
    terms, kept = [term], term**2
    while kept.min() < 1.0 - 0.1 * TOLERANCE:
        term = term * d / (2.0 * np.sqrt(len(terms)))
        terms.append(term)
        kept = kept + term**2
    return np.stack(terms, axis=1) / np.sqrt(kept)[:, None]


def _compressed(part: Part, features: NDArray[np.float64]) -> Part:
    """The part times the motion's kernel, with as few terms as ``TOLERANCE`` lets it have.

    A unitary mixture of independent X is independent X again, so only the row space of phi counts.
    """
    q, frames, _ = part.factors.shape
    factors = (part.factors[..., :, None] * features[:, None, :]).reshape(q * frames, -1)
    if factors.shape[1] > 1:
        power = _power(factors)
        factors = _principal(factors)
        kept = np.cumsum(np.abs(factors) ** 2, axis=1)
        enough = (kept >= (1.0 - TOLERANCE) * power[:, None]).all(axis=0)
        terms = int(np.argmax(enough)) + 1 if enough.any() else factors.shape[1]
        short = kept[:, terms - 1]
        missing = np.divide(power, short, out=np.ones_like(power), where=short > 0)
        factors = factors[:, :terms] * np.sqrt(missing)[:, None]
    return Part(factors=factors.reshape(q, frames, -1), renewed=part.renewed, rates=part.rates)


def _principal(factors: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The same rows in the basis of their principal axes, strongest first."""
    rows, terms = factors.shape
    if rows >= terms:
        _, axes = np.linalg.eigh(factors.conj().T @ factors)
        return factors @ axes[:, ::-1]
    left, values, _ = np.linalg.svd(factors, full_matrices=False)
    return left * values


def _power(factors: NDArray[np.complex128]) -> NDArray[np.float64]:
    return (factors.real**2 + factors.imag**2).sum(axis=-1)
