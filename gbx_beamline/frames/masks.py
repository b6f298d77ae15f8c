"""Which pixels can be believed: the detector's own mask, marker values in the frames, a user's mask.

Masks are True = good, as at CHX; only the detector's ``pixel_mask`` counts bits of badness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.records import Bools, FrameSource

PIXEL_MASK_BITS: Mapping[str, int] = {
    "gap": 1,
    "dead": 2,
    "under_responsive": 4,
    "over_responsive": 8,
    "noisy": 16,
}
"""The bits that Dectris detectors set (NXmx, field ``pixel_mask``)."""

NO_SOURCE = 2**30
"""Our own bit: no source of a virtual data set covers the pixel, which therefore reads as a fill value. NXmx leaves
the bits 9 to 30 undefined. It lives in the mask so that readers of files and of servers count alike."""


_PLACES = (0.0, 0.5, 1.0, 0.25, 0.75, 0.125, 0.375, 0.625, 0.875)
"""Where frames are sampled, as shares of the series, in this order."""
_ENOUGH = 3
MOST_SAMPLES = len(_PLACES)


def with_no_source(pixel_mask: NDArray[np.uint32] | None, uncovered: Bools | None) -> NDArray[np.uint32] | None:
    """The detector's mask with :data:`NO_SOURCE` where no source covers a pixel.

    Args:
        pixel_mask: (y, x) bits, 0 = good; None = the file has none.
        uncovered: (y, x) bool; None = every pixel is covered.

    Returns:
        (y, x) uint32; None where there is neither.
    """
    if uncovered is None:
        return pixel_mask
    bits = np.where(uncovered, np.uint32(NO_SOURCE), np.uint32(0))
    return bits if pixel_mask is None else pixel_mask | bits


def masked_pixels(pixel_mask: NDArray[np.integer[Any]]) -> dict[str, Bools]:
    """Pixels that a mask excludes, by reason.

    Any bit of the detector excludes, also the rarer ones: cluster (64), user-defined (256), interpolated virtual
    pixel (2**31), whose counts are no photon counts.

    Args:
        pixel_mask: (y, x) integer bits, 0 = good.

    Returns:
        ``"pixel_mask"`` (bits of the detector) and ``"no_source"`` (:data:`NO_SOURCE`) -> (y, x) bool, True = bad.
    """
    bits = pixel_mask.astype(np.uint32)
    no_source = np.uint32(NO_SOURCE)
    return {"pixel_mask": (bits & ~no_source) != 0, "no_source": (bits & no_source) != 0}


def fitting(pixel_mask: NDArray[Any] | None, shape: tuple[int, int]) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """A mask that fits frames (y, x), else None and the note that says so."""
    if pixel_mask is None or pixel_mask.shape == shape:
        return pixel_mask, ()
    return None, (f"pixel_mask of shape {pixel_mask.shape} does not fit frames of {shape}; not used",)


def marked_pixels(source: FrameSource, present: Bools, bit_depth: int | None = None) -> dict[str, Bools]:
    """Pixels whose stored values are markers, not counts, judged on the first, middle and last present frame.

    Masked pixels of an Eiger read as the largest value of the image's integer type, those of a Pilatus as -1 and
    -2. A pixel is marked only if it holds such a value in every sampled frame: a Bragg spot or a cosmic ray that
    saturates one frame stays. A blank frame (no count above 0 beside markers: zero-filled, all NaN) tells nothing
    about gaps, and others are sampled in its place, at most :data:`MOST_SAMPLES` in all; where every sample is
    blank, they are judged as they are.

    Args:
        source: Frames (N, y, x).
        present: (N,) False where a frame is absent and must not be read.
        bit_depth: Bits of the image as the detector wrote it, where a later copy widened the type.

    Returns:
        Reason -> (y, x) bool, True = marked: ``"dtype_maximum"`` and ``"negative"`` for integers,
        ``"negative"`` and ``"not_finite"`` for floats. Without any present frame: empty.
    """
    existing = np.flatnonzero(present)
    if existing.size == 0:
        return {}
    maxima = _maxima(source.dtype, bit_depth)
    frames = _telling_frames(source, existing, maxima)
    if source.dtype.kind == "f":
        # Noise around zero after a dark subtraction is negative too, but does not repeat.
        constant = _all([(frame < 0) & (frame == frames[0]) for frame in frames]) & (len(frames) > 1)
        return {"negative": constant, "not_finite": _all([~np.isfinite(frame) for frame in frames])}
    return {
        "dtype_maximum": _all([np.isin(frame, maxima) for frame in frames]),
        "negative": _all([(frame < 0) & (frame == frames[0]) for frame in frames]),
    }


def user_mask(mask: NDArray[Any], shape: tuple[int, int]) -> Bools:
    """A user's mask as bool, after a check of shape and values.

    Args:
        mask: (y, x) bool or 0/1 integers, True = good.
        shape: (y, x) of the frames.

    Raises:
        SeriesError: another shape, or values that are neither true nor false.
    """
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise SeriesError(
            f"mask of shape {mask.shape} for frames of shape {shape}",
            needed="one mask value per pixel, (y, x)",
            action="check that the mask was made for this detector and is not transposed",
        )
    if mask.dtype != np.bool_ and not (mask.dtype.kind in "ui" and np.isin(mask, (0, 1)).all()):
        raise SeriesError(
            f"mask of dtype {mask.dtype}" + (" with values beside 0 and 1" if mask.dtype.kind in "ui" else ""),
            needed="booleans or 0/1 integers, True = good",
            action="convert it, for example with mask == 0 where 0 means good",
        )
    return mask.astype(np.bool_)


def combine(shape: tuple[int, int], bad: Mapping[str, Bools]) -> tuple[Bools, dict[str, int]]:
    """One mask from several, and how many pixels each took.

    Args:
        shape: (y, x).
        bad: Reason -> (y, x) bool, True = bad.

    Returns:
        (y, x) bool, True = good; pixels by the first reason that excluded them, so that they add up.
    """
    good = np.ones(shape, dtype=np.bool_)
    excluded: dict[str, int] = {}
    for reason, pixels in bad.items():
        new = int((pixels & good).sum())
        if new:
            excluded[reason] = new
        good &= ~pixels
    return good, excluded


def _maxima(dtype: np.dtype[Any], bit_depth: int | None) -> NDArray[Any]:
    """Values that mark a gap in an integer image; none in a float image."""
    if dtype.kind == "f":
        return np.empty(0, dtype=dtype)
    largest = {int(np.iinfo(dtype).max)}
    if bit_depth is not None and 8 <= bit_depth < np.iinfo(dtype).bits:
        largest.add(2**bit_depth - 1)
    return np.array(sorted(largest), dtype=dtype)


def _telling_frames(source: FrameSource, existing: NDArray[np.intp], maxima: NDArray[Any]) -> list[NDArray[Any]]:
    """Up to three frames that are not blank; every sampled one where all are."""
    telling: list[NDArray[Any]] = []
    blank: list[NDArray[Any]] = []
    places = [int(existing[round(share * (existing.size - 1))]) for share in _PLACES]
    for index in dict.fromkeys(places):
        frame = source.read(index, index + 1)[0]
        counted = (frame > 0) & np.isfinite(frame) & ~np.isin(frame, maxima)
        (telling if counted.any() else blank).append(frame)
        if len(telling) == _ENOUGH:
            break
    return telling or blank


def _all(images: list[Any]) -> Bools:
    return np.logical_and.reduce(images)
