"""The demonstration's beamline: a simulated Eiger, sample stage and side traces with CHX's names and geometry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import Config, DemoConfig
from gbx_beamline.geometry import overlay, q_maps, rois_from_config
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import Geometry, RoiSet
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.speckle_feed import Relaxation, RelaxationTable, SpeckleFeed
from gbx_bluesky.temperature import SampleTemperature
from gbx_bluesky.traces import SideTraces, SmoothTraces

ANGSTROM = 1e-10
_RATES_PER_ROI = 16
"""Pixels of a q-ROI, by quantiles of their rate, that stand for all in its true map."""

_GAP, _DEAD = np.uint32(1), np.uint32(2)

Watcher = Callable[[int], None]
"""Told how many frames of the present series were taken."""


class SimulatedChx:
    """The devices of the demonstration.

    Args:
        config: Demonstration and analysis settings; the truth is stated for the analysis' q-ROIs and cell.
        directory: Folder for the detector's files.
        watcher: Told of each frame.
    """

    def __init__(self, config: Config, directory: Path, watcher: Watcher) -> None:
        demo = config.demo
        geometry = overlay(Geometry(shape=demo.shape, flip_y=True), demo.geometry)
        analysed = overlay(geometry, config.for_sample(demo.sample).geometry)
        maps = q_maps(analysed)
        feed = _DemoFeed(
            config, np.abs(maps.q_par), rois_from_config(analysed, config.for_sample(demo.sample).rois), watcher
        )
        # ophyd's devices fit bluesky's protocols when they run, not in the eyes of a type checker.
        self.temperature: Any = SampleTemperature(temperature=demo.dynamics[0].temperature_k)
        self.detector: Any = SimulatedEiger(
            directory=directory, feed=feed, geometry=geometry, frames_per_file=demo.frames_per_file
        )
        self.traces: Any = SideTraces(SmoothTraces(seed=demo.seed), temperature=self.temperature)


class _DemoFeed(SpeckleFeed):
    """Speckles that tell the true S_noneq of each q-ROI beside their dynamics, and how far a series is."""

    def __init__(self, config: Config, q: NDArray[np.float64], rois: RoiSet, watcher: Watcher) -> None:
        demo = config.demo
        super().__init__(
            q,
            _dynamics(demo),
            modes=demo.coherence_modes,
            mean_counts=demo.mean_counts,
            seed=demo.seed,
            pixel_mask=_pixel_mask(demo),
        )
        self._config = config
        self._rois = rois
        self._watcher = watcher

    @property
    def truth(self) -> Mapping[str, Any] | None:
        told = super().truth
        return None if told is None else {**told, "s_noneq": self._true_s()}

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        for done, frame in enumerate(super().frames(count), start=1):
            self._watcher(done)
            yield frame

    def _true_s(self) -> list[float]:
        """S_noneq of the noise-free map of each q-ROI, at the analysis' own cell."""
        frames = self._config.demo.frames
        movie = self.movie(frames, self.series)
        settings = self._config.for_sample(self._config.demo.sample).nonequilibrium
        found = []
        for label in range(1, len(self._rois) + 1):
            rates = movie.rate[self._rois.labels == label]
            typical = np.quantile(rates, (np.arange(_RATES_PER_ROI) + 0.5) / _RATES_PER_ROI)
            true = nonequilibrium(
                movie.true_two_time(typical),
                frame_time=movie.frame_time,
                max_cells=settings.max_cells,
                min_pairs=settings.min_pairs,
            )
            found.append(round(true.s_noneq, 6))
        return found


def _pixel_mask(demo: DemoConfig) -> NDArray[np.uint32]:
    """(y, x) bits as an Eiger's: a gap between modules, 37 rows high, and a few dead pixels."""
    mask = np.zeros(demo.shape, dtype=np.uint32)
    rows = demo.shape[0]
    mask[rows // 2 : rows // 2 + min(37, rows // 8)] = _GAP
    dead = np.random.default_rng(demo.seed).integers(0, mask.size, size=mask.size // 10_000)
    mask.ravel()[dead] |= _DEAD
    return mask


def _dynamics(demo: DemoConfig) -> RelaxationTable:
    return RelaxationTable(
        {
            point.temperature_k: Relaxation(
                rate=point.rate_per_s, q_reference=demo.q_reference / ANGSTROM, ageing=point.ageing, age=demo.age_s
            )
            for point in demo.dynamics
        }
    )
