"""When a posterior says no more than its prior did: "undetermined", and when it only says "less than" or "more than".

Three signs, all in u, where the prior is uniform in its box:

- width: standard deviation of the posterior over that of the prior;
- information: Kullback-Leibler divergence of the posterior from the prior, in nats;
- leaning: most of the posterior lies against an edge that the prior has and nature has not. Such an answer is a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.records import PARAMETERS

LIMITS = 0.55
"""Width from which a parameter is undetermined until ``choose_limits`` has been asked: between the 0.8 and the 0.3 of
the bound that the two demands are about."""

LEAST_INFORMATION = 0.05
"""nats below which a posterior is its prior: a Gaussian 0.8 times as wide as a uniform prior is this far from it."""

PHYSICAL_LOW = (False, False, True)
"""Whether the lower end of the box is nature's: lambda = 0 is a value, all other ends are the prior's alone."""

EDGE = 0.05
"""Share of the box beside an edge in which a leaning posterior has at least half its largest density."""

NARROWEST_LEANING = 0.12
"""Share of the box that a leaning posterior's 90 % span: a narrower one has found a value near the edge."""

BINS = 20
"""Of the histogram behind information and leaning; each as wide as ``EDGE``."""

ABOVE, BELOW = 0.8, 0.3
"""Of the Cramér-Rao bound over the prior's standard deviation: beyond the first nothing can be known, below the second
much."""

SAID_ABOVE, SAID_BELOW = 0.95, 0.20
"""Least share of the former, and largest of the latter, in which "undetermined" is to be said."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Width:
    """How much a posterior says of each parameter. All (..., 3)."""

    ratio: NDArray[np.float64]
    """Standard deviation over that of the prior."""
    information: NDArray[np.float64]
    """nats, less what a sample of this size has by chance; at least 0."""
    leaning: NDArray[np.int64]
    """-1: only an upper limit (the posterior lies against the lower edge); 1: only a lower one; 0: neither."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Limits of the width, and what they do to the scans they were chosen on."""

    limits: tuple[float, float, float]
    said_above: tuple[float, float, float]
    """Share said to be undetermined where the bound is above 0.8; NaN without such a scan."""
    said_below: tuple[float, float, float]
    """Share where it is below 0.3."""
    met: bool
    """Whether both demands are met for every parameter that has scans of the kind."""


def width_of(u: ArrayLike, box: ParameterBox) -> Width:
    """Width, information and leaning of samples.

    Args:
        u: (n, 3) or (..., n, 3) samples of the posterior.
        box: of the prior.

    Raises:
        InputError: fewer than 100 samples, or others than of three parameters.
    """
    values = np.asarray(u, dtype=np.float64)
    if values.ndim < 2 or values.shape[-1] != len(PARAMETERS) or values.shape[-2] < 100:
        raise InputError(
            f"samples of shape {values.shape}", needed="(n, 3) with at least 100 samples", action="draw more samples"
        )
    unit = np.clip((values - box.low) / box.width, 0.0, 1.0)
    count = unit.shape[-2]
    bins = np.minimum((unit * BINS).astype(np.int64), BINS - 1)
    shares = np.stack([(bins == one).mean(axis=-2) for one in range(BINS)], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(shares > 0, shares * np.log(shares * BINS), 0.0).sum(axis=-1)
    # Miller (1955): entropy from counts is too small by this much.
    information -= ((shares > 0).sum(axis=-1) - 1) / (2.0 * count)
    span = np.subtract(*np.quantile(unit, [0.95, 0.05], axis=-2))
    wide, peak = span >= NARROWEST_LEANING, shares.max(axis=-1)
    low, high = (wide & (shares[..., end] >= 0.5 * peak) for end in (0, -1))
    # Against both edges it is no limit but everything.
    leaning = high.astype(np.int64) - low.astype(np.int64)
    return Width(
        ratio=unit.std(axis=-2) * np.sqrt(12.0),
        information=np.maximum(information, 0.0),
        leaning=np.where(np.array(PHYSICAL_LOW) & (leaning < 0), 0, leaning),
    )


def undetermined(width: Width, limits: ArrayLike) -> NDArray[np.bool_]:
    """(..., 3) whether a parameter is undetermined.

    Args:
        width: from ``width_of``.
        limits: (3,) of its ratio.
    """
    return (
        (width.ratio >= np.asarray(limits, dtype=np.float64))
        | (width.information < LEAST_INFORMATION)
        | (width.leaning != 0)
    )


def choose_limits(widths: Width, bounds: ArrayLike) -> Choice:
    """The limits that keep both demands with most room, from scans of a calibration suite.

    Args:
        widths: of n scans, fields (n, 3).
        bounds: (n, 3) Cramér-Rao bound with free nuisances over the prior's standard deviation; NaN where not known.

    Returns:
        A limit for each parameter. Where a parameter has no scan of one kind the other decides alone; without any,
        it is ``LIMITS``.

    Raises:
        InputError: arrays of different shapes.
    """
    ratio = np.asarray(bounds, dtype=np.float64)
    if ratio.shape != widths.ratio.shape or ratio.ndim != 2:
        raise InputError(
            f"widths of shape {widths.ratio.shape} and bounds of shape {ratio.shape}",
            needed="(n, 3) both",
            action="give the bound of each scan",
        )
    chosen = [_choose(widths, ratio, column) for column in range(len(PARAMETERS))]
    limits, above, below = (tuple(row[field] for row in chosen) for field in range(3))
    met = all(not (a < SAID_ABOVE) and not (b > SAID_BELOW) for _, a, b in chosen)
    return Choice(limits=limits, said_above=above, said_below=below, met=met)  # type: ignore[arg-type]


def _choose(widths: Width, bounds: NDArray[np.float64], column: int) -> tuple[float, float, float]:
    above, below = bounds[:, column] > ABOVE, bounds[:, column] < BELOW
    # Whatever the limit is, these are undetermined.
    anyway = undetermined(widths, np.inf)[:, column]
    ratio = widths.ratio[:, column]

    def shares(limit: float) -> tuple[float, float]:
        said = anyway | (ratio >= limit)
        return (
            float(said[above].mean()) if above.any() else np.nan,
            float(said[below].mean()) if below.any() else np.nan,
        )

    def room(limit: float) -> tuple[float, float]:
        first, second = shares(limit)
        margins = (np.nan_to_num(first - SAID_ABOVE, nan=0.0) / (1.0 - SAID_ABOVE),
                   np.nan_to_num(SAID_BELOW - second, nan=0.0) / SAID_BELOW)  # fmt: skip
        # Equal room: the limit nearest to the one by hand.
        return min(margins), -abs(limit - LIMITS)

    best = max(np.linspace(0.2, 1.0, 161).tolist(), key=room) if above.any() or below.any() else LIMITS
    return (best, *shares(best))
