"""Speckles of known dynamics for a simulated detector; the sample's temperature sets how fast they move."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.simulation.speckle import SpeckleMovie
from gbx_bluesky.feeds import LOWEST_Q, MovieFeed
from gbx_bluesky.temperature_table import TemperatureTable


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """How the field of a sample decorrelates: ``rate(q, t) = rate (q / q_reference)^2 (1 + t / age)^-ageing``.

    t is the time since the series began; g1(t1, t2) = exp(-integral of the rate from t1 to t2).
    """

    rate: float
    """1/s at ``q_reference`` and t = 0."""
    q_reference: float
    """1/m."""
    ageing: float = 0.0
    """Exponent; 0 is stationary."""
    age: float = 1.0
    """s. Time scale of the ageing."""

    def __post_init__(self) -> None:
        numbers = (self.rate, self.q_reference, self.ageing, self.age)
        if not all(map(math.isfinite, numbers)) or self.rate < 0 or self.age <= 0:
            raise InputError(f"{self}", needed="finite numbers, rate >= 0 and age > 0", action="correct the relaxation")
        if self.q_reference < LOWEST_Q:
            raise UnitError(
                f"q_reference {self.q_reference:g}",
                needed="a momentum transfer in 1/m",
                action=f"multiply 1/Angstrom by 1e10: {self.q_reference * 1e10:g}",
            )

    def profile(self, elapsed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rate relative to t = 0 at ``elapsed`` (N,) s."""
        return (1.0 + elapsed / self.age) ** -self.ageing


@dataclass(frozen=True)
class RelaxationTable(TemperatureTable[Relaxation]):
    """Relaxation at a few temperatures: the rate is thermally activated, the ageing linear in T."""

    activated = ("rate",)
    linear = ("ageing",)


class SpeckleFeed(MovieFeed[Relaxation, SpeckleMovie]):
    """Speckle movies whose pixels relax with ``rate(q, t)`` of the present temperature. See ``MovieFeed``.

    Args:
        q: As in ``MovieFeed``, like ``seed`` and ``pixel_mask``.
        table: How the sample relaxes at each temperature.
        modes: Coherence modes M; the contrast is 1 / M.
        mean_counts: Photons per pixel and frame; one number or (y, x).
        seed: See there.
        speckle_size: Full width of a speckle, pixels.
        static_fraction: Share of the field that never moves, 0..1.
        pixel_mask: See there.
    """

    name = "speckle_feed"
    model = "speckle"

    def __init__(
        self,
        q: NDArray[np.floating[Any]],
        table: RelaxationTable,
        *,
        modes: int,
        mean_counts: ArrayLike,
        seed: int,
        speckle_size: float = 2.0,
        static_fraction: float = 0.0,
        pixel_mask: NDArray[np.uint32] | None = None,
    ) -> None:
        super().__init__(q, table, seed=seed, pixel_mask=pixel_mask)
        self._optics: dict[str, Any] = {
            "modes": modes,
            "speckle_size": speckle_size,
            "static_fraction": static_fraction,
        }
        self._mean_counts = mean_counts
        # Built once only to have wrong settings refused now and not in the detector's thread.
        first = next(iter(table.points.values()))
        self._dtype = self._movie(first, 1, 1.0, 0).dtype

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16, or uint32 for very bright scattering."""
        return self._dtype

    def _movie(self, point: Relaxation, count: int, frame_time: float, seed: int) -> SpeckleMovie:
        return SpeckleMovie(
            self.shape,
            count,
            rate=point.rate * (self._q / point.q_reference) ** 2,
            profile=point.profile(np.arange(count, dtype=np.float64) * frame_time),
            frame_time=frame_time,
            mean_counts=self._mean_counts,
            seed=seed,
            **self._optics,
        )

    def _told(self, point: Relaxation) -> Mapping[str, Any]:
        return {**asdict(point), **self._optics}
