"""Two-time correlation of every q-ROI: pixels collected, products exact, maps within the memory ceiling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._collect import collect
from gbx_beamline.correlation._correlator import RoiCorrelator
from gbx_beamline.correlation._cost import Kernel
from gbx_beamline.correlation._frames import FrameBlocks, as_frames, valid_frames
from gbx_beamline.correlation._groups import FEWEST_GROUPS
from gbx_beamline.correlation._layout import as_labels, lay_out
from gbx_beamline.correlation._memory import LARGEST_CELLS, MemoryPlan, plan
from gbx_beamline.correlation._normalise import NORMALISATIONS, Normalisation
from gbx_beamline.correlation._result import Maps, assemble
from gbx_beamline.correlation._roi_groups import RoiGroups
from gbx_beamline.correlation._row_blocks import row_blocks_of
from gbx_beamline.correlation._saturation import Saturation
from gbx_beamline.correlation._store import RoiRows, RoiStore
from gbx_beamline.correlation._target import CellMap, FullMap
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools, Floats, RoiSet, TwoTime


@dataclass(kw_only=True)
class Collected:
    """The counts of a scan's ROIs, before they are correlated."""

    store: RoiStore
    valid: Bools
    """(N,) False for frames that are left out."""
    frame_time: float
    saturation: Saturation
    plan: MemoryPlan
    groups: int
    """Pixel groups asked for."""
    max_cells: int
    """Most time cells of their maps."""
    threads: int | None
    q_par: Floats | None = None
    q_z: Floats | None = None

    @property
    def roi_means(self) -> NDArray[np.float64]:
        """(Q, N) counts per pixel in each frame; 0 in frames that are left out."""
        return np.stack([roi.totals / max(1, roi.pixels) for roi in self.store.rois])

    def leave_out(self, frames: Iterable[int]) -> None:
        """Take frames out of everything that follows.

        Raises:
            InputError: fewer than two frames are left.
        """
        chosen = np.fromiter(frames, dtype=np.int64)
        self.valid[chosen] = False
        if self.valid.sum() < 2:
            raise InputError(
                f"{self.valid.sum()} valid frame(s) of {self.valid.size} after bad ones were left out",
                needed="at least two valid frames",
                action="look at the frames, and switch the rule off that leaves them out if they are good",
            )
        for roi in self.store.rois:
            roi.blank(chosen)

    def leave_out_saturated(self) -> None:
        """Take pixels that saturate in frames in use out of everything that follows.

        Raises:
            InputError: more than a tenth of a ROI's pixels saturate.
        """
        self.saturation.refuse(self.store.layout.names, self.valid)
        for index, roi in enumerate(self.store.rois):
            roi.drop(np.flatnonzero(~self.saturation.kept[self.store.layout.part(index)] & roi.kept))


def two_time(
    series_or_counts: FrameBlocks | NDArray[Any],
    rois_or_labels: RoiSet | NDArray[Any],
    *,
    frame_time: float | None = None,
    bad_frames: Iterable[int] = (),
    groups: int = 8,
    max_cells: int = 256,
    normalisation: Normalisation = "none",
    kernel: Kernel | None = None,
    threads: int | None = None,
    max_bytes: int = 4 * 2**30,
) -> TwoTime:
    """Two-time correlation of every q-ROI.

    ``C(t1, t2) = <I(t1) I(t2)> / (<I(t1)> <I(t2)>)`` with averages over the ROI's unmasked pixels, each frame's
    own ROI mean in the denominator (Madsen et al., New J. Phys. 12, 055001 (2010); the convention that pyCHX,
    scikit-beam, boost_corr and xpcs-correlator share). Baseline 1, ``C - 1 = contrast |f|^2``.

    Counts may be divided by something before (``normalisation``), because a static intensity profile inside a ROI
    raises the baseline, to ``static_baseline``:

    - "none": nothing;
    - "time_average": each pixel by its average over the valid frames (this also removes what never moves);
    - "smoothed_image": each pixel by that average smoothed over about 800 pixels;
    - "static_bins": in each frame, by the mean of the pixels of similar smoothed intensity (8 bins);
    - "total_intensity": each frame by the counts in all ROIs together, instead of by its own ROI mean.

    Sums of counts are exact integers whatever the kernel, the order of pixels or the size of blocks, except where
    pixels are divided one by one ("time_average", "smoothed_image") or values are no whole numbers (float64 then).

    Bad frames and frames in which a ROI holds no photon are NaN rows and columns. The diagonal of ``g2`` is raw
    and holds shot noise; ``diagonal`` is the factorial moment ``(<I^2> - <I>) / <I>^2``, which photon counts free
    of it. Where a value is no whole number there are no photons to count: ``diagonal`` is then the mean of the
    neighbours at lag 1.

    A scan beyond ``max_bytes`` keeps its pixels in a temporary file, then its maps as area means over cells of
    frames (``frames_per_cell``; frame_time, frame_means and valid_frames are those of the cells then, and one_time
    still has every lag of single frames); ``notes`` says so.

    Args:
        series_or_counts: an opened series, or counts (N, y, x) or (N, P).
        rois_or_labels: a RoiSet, or labels (y, x) or (P,): 0 = outside, 1..Q; a boolean image is one ROI.
        frame_time: s between frames. A series that knows its own keeps it; 1 s for bare counts when None.
        bad_frames: indices of frames to leave out. Frames that the series lacks are left out anyway.
        groups: pixel groups per ROI whose maps are made for the noise-corrected S_noneq (at least 4); 0 makes none.
        max_cells: most time cells of those maps, as in ``nonequilibrium``.
        normalisation: what counts are divided by.
        kernel: "events", "int8", "float32", "float64" or "cuda-int8"; None takes the cheapest.
        threads: that decode frames and multiply; None = GBX_THREADS, or as many as there are cores.
        max_bytes: ceiling for the ROI pixels, the maps and the work space, also of the later steps of an analysis.

    Returns:
        TwoTime with g2 (Q, N, N) float32.

    Raises:
        SeriesError: fewer than two frames, no counts by shape or dtype, or frames missing at the end.
        RoiError: labels that do not fit the frames, or a ROI that is empty or fully masked.
        InputError: an impossible setting, frame time or bad frame, fewer than two valid frames, negative or
            non-finite counts, a ROI without a photon or with more than a tenth of its pixels saturated, or more
            memory needed than ``max_bytes``.
    """
    collected = collect_rois(
        series_or_counts,
        rois_or_labels,
        frame_time=frame_time,
        bad_frames=bad_frames,
        groups=groups,
        max_cells=max_cells,
        threads=threads,
        max_bytes=max_bytes,
    )
    collected.leave_out_saturated()
    return correlate(collected, normalisation=normalisation, kernel=kernel)


def collect_rois(
    series_or_counts: FrameBlocks | NDArray[Any],
    rois_or_labels: RoiSet | NDArray[Any],
    *,
    frame_time: float | None = None,
    bad_frames: Iterable[int] = (),
    groups: int = 8,
    max_cells: int = 256,
    threads: int | None = None,
    max_bytes: int = 4 * 2**30,
) -> Collected:
    """The first part of ``two_time``: everything that reads frames. Arguments and errors are its own.

    Saturated pixels are known afterwards, and still to be left out.
    """
    frames = as_frames(series_or_counts, 1.0 if frame_time is None else frame_time)
    spacing = checked_frame_time(frames.frame_time)
    if groups and groups < FEWEST_GROUPS:
        raise InputError(f"groups {groups}", needed=f"0, or at least {FEWEST_GROUPS} pixel groups", action="correct it")
    if not 3 <= max_cells <= LARGEST_CELLS:
        raise InputError(f"max_cells {max_cells}", needed=f"3 to {LARGEST_CELLS} time cells", action="correct it")
    labels, names = as_labels(rois_or_labels, frames.shape[1:])
    valid = valid_frames(frames, bad_frames)
    # A list of pixels has no neighbours.
    listed = isinstance(series_or_counts, np.ndarray) and series_or_counts.ndim == 2
    layout = lay_out(labels, frames.mask, names, listed=listed)
    memory = plan(
        frames.shape[0],
        layout.pixels,
        labels.size,
        frames.dtype,
        groups=groups,
        max_bytes=max_bytes,
    )
    store, saturation = collect(frames, layout, valid, spill=memory.spill, threads=threads)
    is_set = isinstance(rois_or_labels, RoiSet)
    return Collected(
        store=store,
        valid=valid,
        frame_time=spacing,
        saturation=saturation,
        plan=memory,
        groups=groups,
        max_cells=max_cells,
        threads=threads,
        q_par=rois_or_labels.q_par if is_set else None,
        q_z=rois_or_labels.q_z if is_set else None,
    )


def correlate(collected: Collected, *, normalisation: Normalisation = "none", kernel: Kernel | None = None) -> TwoTime:
    """The last part of ``two_time``: everything that multiplies. Arguments and errors are its own."""
    check_normalisation(normalisation, collected.store)
    store, valid, width = collected.store, collected.valid, collected.plan.frames_per_cell
    everything = np.sum([roi.totals for roi in store.rois], axis=0)
    maps = Maps.empty(len(store.rois), store.frames, width)
    refuse_dark(collected)
    for index, roi in enumerate(store.rois):
        positions = store.layout.positions(index)
        correlator = RoiCorrelator(roi, normalisation, positions)
        means = frame_means(roi, valid)
        target = FullMap(maps.g2[index]) if width == 1 else CellMap(store.frames, width, means)
        inverse = correlator.prepare(valid, everything)
        reason, blocks = row_blocks_of(correlator, kernel=kernel, threads=collected.threads)
        for first, last, sums in blocks:
            maps.diagonals[index, first:last] = correlator.write(first, last, inverse, target, sums)
        maps.means[index] = means
        maps.kernels.append(reason)
        if isinstance(target, CellMap):
            maps.take_cells(index, target)
    add_groups(collected, maps)
    return assemble(collected, maps, normalisation)


def refuse_dark(collected: Collected) -> None:
    """Refuse a ROI that never counted.

    Raises:
        InputError: no photon in any valid frame of a ROI.
    """
    for roi, name in zip(collected.store.rois, collected.store.layout.names, strict=True):
        if not roi.totals[collected.valid].any():
            raise InputError(
                f"no photon in any of {collected.valid.sum()} frames of {name!r}",
                needed="signal in every ROI",
                action="move the ROI to where the sample scatters, or check shutter and mask",
            )


def frame_means(roi: RoiRows, valid: Bools) -> NDArray[np.float64]:
    """(N,) counts per pixel of each frame; NaN where it is left out."""
    return np.where(valid, roi.totals / roi.pixels, np.nan)


def add_groups(collected: Collected, maps: Maps) -> None:
    """Make the group maps of every ROI, where groups are asked for."""
    if not collected.groups:
        return
    layout, frames = collected.store.layout, collected.store.frames
    for index, roi in enumerate(collected.store.rois):
        groups = RoiGroups(roi, layout, index, frames=frames, count=collected.groups, max_cells=collected.max_cells)
        groups.take(frames, collected.valid)
        maps.take_groups(index, *groups.maps(), wanted=collected.groups)


def check_normalisation(normalisation: str, store: RoiStore) -> None:
    """Refuse what is none, or needs neighbours where there are none.

    Raises:
        InputError: an unknown normalisation, or one that smooths a bare list of pixels.
    """
    if normalisation not in NORMALISATIONS:
        raise InputError(
            f"normalisation {normalisation!r}", needed=f"one of {', '.join(NORMALISATIONS)}", action="choose one"
        )
    if store.layout.listed and normalisation in ("smoothed_image", "static_bins"):
        raise InputError(
            f"normalisation {normalisation!r} of a bare list of pixels",
            needed="frames (N, y, x), in which pixels have neighbours",
            action='give whole frames, or take "none", "time_average" or "total_intensity"',
        )


def checked_frame_time(value: float) -> float:
    """The frame time as a float.

    Raises:
        InputError: not positive or not finite.
    """
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"frame_time {value}", needed="a positive number of s", action="correct frame_time")
    return float(value)
