"""Two-time and one-time correlation, and how pixels were grouped for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records._arrays import Bools, Floats

_LEAST_CELLS = 3
"""Of group maps: fewer say nothing."""


@dataclass(frozen=True, kw_only=True)
class FineLags:
    """One-time g2 of single frames behind a map that is averaged over cells."""

    tau: NDArray[np.float64]
    """(N,) lag, s."""
    ratio_of_sums: NDArray[np.float64]
    """(Q, 2, N) g2 and its error by that convention."""
    pychx: NDArray[np.float64]
    """(Q, 2, N) g2 and its error by that convention."""


@dataclass(frozen=True, kw_only=True)
class PixelGroups:
    """How one ROI's pixels were split into groups for the noise-corrected S_noneq."""

    count: int
    """Groups in use; 0 = none."""
    pixels: tuple[int, ...]
    """(count,) pixels of each group."""
    frames_per_cell: int
    """Integer time binning of the group maps."""
    pairs: tuple[tuple[int, int], ...]
    """Pairs of groups (a, b), a < b, far enough apart that no speckle lies in both."""
    speckle_size: float
    """Full width at half maximum of the speckle, pixels; NaN = not measured, and ``status`` says so."""
    status: str
    """"ok", or why the speckle size was assumed, there are fewer groups than asked for, or none."""


@dataclass(frozen=True, kw_only=True)
class TwoTime:
    """Two-time correlation of each q-ROI, baseline 1.

    Bad frames, and frames in which a ROI holds no photon, are NaN rows and columns.
    """

    g2: NDArray[np.float32]
    """(Q, N, N) float32, raw diagonal (with shot noise)."""
    diagonal: NDArray[np.float64]
    """(Q, N) diagonal by factorial moment, ``(<I^2> - <I>) / <I>^2``: free of shot noise for photon counts."""
    frame_time: float
    """s between frames."""
    pixels: NDArray[np.int64]
    """(Q,) pixels that entered."""
    mean_counts: NDArray[np.float64]
    """(Q,) counts per pixel and frame, over valid frames."""
    frame_means: NDArray[np.float64]
    """(Q, N) counts per pixel of each frame."""
    valid_frames: Bools
    """(N,) False for frames excluded as bad."""
    static_baseline: NDArray[np.float64]
    """(Q,) what g2 tends to without correlation: ``<S^2> / <S>^2`` over the ROI's pixels, S the time-averaged image
    smoothed over many speckles. 1 where intensity is even, and where pixels have no positions."""
    saturated: NDArray[np.int64]
    """(Q,) pixels left out because they reached the largest value of the frames' type in some frame; 0 for counts
    that came as a bare array, which are taken as given."""
    q_par: Floats | None = None
    """(Q,) 1/m, when the ROIs carry q."""
    q_z: Floats | None = None
    """(Q,) 1/m, when the ROIs carry q."""
    names: tuple[str, ...] = ()
    """(Q,) names of the ROIs."""
    normalisation: str = "none"
    """What counts were divided by before: "none", "time_average", "smoothed_image", "static_bins" or
    "total_intensity"."""
    kernels: tuple[str, ...] = ()
    """(Q,) which kernel multiplied, and why."""
    frames_per_cell: int = 1
    """Frames averaged into one row of the maps, because of the memory ceiling; frame_time, frame_means and
    valid_frames are those of the cells."""
    fine: FineLags | None = None
    """g2 over the lag from single frames, where the maps are averaged."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how the maps were made, in words."""
    group_maps: NDArray[np.float32] | None = None
    """(Q, K, n, n) maps of the pixel groups on binned time, NaN on the diagonal; those beyond a ROI's own number of
    groups, and cells beyond its own number of cells, are all NaN."""
    groups: tuple[PixelGroups, ...] = ()
    """(Q,) how each ROI was split; empty where no groups were asked for."""

    @property
    def contrast(self) -> NDArray[np.float64]:
        """(Q,) mean shot-noise-free diagonal minus ``static_baseline``: by how much g2 rises above its baseline.

        Under a static profile it is ``static_baseline`` times the contrast that the speckles have by themselves.
        """
        with np.errstate(invalid="ignore"):
            known = np.isfinite(self.diagonal)
            total = np.where(known, self.diagonal, 0.0).sum(axis=1)
            return total / np.where(known.any(axis=1), known.sum(axis=1), np.nan) - self.static_baseline

    def between(self, start: int, stop: int) -> TwoTime:
        """The maps of a part of the series: views, not copies, except those of the pixel groups.

        Cells of group maps that straddle ``start`` or ``stop`` are left out. g2 of single frames behind averaged maps
        is known for the whole series only, so a part has none.

        Args:
            start: First row.
            stop: Row to end before.

        Returns:
            The same object where the part is the whole.
        """
        rows = self.g2.shape[-1]
        if (start, stop) == (0, rows):
            return self
        part = slice(start, stop)
        means = self.frame_means[:, part]
        known = np.isfinite(means)
        total = np.where(known, means, 0.0).sum(axis=1)
        return replace(
            self,
            g2=self.g2[:, part, part],
            diagonal=self.diagonal[:, part],
            mean_counts=np.divide(total, known.sum(axis=1), out=np.full(len(total), np.nan), where=known.any(axis=1)),
            frame_means=means,
            valid_frames=self.valid_frames[part],
            fine=None,
            group_maps=self._groups_between(start, stop),
        )

    def _groups_between(self, start: int, stop: int) -> NDArray[np.float32] | None:
        """Whole cells between two rows, from the first on; NaN beyond the last."""
        if self.group_maps is None:
            return None
        spans = []
        for groups in self.groups:
            first = -(-start // groups.frames_per_cell)
            spans.append((first, max(0, min(stop // groups.frames_per_cell, self.group_maps.shape[-1]) - first)))
        # Readers take as many cells as fit into the rows, which may be one more than lie whole between these two.
        room = max((stop - start) // groups.frames_per_cell for groups in self.groups)
        if room < _LEAST_CELLS:
            return None
        found = np.full((*self.group_maps.shape[:2], room, room), np.nan, dtype=np.float32)
        for roi, (first, count) in enumerate(spans):
            cells = slice(first, first + count)
            found[roi, :, :count, :count] = self.group_maps[roi, :, cells, cells]
        return found

    @property
    def g2_clean(self) -> NDArray[np.float32]:
        """(Q, N, N) copy with the shot-noise-free diagonal."""
        clean = self.g2.copy()
        index = np.arange(clean.shape[-1])
        clean[:, index, index] = self.diagonal
        return clean


@dataclass(frozen=True, kw_only=True)
class OneTime:
    """One-time correlation g2(tau) of each q-ROI."""

    tau: NDArray[np.float64]
    """(N,) lag, s; tau[0] = 0."""
    g2: NDArray[np.float64]
    """(Q, N) baseline 1; NaN where no valid pair of frames has this lag."""
    error: NDArray[np.float64]
    """(Q, N) standard error of the mean over pairs, taken as independent, which they are not: a lower bound. NaN with
    fewer than two pairs."""
    convention: Literal["ratio_of_sums", "pychx"]

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        """Unpacks as ``tau, g2, g2_error``."""
        return iter((self.tau, self.g2, self.error))
