"""Realisations of a planned shot: the model's own, with effects that it lacks, and samples that are something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning._virtual_plan import PlannedShot
from gbx_beamline.simulation import Draw
from gbx_beamline.simulation.measurement import Measurement, draw_seen

KEPT = 1e-7
"""Share of the trace below which an eigenvalue of a correlation is left out."""

Correlation = Callable[[float], NDArray[np.float64]]
"""From a rate in 1/s to a positive semi-definite (n, n) field correlation, 1 on the diagonal."""


def draw_shot(shot: PlannedShot) -> tuple[Draw, Measurement]:
    """The sample as the shot's q-ROIs see it, and the measurement to count photons with."""
    measurement = shot.scan.measurement
    t = np.arange(measurement.frames, dtype=np.float64) * measurement.frame_time
    if shot.kind in ("grain_boundary", "pareto"):
        return draw_seen(shot.scan.boundary, measurement, shot.seed), measurement
    if shot.kind == "stretched_bulk":
        draw = draw_seen(shot.scan.boundary, measurement, shot.seed)
        return with_bulk(draw, lambda rate: stretched(t, rate, shot.extra["exponent"])), measurement
    if shot.kind == "ramp":
        draw = draw_seen(shot.scan.boundary, measurement, shot.seed)
        progress = ramped(t, shot.extra["ramp"])
        return with_bulk(draw, lambda rate: stretched(progress, rate, 1.0)), measurement
    # One q for each q-ROI is enough for what is to be told apart from a grain boundary at all.
    measurement = measurement.without("q_spread")
    q = np.array(shot.scan.boundary.q, dtype=np.float64) * (1.0 + measurement.q_offset)
    if shot.kind == "static":
        return _simple(t, np.zeros(len(q))), measurement
    middle = float(q[len(q) // 2])
    if shot.kind == "colloid":
        return _simple(t, (q / middle) ** 2 / shot.extra["relaxation"]), measurement
    rates = q / middle / shot.extra["relaxation"]
    return with_bulk(_simple(t, rates), lambda rate: stretched(t, rate, shot.extra["exponent"])), measurement


def stretched(t: NDArray[np.float64], rate: float, exponent: float) -> NDArray[np.float64]:
    """(n, n) ``exp(-(rate |t - t'|)^exponent)``, positive semi-definite for exponents up to 2."""
    return np.exp(-((rate * np.abs(t[:, None] - t)) ** exponent))


def ramped(t: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """(n,) s that a process has gone on for whose rate grows linearly by ``ratio`` over the scan and has mean 1."""
    x = (t - t[0]) / (t[-1] - t[0])
    return (t[-1] - t[0]) * 2.0 / (1.0 + ratio) * (x + 0.5 * (ratio - 1.0) * x**2)


def with_bulk(draw: Draw, correlation: Correlation) -> Draw:
    """The draw with a bulk of any dynamics instead of a simple exponential.

    A correlation is a sum over its eigenvectors, each an amplitude like a boundary's: ``g1 = lambda sum_b w_b a_b a_b*
    + (1 - lambda) sum_j l_j v_j v_j*``, written as one sum with ``gb_fraction`` = 1. Avalanches act on both, as before.

    Args:
        draw: from ``draw_seen``; its ``bulk_rates`` are what the correlation is asked for.
        correlation: of the bulk at one q.
    """
    modes = [_eigenwaves(correlation(float(rate))) for rate in draw.bulk_rates]
    count = max(len(waves) for waves in modes)
    bulk = np.zeros((len(modes), count, len(draw.t)), dtype=np.complex128)
    for place, waves in zip(bulk, modes, strict=True):
        place[: len(waves)] = waves * np.sqrt(count)
    share = draw.gb_fraction
    return replace(
        draw,
        amplitudes=np.concatenate([draw.amplitudes, bulk], axis=1),
        weights=np.concatenate([share * draw.weights, np.full(count, (1.0 - share) / count)]),
        bulk_rates=np.zeros_like(draw.bulk_rates),
        gb_fraction=1.0,
    )


def _eigenwaves(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(J, n) waves whose products with themselves add up to the correlation, up to ``KEPT``."""
    values, vectors = np.linalg.eigh(correlation)
    kept = values > KEPT * values.sum()
    return (vectors[:, kept] * np.sqrt(values[kept])).T


def _simple(t: NDArray[np.float64], rates: NDArray[np.float64]) -> Draw:
    """A sample without boundaries that decays with these rates (1/s) at each q."""
    return Draw(
        t=t,
        amplitudes=np.ones((len(rates), 1, len(t)), dtype=np.complex128),
        weights=np.ones(1),
        bulk_rates=rates,
        renewals=np.zeros(len(t)),
        gb_fraction=0.0,
    )
