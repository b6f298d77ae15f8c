"""Two-time maps on the network's time cells: simulated and measured ones in the same way."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config._paper_family import PaperFamilyData, Resize
from gbx_beamline.correlation.diagonals import by_lag, lag_means
from gbx_beamline.errors import MapError
from gbx_beamline.learning.paper.scales import stacked
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.simulation import PaperEnsemble, StabilityWarning
from gbx_beamline.simulation.resample import Cells, area_cells, bilinear_cells

DENSITY = 4
"""Points of the paper's resize per side and cell where a simulated map is averaged over cells."""

PAPER_FRAMES = 1250
"""Time steps of a simulated map."""


@dataclass(frozen=True, eq=False)
class SimulatedMaps:
    """Members of the ensemble as networks see them."""

    maps: NDArray[np.float32]
    """(m, n, n) g2, filled by ``filled``."""
    parameters: NDArray[np.float64]
    """(m, 3) as ``PARAMETERS``, SI."""
    s: NDArray[np.float64]
    """(m,) S_noneq of these maps, as a ratio of norms."""

    def __len__(self) -> int:
        return len(self.maps)


def cells_for(frames: int, size: int, resize: Resize) -> Cells:
    """The time cells that ``frames`` become.

    Raises:
        InputError: fewer frames than cells.
    """
    return area_cells(frames, size) if resize == "area" else bilinear_cells(frames, size)


def on_cells(g2: NDArray[Any], cells: Cells) -> NDArray[np.float64]:
    """A map on time cells, from its known entries off the diagonal.

    The diagonal of a measured map holds shot noise, and bad frames are NaN: both are left out, and the weights of what
    remains in a cell are made to add up to 1 again. Where everything is known it is the plain resize.

    Args:
        g2: (N, N), NaN where unknown.
        cells: of N frames.

    Returns:
        (n, n), NaN on the diagonal and where nothing is known.

    Raises:
        MapError: not square, infinite values, or another number of frames.
    """
    if g2.shape != (cells.frames, cells.frames) or np.isinf(g2).any():
        raise MapError(
            f"a map of shape {g2.shape}{' with infinite values' if np.isinf(g2).any() else ''}",
            needed=f"a square map of {cells.frames} frames, NaN where it is unknown",
            action="give one two-time map at a time",
        )
    known = np.isfinite(g2)
    np.fill_diagonal(known, False)
    values = np.where(known, g2, 0.0)
    weights = cells.matrix()
    total = (weights @ (weights @ values).T).T
    share = (weights @ (weights @ known.astype(np.float64)).T).T
    # A share of 1e-9 is the rounding of nothing.
    out = np.divide(total, share, out=np.full(total.shape, np.nan), where=share > 1e-9)
    np.fill_diagonal(out, np.nan)
    return out


def filled(cells: NDArray[np.floating]) -> NDArray[np.float32]:
    """A map without NaN: what is unknown becomes the mean at its lag, which breaks no invariance that others keep.

    Args:
        cells: (n, n) from ``on_cells``.

    Returns:
        (n, n); 1 on the diagonal, which networks mask.

    Raises:
        MapError: nothing is known.
    """
    means, pairs = lag_means(by_lag(cells))
    if not pairs.any():
        raise MapError("a map without a known value", needed="measured frames", action="leave this scan out")
    means = np.where(pairs > 0, means, np.nanmean(cells))
    index = np.arange(len(cells))
    out = np.where(np.isfinite(cells), cells, means[np.abs(index[:, None] - index)]).astype(np.float32)
    out[index, index] = 1.0
    return out


def s_of(cells: NDArray[np.floating]) -> float:
    """S_noneq of a map as printed, as a ratio of norms; NaN where there is none."""
    return nonequilibrium(np.asarray(cells, dtype=np.float64), max_cells=len(cells)).s_noneq_norm


def ensemble_of(data: PaperFamilyData) -> PaperEnsemble:
    """The paper's ensemble at the points that its maps are made of."""
    points = data.size * (min(DENSITY, PAPER_FRAMES // data.size) if data.resize == "area" else 1)
    return PaperEnsemble(
        members=data.members,
        seed=data.seed,
        noise=data.noise,
        method="euler" if data.noise == "fixed" else "exact",
        size=points,
    )


def simulated_maps(data: PaperFamilyData) -> SimulatedMaps:
    """The whole ensemble. 2,000 members take ten seconds at 64 x 64 and need 33 MB, at 256 x 256 524 MB."""
    ensemble = ensemble_of(data)
    maps = np.empty((data.members, data.size, data.size), dtype=np.float32)
    s = np.empty(data.members)
    for member, cells in enumerate(_on_network_cells(ensemble, data)):
        maps[member], s[member] = filled(cells), s_of(cells)
    return SimulatedMaps(maps=maps, parameters=stacked(ensemble.parameters()), s=s)


def _on_network_cells(ensemble: PaperEnsemble, data: PaperFamilyData) -> Iterator[NDArray[np.float64]]:
    cells = cells_for(ensemble.size, data.size, data.resize)
    with warnings.catch_warnings():
        # That members stand at the Euler limit is part of what is reproduced; the model's notes say so.
        warnings.simplefilter("ignore", StabilityWarning)
        for block in ensemble.maps():
            for g2 in block:
                yield on_cells(g2, cells)
