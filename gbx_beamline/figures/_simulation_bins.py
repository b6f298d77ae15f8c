"""From members scattered over a parameter plane to medians in bins, with the number of members behind each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEWEST = 4
"""Members that a median is drawn of; where there are fewer, each is drawn by itself."""

_PER_BIN = 8
"""Members that a bin is to hold on average."""

_MOST_BINS = 12

QUARTILES = (25.0, 50.0, 75.0)


@dataclass(frozen=True, eq=False)
class Edges:
    """Borders of bins along one parameter, from its smallest value in the ensemble to its largest."""

    values: NDArray[np.float64]
    """(bins + 1,), rising, SI."""
    logarithmic: bool

    def __len__(self) -> int:
        return len(self.values) - 1

    def places(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """(m,) number of the bin of each value; the first and the last bin hold the ends."""
        return np.digitize(values, self.values[1:-1])

    def middles(self) -> NDArray[np.float64]:
        """(bins,) middles as they are drawn."""
        low, high = self.values[:-1], self.values[1:]
        return np.sqrt(low * high) if self.logarithmic else 0.5 * (low + high)


@dataclass(frozen=True, eq=False)
class Binned:
    """Measures of an ensemble over two of its parameters."""

    x: Edges
    y: Edges
    members: NDArray[np.int64]
    """(ny, nx)."""
    quartiles: Mapping[str, NDArray[np.float64]]
    """(3, ny, nx) of each measure: 25 %, median, 75 %; NaN in empty bins."""
    alone: NDArray[np.bool_]
    """(m,) members in bins that hold fewer than ``FEWEST``."""

    def drawn_medians(self, measure: str) -> NDArray[np.float64]:
        """(ny, nx) medians; NaN where too few members lie."""
        return np.where(self.members >= FEWEST, self.quartiles[measure][1], np.nan)


def bins_for(members: int) -> int:
    """Bins along each axis: few enough that they hold about eight members, 3 to 12."""
    return int(np.clip(np.sqrt(members / _PER_BIN), 3, _MOST_BINS))


def edges_of(values: NDArray[np.float64], bins: int, *, scale_free: bool) -> Edges:
    """Equal bins over all values.

    Args:
        values: (m,) of a parameter.
        bins: how many.
        scale_free: whether it is one of those whose logarithm matters; it does where they span more than a decade.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        room = 0.5 * abs(low) or 0.5
        low, high = low - room, high + room
    logarithmic = scale_free and low > 0.0 and high > 10.0 * low
    return Edges((np.geomspace if logarithmic else np.linspace)(low, high, bins + 1), logarithmic)


def binned(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    measures: Mapping[str, NDArray[np.float64]],
    across: Edges,
    up: Edges,
) -> Binned:
    """Sort members into bins.

    Args:
        x: (m,) one parameter.
        y: (m,) the other.
        measures: (m,) finite, of each measure.
        across: bins of x.
        up: as many of y.
    """
    bins = len(across)
    bin_of = up.places(y) * bins + across.places(x)
    members = np.bincount(bin_of, minlength=bins * bins)
    quartiles = {name: np.full((3, bins * bins), np.nan) for name in measures}
    for place in np.flatnonzero(members):
        inside = bin_of == place
        for name, values in measures.items():
            quartiles[name][:, place] = np.percentile(values[inside], QUARTILES)
    return Binned(
        x=across,
        y=up,
        members=members.reshape(bins, bins),
        quartiles={name: found.reshape(3, bins, bins) for name, found in quartiles.items()},
        alone=members[bin_of] < FEWEST,
    )
