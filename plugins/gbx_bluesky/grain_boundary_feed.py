"""Grain boundaries in a diffusing bulk for a simulated detector; the temperature sets how fast both move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement import EFFECTS, Measurement
from gbx_beamline.simulation.movie import GrainBoundaryMovie
from gbx_bluesky.feeds import MovieFeed
from gbx_bluesky.temperature_table import TemperatureTable

_NOT_SEEN = frozenset({"unevenness", "monitor_error", "q_spread"})
"""Effects that a movie has none of: its pixels are all equal, each at its own q, and no monitor is used."""


@dataclass(frozen=True)
class GrainBoundaryTable(TemperatureTable[GrainBoundary]):
    """One sample at a few temperatures: mobility 1/gamma and D are thermally activated, lambda and the bow linear in T.

    Raises:
        InputError: as ``TemperatureTable``, or a boundary at another temperature than its own.
    """

    activated = ("gamma", "diffusivity")
    linear = ("gb_fraction", "bow", "temperature")

    def __post_init__(self) -> None:
        super().__post_init__()
        for temperature, point in self.points.items():
            if point.temperature != temperature:
                raise InputError(
                    f"a boundary of {point.temperature:g} K at {temperature:g} K",
                    needed="each boundary at its own temperature",
                    action="correct one of the two",
                )

    def at(self, temperature: float, *, margin: float = 1.0) -> GrainBoundary:
        """As in ``TemperatureTable``; thermal noise is that of ``temperature`` itself, in the margin too."""
        return replace(super().at(temperature, margin=margin), temperature=temperature)


class GrainBoundaryFeed(MovieFeed[GrainBoundary, GrainBoundaryMovie]):
    """Movies of grain boundaries at the present temperature, each of a draw of its own. See ``MovieFeed``.

    Args:
        q: As in ``MovieFeed``, like ``seed`` and ``pixel_mask``.
        table: The sample at each temperature.
        measurement: How it is seen; one value of each setting. Frames and frame time are those of the run.
        seed: See there.
        pixel_mask: See there.

    Raises:
        InputError: as ``MovieFeed`` and ``GrainBoundaryMovie``.
    """

    name = "grain_boundary_feed"
    model = "grain_boundary"

    def __init__(
        self,
        q: NDArray[np.floating[Any]],
        table: GrainBoundaryTable,
        measurement: Measurement,
        *,
        seed: int,
        pixel_mask: NDArray[np.uint32] | None = None,
    ) -> None:
        super().__init__(q, table, seed=seed, pixel_mask=pixel_mask)
        self._measurement = measurement
        # Built once only to have wrong settings refused now and not in the detector's thread.
        first = next(iter(table.points.values()))
        self._dtype = self._movie(first, measurement.frames, measurement.frame_time, 0).dtype

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16, or uint32 for very bright scattering."""
        return self._dtype

    def _movie(self, point: GrainBoundary, count: int, frame_time: float, seed: int) -> GrainBoundaryMovie:
        return GrainBoundaryMovie(
            self._q,
            point,
            replace(self._measurement, frames=count, frame_time=frame_time),
            seed=seed,
        )

    def _told(self, point: GrainBoundary) -> Mapping[str, Any]:
        # Each pixel has its own q, and the contrast is the measurement's. gamma is told as mobility, 1 / gamma in
        # m^4 / (J s): TiledWriter cuts whole numbers beyond 2^53 in metadata down to 2^53 without a word, 4e18 too.
        sample = {name: value for name, value in asdict(point).items() if name not in ("q", "contrast", "gamma")}
        sample["mobility"] = 1.0 / point.gamma
        optics = {name: self._measurement.of(name, 0) for name in EFFECTS if name not in _NOT_SEEN}
        return {**sample, **optics}
