"""Expected maps of a scan on time cells, and how they change with the parameters and with every nuisance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records import Bools
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.measurement import EFFECTS, Measurement, SamplePrior, VirtualScan, traces_of

STEPS = np.array([0.05, 0.15, 0.02])
"""Half widths of the numerical derivatives, of log10 D, log10 gamma and lambda."""

_NUISANCE_STEP = 1e-3

BOW_STEP = 5e-9
"""m. A straight boundary bends up or down alike, so that the map begins with the square of its bow: the derivative is
taken over this much on both sides, from 0 on."""

PER_ROI = ("contrast", "background", "static_fraction", "reference", "unevenness")
"""Free in every q-ROI."""
SHARED = ("contrast_drift", "q_offset")
"""Free, one for the scan."""


@dataclass(frozen=True, kw_only=True)
class ScanOnCells:
    """A scan's traces on n time cells: means over valid frames."""

    time: NDArray[np.float64]
    """(n,) s, the middle whatever is valid: shots of one sample then share its draws."""
    ramp: NDArray[np.float64]
    """(n,) progress through the scan, -1/2..1/2."""
    displacement: NDArray[np.float64]
    """(n,) of the beam."""
    shot: NDArray[np.float64]
    """(n,) variance of a pixel's relative counts by photons, times its ``mean_counts``; infinite is never used."""
    known: Bools
    """(n,) whether a cell has a valid frame."""


def on_cells(measurement: Measurement, seed: int, cells: int) -> ScanOnCells:
    """Traces of a scan on so many cells of ``frames // cells`` frames."""
    traces = traces_of(measurement, seed)
    width = measurement.frames // cells
    shape = (cells, width)
    used = slice(cells * width)
    valid = traces.valid[used].reshape(shape)
    known: Bools = valid.sum(axis=1) > 0
    weights = np.where(known[:, None], valid, True).astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    ramp = np.linspace(-0.5, 0.5, measurement.frames)
    return ScanOnCells(
        time=traces.t[used].reshape(shape).mean(axis=1),
        ramp=(weights * ramp[used].reshape(shape)).sum(axis=1),
        displacement=(weights * traces.displacement[used].reshape(shape)).sum(axis=1),
        shot=(weights**2 / traces.flux[used].reshape(shape)).sum(axis=1),
        known=known,
    )


@dataclass(frozen=True, kw_only=True)
class SampleFields:
    """Boundaries' field correlations of M draws at cells' times, in five variants with the same noise."""

    waves: NDArray[np.complex64]
    """(5, M, Q, n, n) ``sum_b w_b a_b a_b*`` as is, at log10 gamma minus and plus its step, and with less and more
    bow."""
    bow: float
    """m between the last two."""
    kept: NDArray[np.float32]
    """(M, n, n) what avalanches left in place."""


AS_IS, LESS_FRICTION, MORE_FRICTION, LESS_BOW, MORE_BOW = range(5)
"""Variants of ``SampleFields``."""


def sample_fields(boundary: GrainBoundary, time: NDArray[np.float64], draws: int, seed: int) -> SampleFields:
    """Draw a sample's boundaries at the middles of the q-ROIs."""
    q = tuple(np.atleast_1d(np.asarray(boundary.q, dtype=np.float64)).tolist())
    step = float(10.0 ** STEPS[1])
    less, more = max(boundary.bow - BOW_STEP, 0.0), boundary.bow + BOW_STEP
    variants = (
        replace(boundary, q=q),
        replace(boundary, q=q, gamma=boundary.gamma / step),
        replace(boundary, q=q, gamma=boundary.gamma * step),
        replace(boundary, q=q, bow=less),
        replace(boundary, q=q, bow=more),
    )
    n = len(time)
    waves = np.empty((len(variants), draws, len(q), n, n), dtype=np.complex64)
    kept = np.empty((draws, n, n), dtype=np.float32)
    for row, variant in enumerate(variants):
        for number in range(draws):
            draw = variant.draw(time, seed + number)
            weighed = draw.amplitudes * draw.weights[:, None]
            waves[row, number] = np.swapaxes(weighed, 1, 2) @ draw.amplitudes.conj()
            kept[number] = np.exp(-np.abs(draw.renewals[:, None] - draw.renewals))
    return SampleFields(waves=waves, bow=more - less, kept=kept)


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One set of values at which maps are expected."""

    diffusivity: float
    gb_fraction: float
    measurement: Measurement
    boundaries: int = AS_IS
    """Variant of ``SampleFields``."""


def expected_maps(
    scan: VirtualScan, fields: SampleFields, cells: ScanOnCells, values: Variation
) -> NDArray[np.float64]:
    """(M, Q, n, n) expected ``g2 - 1`` of each draw, as ``simulation.measurement.expected_two_time`` has it at one q
    per ROI and one moment per cell, without errors of the monitor."""
    boundary, measured = scan.boundary, values.measurement
    rois = range(fields.waves.shape[2])
    q = np.atleast_1d(np.asarray(boundary.q, dtype=np.float64)) * (1.0 + measured.q_offset)
    lag = np.abs(cells.time[:, None] - cells.time)
    bulk = np.exp(-values.diffusivity * q[:, None, None] ** 2 * lag)
    share = values.gb_fraction
    g = share * fields.waves[values.boundaries] + (1.0 - share) * bulk
    level = np.sqrt(np.diagonal(g.real, axis1=-2, axis2=-1))
    g *= fields.kept[:, None] / (level[..., :, None] * level[..., None, :])
    d = cells.displacement
    overlap = np.exp(-((d[:, None] - d) ** 2) / 8.0)
    static, x, beta, dark, uneven = (
        _column([measured.of(name, roi) for roi in rois])
        for name in ("static_fraction", "reference", "contrast", "background", "unevenness")
    )
    field = (static + (1.0 - static) * g) * overlap
    shape = (1.0 - x) ** 2 * (field.real**2 + field.imag**2) + 2.0 * x * (1.0 - x) * field.real
    drift = 1.0 + measured.contrast_drift * cells.ramp
    seen = np.sqrt(np.outer(drift, drift)) / (1.0 + 0.5 * abs(measured.contrast_drift))
    speckle = beta * (1.0 - dark) ** 2 * seen * shape
    return (1.0 + uneven**2) * (1.0 + speckle) - 1.0


def nuisance_variations(values: Variation, rois: int, bow: float) -> list[tuple[Variation, Variation, float]]:
    """For each nuisance: values below and above, the distance between them, and the precision of its prior.

    Args:
        values: the truth.
        rois: Q.
        bow: m between the variants of ``SampleFields`` that have less and more of it.
    """
    bent = replace(values, boundaries=LESS_BOW), replace(values, boundaries=MORE_BOW)
    found = [(*bent, float(np.sqrt(bow_variance())) / bow)]
    for name in PER_ROI:
        for roi in range(rois):
            spread = [values.measurement.of(name, each) for each in range(rois)]
            found.append(_around(values, name, spread, roi))
    for name in SHARED:
        found.append(_around(values, name, [values.measurement.of(name, 0)], 0))
    return found


def _around(values: Variation, name: str, spread: list[float], roi: int) -> tuple[Variation, Variation, float]:
    effect = EFFECTS[name]
    # A square enters the map: at 0 its derivative is nothing though its value is anything.
    middle = max(spread[roi], 0.05) if name == "unevenness" else spread[roi]
    low, high = (
        min(max(middle + step, effect.allowed[0]), effect.allowed[1]) for step in (-_NUISANCE_STEP, _NUISANCE_STEP)
    )
    ends = []
    for value in (low, high):
        changed = tuple(value if each == roi else other for each, other in enumerate(spread))
        setting = changed if effect.per_roi else value
        ends.append(replace(values, measurement=replace(values.measurement, **{name: setting})))
    return ends[0], ends[1], float(np.sqrt(prior_variance(name))) / (high - low)


def prior_variance(name: str) -> float:
    """Variance of an effect's prior, whose share ``1 - present`` has the neutral value."""
    effect = EFFECTS[name]
    low, high = effect.prior
    mean, square = 0.5 * (low + high), (low**2 + low * high + high**2) / 3.0
    there = effect.present
    first = there * mean + (1.0 - there) * effect.neutral
    return there * square + (1.0 - there) * effect.neutral**2 - first**2


def bow_variance() -> float:
    """m^2, of the prior of A in Eq. 9: 0 in a share of samples, else uniform."""
    prior = SamplePrior()
    return prior.bowed * prior.bow**2 / 3.0 - (0.5 * prior.bowed * prior.bow) ** 2


def _column(values: list[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)[:, None, None]
