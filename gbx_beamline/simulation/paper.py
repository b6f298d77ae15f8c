"""The paper's simulated ensemble, made the way its released code makes it.

What follows the paper: 2,000 members in a Latin hypercube over its ranges (linear in gamma, lambda_GB and T,
logarithmic in D), q = 4.5e8 1/m, beta = 0.14, one boundary of 50 sites that starts flat (A = 0), Euler-Maruyama steps
of 2 s on a time axis of 1,250 points from 0 to 2,500 s, the *same* noise in every member, and a bilinear resize to
256 x 256 that takes no mean.

What is ours: the noise is ``numpy.random.default_rng(seed).standard_normal((1250, 48))``, a row for every time (the
first drives nothing) and a column for every moving site, and the hypercube is scipy's, so that members are not the
paper's own one by one; the outer-product form of the double sum, which is the same to rounding; and the map is
evaluated only where the resize looks.

Two traits are no physics and are kept for comparison alone. At gamma = 1e18 the step is at the stability limit, where
the boundary's variance comes out twice too large. And with one noise for all, D, gamma and lambda become a function
that a network can interpolate, and S_noneq belongs to that one noise: its maximum over the ensemble is 0.89 with seed
42, and anything from 0.8 to 0.99 with others. ``noise="independent"`` and ``method="exact"`` switch them off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.simulation._batch import blocks_on_cells, check_members
from gbx_beamline.simulation._domain import check_draw, checked_times
from gbx_beamline.simulation._drawing import intervals_of
from gbx_beamline.simulation.grain_boundary import GrainBoundary, Method
from gbx_beamline.simulation.resample import bilinear_cells

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "gamma": (1e18, 6e18),
        "diffusivity": (3e-24, 3e-21),
        "gb_fraction": (0.0, 0.5),
        "temperature": (300.0, 500.0),
    }
)
"""J s m^-4, m^2/s, 1, K."""

LOGARITHMIC = ("diffusivity",)

EULER_STEP = 2.0
"""s, on a time axis whose points lie 2500/1249 s apart."""


@dataclass(frozen=True, kw_only=True)
class PaperEnsemble:
    """The simulated ensemble. The same settings give the same ensemble, and a member does not depend on the others.

    Raises:
        InputError: fewer than one member, a negative seed, or a word there is not.
    """

    members: int = 2000
    seed: int = 42
    """Of the hypercube and of the noise."""
    noise: Literal["fixed", "independent"] = "fixed"
    """One noise for all members, as released, or one for each."""
    method: Method = "euler"
    size: int = 256
    """Cells per side."""

    def __post_init__(self) -> None:
        if self.members < 1 or self.noise not in ("fixed", "independent"):
            raise InputError(
                f"members = {self.members}, noise = {self.noise!r}",
                needed="at least one member, and 'fixed' or 'independent' noise",
                action="correct the ensemble",
            )
        check_draw(self.seed, self.method)
        bilinear_cells(1250, self.size)

    def parameters(self) -> dict[str, NDArray[np.float64]]:
        """(members,) of each parameter of ``RANGES``."""
        from scipy.stats import qmc  # half a second to import

        cube = qmc.LatinHypercube(d=len(RANGES), rng=np.random.default_rng(self.seed)).random(self.members)
        found: dict[str, NDArray[np.float64]] = {}
        for (name, (low, high)), place in zip(RANGES.items(), cube.T, strict=True):
            if name in LOGARITHMIC:
                found[name] = low * (high / low) ** place
            else:
                found[name] = low + (high - low) * place
        return found

    def boundaries(self) -> list[GrainBoundary]:
        """The members' settings."""
        columns = {name: values.tolist() for name, values in self.parameters().items()}
        return [GrainBoundary(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]

    def seeds(self) -> list[int]:
        """The members' seeds: all the ensemble's own, or one for each."""
        if self.noise == "fixed":
            return [self.seed] * self.members
        return [
            int(np.random.SeedSequence((self.seed, member)).generate_state(1, np.uint64)[0])
            for member in range(self.members)
        ]

    def maps(self, start: int = 0, stop: int | None = None, *, block: int = 64) -> Iterator[NDArray[np.float32]]:
        """g2 of members ``start:stop``, ``block`` at a time.

        Returns:
            Blocks (b, size, size).

        Warns:
            StabilityWarning: once, where members are near the Euler limit (about one in fifty is).
        """
        boundaries, seeds = self.boundaries()[start:stop], self.seeds()[start:stop]
        times = checked_times(None)
        intervals = intervals_of(times, self.method, EULER_STEP if self.method == "euler" else None)
        check_members(boundaries, seeds, intervals, self.method, block)
        cells = bilinear_cells(len(times), self.size)
        return blocks_on_cells(
            boundaries, seeds, times, intervals, self.method, cells, block=block, noise_of=np.random.default_rng
        )


def rank_regression(parameters: Mapping[str, NDArray[np.floating]], response: NDArray[np.floating]) -> dict[str, float]:
    """Standardised rank-regression coefficients: what a step in one parameter's rank does to the response's.

    Args:
        parameters: (m,) of each.
        response: (m,), e.g. S_noneq.

    Returns:
        A coefficient per parameter, of the linear regression of the response's ranks on all the parameters' ranks,
        each in units of its standard deviation; -1..1 where the parameters are independent.
    """

    def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
        place = np.argsort(np.argsort(values)).astype(np.float64)
        return (place - place.mean()) / place.std()

    columns = np.stack([ranks(np.asarray(values)) for values in parameters.values()], axis=1)
    found = np.linalg.lstsq(columns, ranks(np.asarray(response)), rcond=None)[0]
    return dict(zip(parameters, found.tolist(), strict=True))
