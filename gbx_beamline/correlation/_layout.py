"""Which pixels of a frame belong to which q-ROI, in the order in which correlation holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import RoiError
from gbx_beamline.records import Bools, Labels, RoiSet


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """The usable pixels of all ROIs, ROI after ROI, each ROI's in the order of the flat frame."""

    where: NDArray[np.int64]
    """(P,) index into the flat frame."""
    edges: NDArray[np.int64]
    """(Q + 1,) ROI k holds the pixels ``edges[k]:edges[k + 1]``."""
    width: int
    """Columns of a frame."""
    names: tuple[str, ...]
    """(Q,)."""
    listed: bool = False
    """True for a bare list of pixels, which have no positions."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(Q,) pixels of each ROI."""
        return np.diff(self.edges)

    def part(self, roi: int) -> slice:
        """The columns of one ROI."""
        return slice(int(self.edges[roi]), int(self.edges[roi + 1]))

    def positions(self, roi: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(P_roi,) rows and columns of a ROI's pixels on the detector."""
        y, x = np.divmod(self.where[self.part(roi)], self.width)
        return y, x


def as_labels(rois: RoiSet | NDArray[Any], grid: tuple[int, int]) -> tuple[Labels, tuple[str, ...]]:
    """Label image on the frame's pixel grid, and the names of its ROIs.

    Args:
        rois: a RoiSet, or labels (y, x) or (P,), integer (0 = outside, 1..Q) or boolean (one ROI).
        grid: (y, x) of a frame; (1, P) for a list of pixels.

    Raises:
        RoiError: shape, dtype or values that no label image has.
    """
    labels = np.asarray(rois.labels if isinstance(rois, RoiSet) else rois)
    if labels.dtype.kind not in "biu":
        raise RoiError(
            f"labels of dtype {labels.dtype}",
            needed="integers, 0 = outside and 1..Q = the ROI",
            action="convert the labels with astype(np.int32)",
        )
    if labels.ndim == 1:
        labels = labels[None, :]
    if labels.shape != grid:
        raise RoiError(
            f"labels of shape {labels.shape} on frames of shape {grid}",
            needed="one label per pixel",
            action="make the labels on the same detector region as the frames",
        )
    if labels.size == 0 or labels.min() < 0 or labels.max() < 1:
        raise RoiError(
            f"labels from {labels.min()} to {labels.max()}" if labels.size else "labels without a pixel",
            needed="0 = outside and 1..Q = the ROI, with at least one ROI",
            action="renumber the labels",
        )
    names = rois.names if isinstance(rois, RoiSet) else tuple(f"ROI {k}" for k in range(1, int(labels.max()) + 1))
    return labels.astype(np.int32, copy=False), names


def lay_out(labels: Labels, mask: Bools, names: tuple[str, ...], *, listed: bool = False) -> PixelLayout:
    """Order the unmasked pixels of every ROI.

    Args:
        labels: (y, x) 0 = outside, 1..Q.
        mask: (y, x) True = good.
        names: (Q,) for the messages.
        listed: True for a bare list of pixels.

    Raises:
        RoiError: a ROI without a usable pixel, or labels without a name.
    """
    pixels = _pixels_of(labels, mask, names)
    index = np.flatnonzero(mask.ravel() & (labels.ravel() > 0))
    if len(names) > 1:
        index = index[np.argsort(labels.ravel()[index], kind="stable")]
    edges = np.concatenate([[0], np.cumsum(pixels)])
    return PixelLayout(where=index, edges=edges, width=labels.shape[1], names=names, listed=listed)


def _pixels_of(labels: Labels, mask: Bools, names: tuple[str, ...]) -> NDArray[np.int64]:
    before = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:]
    after = np.bincount(labels[mask], minlength=len(names) + 1)[1:]
    if len(before) != len(names):
        raise RoiError(
            f"labels up to {len(before)} for {len(names)} named ROIs",
            needed="one name per label",
            action="rebuild the ROI set from its labels",
        )
    for name, all_pixels, good in zip(names, before, after, strict=True):
        if good == 0:
            found = f"all {all_pixels} pixels of {name!r} are masked" if all_pixels else f"{name!r} has no pixel"
            raise RoiError(found, needed="at least one usable pixel", action="move or enlarge the ROI, or drop it")
    return after.astype(np.int64)
