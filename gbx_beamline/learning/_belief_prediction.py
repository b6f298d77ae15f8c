"""Posterior predictive check: scans simulated from the answer, at the settings of the scan, beside the scan itself.

Compared are absolute sizes (of the drift, of the decay, of the noise), not only shapes: an answer whose S_noneq fits
may drift ten times too little. What the posterior does not say (number and shape of boundaries, static part, beam,
background) comes from the training's prior; pixels, photons, q, temperature, window, speckle size and unevenness are
the scan's own, and the contrast is such that the first lags are as high as measured. So a check fails where no scan of
this sample, measured in any way that training knows, would look like this one (Gelman, Meng and Stern, Statistica
Sinica 6, 733 (1996)).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning._input_features import REFERENCE_CONTRAST, SCALARS, lag_bins
from gbx_beamline.learning.contract import CellMaps, RoiFacts, ScanInput, cells_input, cells_of_maps
from gbx_beamline.records import PARAMETERS
from gbx_beamline.simulation.measurement import Measurement, SamplePrior, draw_sample_group, measured_maps_batch

if TYPE_CHECKING:
    from gbx_beamline.simulation.grain_boundary import GrainBoundary

STATISTICS = ("drift", "smooth_drift", "s_noneq", "early_decay", "decay", "noise")
"""Of a map, in units of g2 but for S: rms of the drift S(t1, t2) (Eq. 2), noise included; the same of what neighbours
along the diagonals share, so without the noise of single cells; Eq. 3 as printed; mean of the first two lags less that
of lags about a quarter of the window; the same less that of the last third; noise of single cells."""

TOGETHER = "together"
"""Name of the comparison of all statistics at once: a sample with such a decay may drift, but none drifts so little."""

WORDS = {
    "drift": "drift (rms)",
    "smooth_drift": "drift without noise (rms)",
    "s_noneq": "S_noneq",
    "early_decay": "decay of g2 within a quarter of the window",
    "decay": "decay of g2 within the window",
    "noise": "noise of single cells",
    TOGETHER: "how far these numbers together lie from the nearest simulated scans",
}

REPLICATES = 64
"""Scans simulated from an answer."""

FRAMES_PER_CELL = 4
"""Of the simulated scans: finer ones look the same on time cells."""

MOST_ROIS = 3
"""q-ROIs that are compared; of more, evenly spread ones."""

SIZES = ("drift", "smooth_drift", "noise")

NEAREST = 3
"""Simulated scans that ``TOGETHER`` takes the distance to."""

DECILE = 1.2816
"""Standard deviations from the median to the ninth decile of a Gaussian."""

MARGIN = 0.5
"""A statistic does not fit where it is beyond all simulated values, by this share of their reach from the median: the
tails are long, and a sample with some hundred avalanches is rare but no stranger."""

NARROWEST = 0.05
"""Relative standard deviation of a size that simulated scans have at least: contrast and speckle size are guesses."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One statistic, mean over the q-ROIs: measured, and as the answer has it."""

    statistic: str
    """Of ``STATISTICS``, or ``TOGETHER``."""
    measured: float
    median: float
    low: float
    high: float
    """``low..high``: 90 % of the simulated scans."""
    p_value: float
    """Share of simulated scans that are as far out on either side, or for ``TOGETHER`` as far from the others."""
    z: float
    """Distance from the median in robust standard deviations (of the logarithm for sizes and distances)."""
    fits: bool
    """Not beyond all simulated scans by ``MARGIN``. A right answer fails in one of its seven numbers once in forty."""


def statistics(scan: ScanInput) -> NDArray[np.float64]:
    """(Q, 6) the ``STATISTICS`` of each q-ROI, from what networks see of it."""
    column = {name: scan.scalars[:, index].astype(np.float64) for index, name in enumerate(SCALARS)}
    variance = 10.0 ** (2.0 * column["log10_sigma"])
    residual = (10.0 ** column["log10_residual"] - 1.0) * variance
    smooth = (10.0 ** column["log10_smooth_residual"] - 1.0) * variance
    noise = 10.0 ** (column["log10_white_noise"] + column["log10_sigma"])
    cells = scan.maps.shape[-1]
    edges = np.array(lag_bins(cells))
    # Pairs of cells in each bin of lags.
    pairs = np.array([sum(cells - lag for lag in range(a, b)) for a, b in itertools.pairwise(edges)])
    levels = scan.curves[:, 0].astype(np.float64)
    mean = levels @ pairs / pairs.sum()
    between = (levels - mean[:, None]) ** 2 @ pairs / pairs.sum()
    share = np.divide(residual, residual + between, out=np.zeros_like(residual), where=residual + between > 0)
    quarter = np.where((edges[:-1] >= cells // 6) & (edges[:-1] <= cells // 3), pairs, 0)
    early = column["first_lags"] - levels @ quarter / quarter.sum()
    sizes = [np.sqrt(np.maximum(residual, 0.0)), np.sqrt(np.maximum(smooth, 0.0))]
    decay = column["first_lags"] - column["last_lags"]
    unit = np.array([REFERENCE_CONTRAST if name != "s_noneq" else 1.0 for name in STATISTICS])
    return np.stack([*sizes, share, early, decay, noise], axis=1) * unit


def check_prediction(
    cells: CellMaps, samples: ArrayLike, *, count: int = REPLICATES, seed: int = 0, prior: SamplePrior | None = None
) -> tuple[Prediction, ...]:
    """Simulate from the answer and compare.

    Args:
        cells: of the scan, from ``contract.cell_maps``.
        samples: (n, 3) of the posterior, SI.
        count: scans to simulate, some milliseconds per q-ROI each.
        seed: same seed, same check.
        prior: of what the posterior does not say; None is that of training.

    Returns:
        One for each of ``STATISTICS``, then ``TOGETHER``.

    Raises:
        InputError: samples of another shape, fewer than 20 scans to simulate, or too few photons for fast maps.
    """
    answers = np.asarray(samples, dtype=np.float64)
    if answers.ndim != 2 or answers.shape[1] != len(PARAMETERS) or not len(answers) or count < 20:
        raise InputError(
            f"samples of shape {answers.shape}, {count} scans",
            needed="(n, 3) samples and at least 20 scans",
            action="correct the check",
        )
    picked = _spread(len(cells.g2), MOST_ROIS)
    scan = CellMaps(g2=cells.g2[picked], facts=_of_rois(cells.facts, picked))
    seen = cells_input(scan)
    measured = statistics(seen).mean(axis=0)
    heights = seen.scalars[:, SCALARS.index("first_lags")].astype(np.float64) * REFERENCE_CONTRAST
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x9E,)))
    pairs = [
        _replicate(rng, scan, heights, answers[rng.integers(len(answers))], prior or SamplePrior())
        for _ in range(count)
    ]
    size = cells.g2.shape[-1]
    seeds = [int(value) for value in rng.integers(0, 2**31, count)]
    boundaries, measurements = zip(*pairs, strict=True)
    maps = measured_maps_batch(boundaries, measurements, seeds, size=size)
    facts = scan.facts
    simulated = np.stack(
        [
            statistics(
                cells_input(
                    cells_of_maps(
                        maps, float(facts.temperature[0]), facts.q, facts.speckle_size, facts.static_baseline, scan=one
                    )
                )
            ).mean(axis=0)
            for one in range(count)
        ]
    )
    compared = [_compared(name, float(measured[index]), simulated[:, index]) for index, name in enumerate(STATISTICS)]
    return (*compared, _together(measured, simulated))


def _replicate(
    rng: np.random.Generator,
    scan: CellMaps,
    heights: NDArray[np.float64],
    answer: NDArray[np.float64],
    prior: SamplePrior,
) -> tuple[GrainBoundary, Measurement]:
    """A sample with one answer's parameters, and a measurement like the scan's."""
    facts, cells = scan.facts, scan.g2.shape[-1]
    frames = cells * FRAMES_PER_CELL
    (drawn,) = draw_sample_group(
        rng,
        [float(facts.temperature[0])],
        q=facts.q.tolist(),
        prior=prior,
        frames=frames,
        frame_time=float(facts.window[0]) / frames,
    )
    diffusivity, gamma, share = (float(value) for value in answer)
    boundary = replace(drawn.boundary, diffusivity=diffusivity, gamma=gamma, gb_fraction=share)
    measurement = drawn.measurement
    rois = range(len(facts.q))
    known = np.isfinite(scan.g2).mean() * cells / (cells - 1)
    background = np.array([measurement.of("background", roi) for roi in rois])
    reference = np.array([measurement.of("reference", roi) for roi in rois])
    # What the bulk loses until one and a half cells, the mean of the first two lags.
    lost = np.exp(-3.0 * (1.0 - share) * diffusivity * facts.q**2 * facts.window[0] / cells)
    contrast = heights / ((1.0 - background) ** 2 * (1.0 - reference**2) * lost)
    # Sizes differ between q-ROIs by chance; the measurement has one for all.
    speckle = facts.speckle_size[np.isfinite(facts.speckle_size)]
    return boundary, replace(
        measurement,
        pixels=tuple(int(value) for value in np.rint(facts.pixels)),
        mean_counts=tuple((facts.counts / FRAMES_PER_CELL).tolist()),
        contrast=tuple(np.clip(contrast, 1e-3, 1.0).tolist()),
        unevenness=tuple(np.sqrt(np.clip(facts.static_baseline - 1.0, 0.0, 1.0)).tolist()),
        speckle_size=float(max(speckle.mean(), 1.0)) if speckle.size else measurement.speckle_size,
        bad_frames=float(np.clip(1.0 - np.sqrt(known), 0.0, 0.5)),
        beam_dump=0.0,
    )


def _compared(name: str, measured: float, simulated: NDArray[np.float64]) -> Prediction:
    low, median, high = np.quantile(simulated, [0.05, 0.5, 0.95])
    tail = min(int((simulated >= measured).sum()), int((simulated <= measured).sum()))
    values, found = _comparable(name, simulated, measured)
    lower, middle, upper = np.quantile(values, [0.1, 0.5, 0.9])
    spread = max((upper - middle if found > middle else middle - lower) / DECILE, _floor(name))
    z = float((found - middle) / spread)
    return Prediction(
        statistic=name,
        measured=measured,
        median=float(median),
        low=float(low),
        high=float(high),
        p_value=min(1.0, 2.0 * (tail + 1) / (len(simulated) + 1)),
        z=z,
        fits=_within(values, found),
    )


def _together(measured: NDArray[np.float64], simulated: NDArray[np.float64]) -> Prediction:
    """All statistics at once: distance to the nearest simulated scans, against those among the simulated."""
    count = len(simulated)
    scaled = np.empty((count + 1, len(STATISTICS)))
    for index, name in enumerate(STATISTICS):
        values, found = _comparable(name, simulated[:, index], float(measured[index]))
        lower, upper = np.quantile(values, [0.1, 0.9])
        scaled[:, index] = np.append(values, found) / max((upper - lower) / (2.0 * DECILE), _floor(name))
    apart = np.linalg.norm(scaled[:, None] - scaled, axis=-1)
    np.fill_diagonal(apart, np.inf)
    found = float(np.sort(apart[-1])[:NEAREST].mean())
    among = np.sort(apart[:-1, :-1], axis=1)[:, :NEAREST].mean(axis=1)
    beyond = int((among >= found).sum())
    lower, median, upper = np.quantile(np.log(among), [0.1, 0.5, 0.9])
    z = float((np.log(found) - median) / max((upper - median) / DECILE, NARROWEST))
    return Prediction(
        statistic=TOGETHER,
        measured=found,
        median=float(np.exp(median)),
        low=float(np.quantile(among, 0.05)),
        high=float(np.quantile(among, 0.95)),
        p_value=(beyond + 1) / (count + 1),
        z=z,
        fits=found < np.exp(median) or _within(np.log(among), np.log(found)),
    )


def _within(values: NDArray[np.float64], found: float) -> bool:
    middle, low, high = np.median(values), values.min(), values.max()
    return bool(low - MARGIN * (middle - low) <= found <= high + MARGIN * (high - middle))


def _comparable(name: str, simulated: NDArray[np.float64], measured: float) -> tuple[NDArray[np.float64], float]:
    """Logarithms of sizes, which spread over factors; shares and decays, which may be negative, as they are."""
    if name not in SIZES:
        return simulated, measured
    floor = 0.02 * max(float(np.median(simulated)), 1e-6)
    return np.log(np.maximum(simulated, floor)), float(np.log(max(measured, floor)))


def _floor(name: str) -> float:
    """Least standard deviation that a statistic is given."""
    return NARROWEST if name in SIZES else 1e-4


def _spread(rois: int, most: int) -> NDArray[np.int64]:
    """Indices of at most ``most`` q-ROIs."""
    return np.unique(np.rint(np.linspace(0, rois - 1, min(rois, most))).astype(np.int64))


def _of_rois(facts: RoiFacts, picked: Sequence[int] | NDArray[np.int64]) -> RoiFacts:
    return RoiFacts(**{name: np.asarray(values)[picked] for name, values in vars(facts).items()})
