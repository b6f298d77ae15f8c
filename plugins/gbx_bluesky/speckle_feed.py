"""Speckles of known dynamics for a simulated detector; the sample's temperature sets how fast they move."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ophyd.status import Status

from gbx_beamline.errors import InputError, SeriesError, UnitError
from gbx_beamline.simulation.speckle import SpeckleMovie
from gbx_bluesky.feeds import Conditions
from gbx_bluesky.temperature import checked_temperature

LOWEST_Q = 1e4
"""1/m. Reference momentum transfers below it were given in 1/Angstrom."""


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
class RelaxationTable:
    """Relaxation at a few temperatures. Between them log(rate) is linear in 1/T (Arrhenius), the ageing linear in T."""

    points: Mapping[float, Relaxation]
    """By temperature in K; all at the same ``q_reference`` and ``age``."""

    def __post_init__(self) -> None:
        for temperature in self.points:
            checked_temperature(temperature)
        if len({(point.q_reference, point.age) for point in self.points.values()}) != 1 or any(
            point.rate == 0 for point in self.points.values()
        ):
            raise InputError(
                f"relaxations {dict(self.points)}",
                needed="at least one, with rates above 0, one q_reference and one age",
                action="restate them at one q_reference",
            )
        object.__setattr__(self, "points", MappingProxyType(dict(sorted(self.points.items()))))

    def at(self, temperature: float, *, margin: float = 1.0) -> Relaxation:
        """Relaxation at ``temperature`` K; within ``margin`` K of the ends the ends' values hold.

        Raises:
            InputError: a temperature outside the table.
        """
        known = np.array(list(self.points))
        if not known[0] - margin <= temperature <= known[-1] + margin:
            raise InputError(
                f"dynamics at {temperature:g} K",
                needed=f"a temperature between {known[0]:g} and {known[-1]:g} K, which the table covers",
                action="add a point to the table, or choose another setpoint",
            )
        points = list(self.points.values())
        log_rate = np.interp(-1.0 / temperature, -1.0 / known, np.log([point.rate for point in points]))
        return Relaxation(
            rate=float(np.exp(log_rate)),
            q_reference=points[0].q_reference,
            ageing=float(np.interp(temperature, known, [point.ageing for point in points])),
            age=points[0].age,
        )


class SpeckleFeed:
    """Speckle movies whose pixels relax with ``rate(q, t)`` of the present temperature.

    Each series is a movie of its own, made from ``seed`` and a running number: a fresh spot of the sample at t = 0.

    Args:
        q: (y, x) momentum transfer that counts for the dynamics, 1/m: in-plane for GISAXS (the paper's convention).
        table: How the sample relaxes at each temperature.
        modes: Coherence modes M; the contrast is 1 / M.
        mean_counts: Photons per pixel and frame; one number or (y, x).
        seed: Same seed, same sequence of movies.
        speckle_size: Full width of a speckle, pixels.
        static_fraction: Share of the field that never moves, 0..1.
        pixel_mask: (y, x) bits as in an Eiger master; 0 = good. The detector applies it.
    """

    name = "speckle_feed"
    parent = None

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
        if q.ndim != 2 or not np.isfinite(q).all():
            raise InputError(
                f"a q map of shape {q.shape}", needed="finite q for each pixel, (y, x)", action="take it from q_maps"
            )
        if pixel_mask is not None and pixel_mask.shape != q.shape:
            raise InputError(
                f"a pixel mask of shape {pixel_mask.shape}", needed=f"shape {q.shape}", action="cut it to the q map"
            )
        if np.abs(q).max() < LOWEST_Q:
            raise UnitError(
                f"a q map up to {np.abs(q).max():g}",
                needed="momentum transfers in 1/m",
                action="multiply 1/Angstrom by 1e10",
            )
        self.pixel_mask = pixel_mask
        self._q = q
        self._table = table
        self._optics: dict[str, Any] = {
            "modes": modes,
            "speckle_size": speckle_size,
            "static_fraction": static_fraction,
        }
        self._mean_counts = mean_counts
        self._seed = seed
        self._series = 0
        self._conditions: Conditions | None = None
        # Built once only to have wrong settings refused now and not in the detector's thread.
        self._dtype = self._movie(1, np.zeros(q.shape), None, 1.0).dtype

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self._q.shape[0], self._q.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16, or uint32 for very bright scattering."""
        return self._dtype

    @property
    def series(self) -> int:
        """Number of the next series, counted from 0."""
        return self._series

    @property
    def truth(self) -> Mapping[str, Any] | None:
        """Dynamics, optics and seed of the next series, SI units; None before ``set``."""
        if self._conditions is None:
            return None
        return {
            "model": "speckle",
            **asdict(self._conditions),
            **asdict(self._table.at(self._conditions.temperature)),
            **self._optics,
            "seed": self._seed,
            "series": self._series,
        }

    def set(self, value: Conditions) -> Status:
        """Take the dynamics of ``value`` for the series to come, as a plan's message.

        Raises:
            InputError: a temperature outside the table.
        """
        self._table.at(value.temperature)
        self._conditions = value
        status = Status()
        status.set_finished()
        return status

    def movie(self, count: int, series: int) -> SpeckleMovie:
        """The movie of series number ``series`` under the present conditions, without advancing the feed.

        Raises:
            SeriesError: ``set`` was not called.
        """
        if self._conditions is None:
            raise SeriesError(
                "the speckle feed knows no temperature",
                needed="the conditions of the run",
                action="call set(Conditions(...)), or give the plan a temperature device",
            )
        relaxation = self._table.at(self._conditions.temperature)
        frame_time = self._conditions.frame_time
        rate = relaxation.rate * (self._q / relaxation.q_reference) ** 2
        profile = relaxation.profile(np.arange(count, dtype=np.float64) * frame_time)
        seed = int(np.random.SeedSequence([self._seed, series]).generate_state(1, np.uint64)[0])
        return self._movie(count, rate, profile, frame_time, seed)

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        """As in ``FrameFeed``; each call is the next series."""
        movie = self.movie(count, self._series)
        self._series += 1
        return iter(movie)

    def _movie(
        self, count: int, rate: NDArray[Any], profile: NDArray[Any] | None, frame_time: float, seed: int = 0
    ) -> SpeckleMovie:
        return SpeckleMovie(
            self.shape,
            count,
            rate=rate,
            profile=profile,
            frame_time=frame_time,
            mean_counts=self._mean_counts,
            seed=seed,
            **self._optics,
        )
