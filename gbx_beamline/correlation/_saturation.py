"""Pixels that read the largest value of their type at times: the detector's sign that it could not count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools

LARGEST_SHARE = 0.1
"""Of a ROI's pixels. Beyond, it is frames that are wrong, or a beam too strong, and not a few pixels."""


class Saturation:
    """Which ROI pixels saturate, and when, gathered while frames pass by.

    Args:
        count: N.
        edges: (Q + 1,) ROI k holds the pixels ``edges[k]:edges[k + 1]``, none of them empty.
    """

    def __init__(self, count: int, edges: NDArray[np.int64]) -> None:
        self._edges = edges
        self._when = np.zeros((len(edges) - 1, count), dtype=bool)
        self.kept: Bools = np.ones(int(edges[-1]), dtype=bool)
        """(P,) False for pixels that saturated so far."""

    def look(self, picked: NDArray[Any], start: int) -> None:
        """Take note of a block (n, P) of unsigned integers that begins with frame ``start``."""
        full = picked == np.iinfo(picked.dtype).max
        if full.any():
            self.kept &= ~full.any(axis=0)
            self._when[:, start : start + len(full)] = np.logical_or.reduceat(full, self._edges[:-1], axis=1).T

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(Q,) pixels that saturated."""
        return np.add.reduceat(~self.kept, self._edges[:-1], dtype=np.int64)

    def refuse(self, names: tuple[str, ...]) -> None:
        """Raise where a ROI would lose too many pixels.

        Raises:
            InputError: more than a tenth of a ROI's pixels saturate.
        """
        for name, lost, total, when in zip(names, self.pixels, np.diff(self._edges), self._when, strict=True):
            if lost > LARGEST_SHARE * total:
                frames = np.flatnonzero(when)
                first = ", ".join(str(frame) for frame in frames[:5])
                raise InputError(
                    f"{lost} of {total} pixels of {name!r} saturate, first in frame {first}"
                    f"{f' and {frames.size - 5} more' if frames.size > 5 else ''}",
                    needed=f"at most {LARGEST_SHARE:.0%} of a ROI's pixels at the largest value of their type",
                    action="list frames that are saturated as a whole in bad_frames, or mask the pixels",
                )
