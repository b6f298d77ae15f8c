"""Label images that somebody drew: read from a file, checked, never silently mended."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import RoiError
from gbx_beamline.records import Labels

_NAMED_AT_MOST = 10


def check_labels(labels: ArrayLike, shape: tuple[int, int]) -> Labels:
    """An int32 label image that numbers its ROIs 1..Q without a hole.

    Args:
        labels: (y, x) integers, 0 = outside.
        shape: (y, x) of a frame.

    Raises:
        RoiError: another shape, other than integers, negative numbers, absent numbers, or no ROI at all.
            Nothing is renumbered: the numbers are how a user refers to the ROIs.
    """
    image = np.asarray(labels)
    if image.shape != tuple(shape):
        turned = "; it looks transposed" if image.shape == tuple(shape)[::-1] else ""
        raise RoiError(
            f"a label image of shape {image.shape}{turned}",
            needed=f"one label per pixel of a frame, {tuple(shape)}",
            action="transpose it" if turned else "draw it on an unbinned, uncropped frame of this detector",
        )
    if image.dtype.kind not in "iu":
        raise RoiError(
            f"a label image of type {image.dtype}",
            needed="integers, 0 = outside and 1..Q = the q-ROI",
            action="convert it with labels.astype('int32')",
        )
    if image.size and image.min() < 0:
        raise RoiError(
            f"a label image with negative numbers, down to {image.min()}",
            needed="0 = outside and 1..Q = the q-ROI",
            action="set the pixels outside all q-ROIs to 0",
        )
    numbers = np.unique(image)
    numbers = numbers[numbers > 0]
    if numbers.size == 0:
        raise RoiError(
            "a label image without any label above 0",
            needed="at least one q-ROI",
            action="number the pixels of the first q-ROI 1",
        )
    if int(numbers[-1]) != numbers.size:
        _refuse_holes(numbers)
    return image.astype(np.int32)


def _refuse_holes(numbers: NDArray[Any]) -> None:
    # Among 1..Q+1 one is absent for certain; the list stays short where a mask value such as 65535 slipped in.
    highest = min(int(numbers[-1]), numbers.size + _NAMED_AT_MOST)
    absent = np.setdiff1d(np.arange(1, highest + 1), numbers.astype(np.int64))[:_NAMED_AT_MOST]
    total = int(numbers[-1]) - numbers.size
    more = f" and {total - absent.size} more" if total > absent.size else ""
    raise RoiError(
        f"a label image with labels up to {numbers[-1]} in which {', '.join(map(str, absent))}{more} "
        f"{'is' if total == 1 else 'are'} absent",
        needed="the numbers 1..Q without a hole",
        action="renumber it, for example with numpy.unique(labels, return_inverse=True)",
    )
