"""The simulated CHX: what the demonstration measures with, and what IPython and the queue server offer."""

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
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import FrameFeed
from gbx_bluesky.grain_boundary_feed import GrainBoundaryFeed, GrainBoundaryTable
from gbx_bluesky.temperature import SampleTemperature
from gbx_bluesky.traces import SideTraces, SmoothTraces

_Q_PER_ROI = 8
"""Pixels of a q-ROI, by quantiles of their q, that stand for all in its true map; S_noneq is then off by 2e-6."""

_SPECKLE_SIZE = 2.0
"""Full width at half maximum, pixels."""

_GAP, _DEAD = np.uint32(1), np.uint32(2)

Watcher = Callable[[int], None]
"""Told how many frames of the present series were taken."""


class SimulatedChx:
    """A beamline without beam: detector, sample stage and side traces with CHX's names and geometry.

    Args:
        config: ``demo`` says what is simulated; ``analysis`` says for which q-ROIs and cell the truth is stated.
        directory: Folder for the detector's files.
        feed: What the detector sees instead of the simulated sample.
        watcher: Told of each simulated frame.
    """

    def __init__(
        self, config: Config, directory: Path, *, feed: FrameFeed | None = None, watcher: Watcher | None = None
    ) -> None:
        demo = config.demo
        geometry = overlay(Geometry(shape=demo.shape, flip_y=True), demo.geometry)
        # ophyd's devices fit bluesky's protocols when they run, not in the eyes of a type checker.
        self.temperature: Any = SampleTemperature(temperature=demo.dynamics[0].temperature_k, name="T_sample")
        self.detector: Any = SimulatedEiger(
            directory=directory,
            feed=feed or _SampleFeed(config, geometry, watcher or _unwatched),
            # Where a movie of another size was taken nobody said.
            geometry=geometry if feed is None or feed.shape == geometry.shape else None,
            frames_per_file=demo.frames_per_file,
        )
        self.traces: Any = SideTraces(SmoothTraces(seed=demo.seed), temperature=self.temperature, name="traces")


def _unwatched(_done: int) -> None:
    pass


class _SampleFeed(GrainBoundaryFeed):
    """Grain boundaries that tell the true S_noneq of each q-ROI beside their parameters, and how far a series is."""

    def __init__(self, config: Config, geometry: Geometry, watcher: Watcher) -> None:
        demo = config.demo
        self._settings = config.for_sample(demo.sample)
        analysed = overlay(geometry, self._settings.geometry)
        # A label image in a catalog is not at hand here: then the truth is stated without S_noneq.
        known = self._settings.rois.given and not self._settings.rois.catalog_labels
        self._rois = rois_from_config(analysed, self._settings.rois) if known else None
        self._watcher = watcher
        super().__init__(
            np.abs(q_maps(analysed).q_par),
            _sample(demo),
            _measurement(demo),
            seed=demo.seed,
            pixel_mask=detector_mask(demo.shape),
        )

    @property
    def truth(self) -> Mapping[str, Any] | None:
        told = super().truth
        if told is None or self._rois is None or told["triggers"] != 1:
            return told
        return {**told, "s_noneq": self._true_s(self._rois, told["frames"])}

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        for done, frame in enumerate(super().frames(count), start=1):
            self._watcher(done)
            yield frame

    def _true_s(self, rois: RoiSet, frames: int) -> list[float]:
        """S_noneq of the noise-free map of each q-ROI, at the analysis' own cell."""
        movie = self.movie(frames, self.series)
        settings = self._settings.nonequilibrium
        found = []
        for label in range(1, len(rois) + 1):
            typical = np.quantile(self._q[rois.labels == label], (np.arange(_Q_PER_ROI) + 0.5) / _Q_PER_ROI)
            true = nonequilibrium(
                movie.true_two_time(typical),
                frame_time=movie.frame_time,
                max_cells=settings.max_cells,
                min_pairs=settings.min_pairs,
            )
            found.append(round(true.s_noneq, 6))
        return found


def detector_mask(shape: tuple[int, int]) -> NDArray[np.uint32]:
    """(y, x) bits as an Eiger's: a gap between modules, 37 rows high, and a few dead pixels."""
    mask = np.zeros(shape, dtype=np.uint32)
    rows = shape[0]
    mask[rows // 2 : rows // 2 + min(37, rows // 8)] = _GAP
    # The same detector whatever the sample: not the demonstration's seed.
    dead = np.random.default_rng(0).integers(0, mask.size, size=mask.size // 10_000)
    mask.ravel()[dead] |= _DEAD
    return mask


def _sample(demo: DemoConfig) -> GrainBoundaryTable:
    return GrainBoundaryTable(
        {
            point.temperature_k: GrainBoundary(
                gamma=point.gamma_js_m4,
                diffusivity=point.diffusivity_m2_s,
                gb_fraction=point.gb_fraction,
                temperature=point.temperature_k,
                bow=demo.bow_nm * 1e-9,
                boundaries=demo.boundaries,
            )
            for point in demo.dynamics
        }
    )


def _measurement(demo: DemoConfig) -> Measurement:
    return Measurement(
        frames=demo.frames,
        frame_time=demo.frame_time_s,
        contrast=(1.0 / demo.coherence_modes,),
        mean_counts=(demo.mean_counts,),
        speckle_size=_SPECKLE_SIZE,
        background=(demo.background,),
    )
