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

ANY_BIT = 0xFFFFFFFF
"""Also the rarer ones: cluster (64), user-defined (256), interpolated virtual pixel (2**31), whose counts are
no photon counts."""


def good_pixels(pixel_mask: NDArray[np.integer[Any]], bits: int = ANY_BIT) -> Bools:
    """Pixels without any of the given bits.

    Args:
        pixel_mask: (y, x) unsigned integer, 0 = good.
        bits: Sum of the :data:`PIXEL_MASK_BITS` that exclude a pixel.

    Returns:
        (y, x) bool, True = good.
    """
    return (pixel_mask.astype(np.uint32) & np.uint32(bits)) == 0


def marked_pixels(source: FrameSource, present: Bools, bit_depth: int | None = None) -> dict[str, Bools]:
    """Pixels whose stored values are markers, not counts, judged on the first, middle and last present frame.

    Masked pixels of an Eiger read as the largest value of the image's integer type, those of a Pilatus as -1 and
    -2. A pixel is marked only if it holds such a value in every sampled frame: a Bragg spot or a cosmic ray that
    saturates one frame stays.

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
    chosen = sorted({int(existing[0]), int(existing[existing.size // 2]), int(existing[-1])})
    frames = [source.read(index, index + 1)[0] for index in chosen]
    if source.dtype.kind == "f":
        # Noise around zero after a dark subtraction is negative too, but does not repeat.
        constant = _all([(frame < 0) & (frame == frames[0]) for frame in frames]) & (len(frames) > 1)
        return {"negative": constant, "not_finite": ~_all([np.isfinite(frame) for frame in frames])}
    maxima = {int(np.iinfo(source.dtype).max)}
    if bit_depth is not None and 8 <= bit_depth < np.iinfo(source.dtype).bits:
        maxima.add(2**bit_depth - 1)
    return {
        "dtype_maximum": _all([np.isin(frame, np.array(sorted(maxima), dtype=source.dtype)) for frame in frames]),
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


def _all(images: list[Any]) -> Bools:
    return np.logical_and.reduce(images)
