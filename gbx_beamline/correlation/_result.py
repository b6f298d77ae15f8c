"""From maps, diagonals and groups of each ROI to the record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._lag_sums import add_lag_0, mean_and_error, plain_weights
from gbx_beamline.correlation._static import static_baseline
from gbx_beamline.records import FineLags, PixelGroups, TwoTime

if TYPE_CHECKING:
    from gbx_beamline.correlation._normalise import Normalisation
    from gbx_beamline.correlation._store import RoiStore
    from gbx_beamline.correlation._target import CellMap
    from gbx_beamline.correlation._two_time import Collected


@dataclass(kw_only=True)
class Maps:
    """Results of each ROI as they are computed."""

    width: int
    """Frames per cell of the maps."""
    g2: NDArray[np.float32]
    """(Q, n, n); n = N unless maps are averaged over cells."""
    diagonals: NDArray[np.float64]
    """(Q, N, 2) raw and by factorial moment."""
    means: NDArray[np.float64]
    """(Q, N) counts per pixel, NaN in frames that are left out."""
    kernels: list[str] = field(default_factory=list)
    """Which kernel multiplied each ROI, and why."""
    fine: list[NDArray[np.float64]] = field(default_factory=list)
    """(2, 2, N) mean and error at every lag, by means and plain, where maps are averaged over cells."""
    group_maps: NDArray[np.float32] | None = None
    """(Q, K, n, n)."""
    groups: list[PixelGroups] = field(default_factory=list)

    @classmethod
    def empty(cls, rois: int, frames: int, width: int) -> Maps:
        """Room for maps, all of which is written."""
        cells = frames // width
        return cls(
            width=width,
            g2=np.empty((rois, cells, cells), dtype=np.float32),
            diagonals=np.full((rois, frames, 2), np.nan),
            means=np.full((rois, frames), np.nan),
        )

    def take_cells(self, roi: int, target: CellMap) -> None:
        """The finished cells of one ROI."""
        target.write(self.g2[roi])
        add_lag_0(self.diagonals[roi, :, 1], self.means[roi], target.sums.by_means)
        add_lag_0(self.diagonals[roi, :, 1], plain_weights(self.means[roi]), target.sums.plain)
        self.fine.append(np.stack([mean_and_error(target.sums.by_means), mean_and_error(target.sums.plain)]))

    def take_groups(self, roi: int, maps: NDArray[np.float32], groups: PixelGroups, wanted: int) -> None:
        """Group maps (k, n, n) of one ROI."""
        if self.group_maps is None:
            self.group_maps = np.full((len(self.g2), wanted, *maps.shape[1:]), np.nan, dtype=np.float32)
        if maps.shape[1:] != self.group_maps.shape[2:]:
            self.group_maps = _common_cells(self.group_maps, maps.shape[-1])
        size = maps.shape[-1]
        self.group_maps[roi, : len(maps), :size, :size] = maps
        self.groups.append(groups)


def _common_cells(maps: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Room for maps of more cells than those before; unused cells stay NaN."""
    size = max(cells, maps.shape[-1])
    larger = np.full((*maps.shape[:2], size, size), np.nan, dtype=np.float32)
    larger[..., : maps.shape[-1], : maps.shape[-1]] = maps
    return larger


def assemble(collected: Collected, maps: Maps, normalisation: Normalisation) -> TwoTime:
    """The record of a scan's two-time maps."""
    store, valid = collected.store, collected.valid
    raw, clean = maps.diagonals[..., 0], maps.diagonals[..., 1].copy()
    for index, roi in enumerate(store.rois):
        if not roi.whole:
            clean[index] = _mean_of_neighbours(maps.g2[index]) if maps.width == 1 else np.nan
    mean_counts = maps.means[:, valid].mean(axis=1)
    baselines = np.ones(len(store.rois)) if store.layout.listed or normalisation in _LEVELLED else _baselines(store)
    means, fine = maps.means, None
    if maps.width > 1:
        fine = _fine_lags(maps, collected.frame_time)
        raw, clean, means = (_cell_means(part, maps.width) for part in (raw, clean, means))
        valid = np.asarray(np.isfinite(means).any(axis=0), dtype=bool)
        at = np.arange(raw.shape[1])
        maps.g2[:, at, at] = raw
    return TwoTime(
        g2=maps.g2,
        diagonal=clean,
        frame_time=collected.frame_time * maps.width,
        pixels=np.array([roi.pixels for roi in store.rois], dtype=np.int64),
        mean_counts=mean_counts,
        frame_means=means,
        valid_frames=valid,
        static_baseline=baselines,
        saturated=collected.saturation.pixels,
        q_par=collected.q_par,
        q_z=collected.q_z,
        names=store.layout.names,
        normalisation=normalisation,
        kernels=tuple(maps.kernels),
        frames_per_cell=maps.width,
        fine=fine,
        notes=collected.plan.notes,
        group_maps=maps.group_maps,
        groups=tuple(maps.groups),
    )


_LEVELLED = ("time_average", "smoothed_image", "static_bins")
"""Normalisations after which no static profile is left."""


def _baselines(store: RoiStore) -> NDArray[np.float64]:
    """(Q,) baseline of each ROI."""
    found: list[float] = []
    for index, roi in enumerate(store.rois):
        y, x = store.layout.positions(index)
        found.append(static_baseline(y[roi.kept], x[roi.kept], roi.image[roi.kept]))
    return np.array(found)


def _fine_lags(maps: Maps, frame_time: float) -> FineLags:
    """One-time g2 of single frames."""
    values = np.stack(maps.fine)
    tau = np.arange(values.shape[-1]) * frame_time
    return FineLags(tau=tau, ratio_of_sums=values[:, 0], pychx=values[:, 1])


def _cell_means(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """(Q, c) means over cells of frames, of what is finite."""
    cells = values.shape[1] // width
    parts = values[:, : cells * width].reshape(len(values), cells, width)
    known = np.isfinite(parts)
    count = known.sum(axis=2)
    total = np.where(known, parts, 0.0).sum(axis=2)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _mean_of_neighbours(c: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) mean of the valid values at lag 1 on either side; NaN where there is none or the frame is bad."""
    beside = np.full((2, len(c)), np.nan)
    beside[0, 1:] = beside[1, :-1] = np.diagonal(c, offset=1)
    known = np.isfinite(beside)
    total = np.where(known, beside, 0.0).sum(axis=0)
    found = known.sum(axis=0)
    return np.divide(total, found, out=np.full(len(c), np.nan), where=found > 0)
