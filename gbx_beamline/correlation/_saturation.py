"""Pixels that read the largest value of their type at times: the detector's sign that it could not count."""

from __future__ import annotations

from copy import copy

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
        self._full = np.zeros((len(edges) - 1, count), dtype=np.int64)
        self.kept: Bools = np.ones(int(edges[-1]), dtype=bool)
        """(P,) False for pixels that saturated in a frame in which few others did."""

    def note(self, frames: NDArray[np.int64], pixels: NDArray[np.int64]) -> None:
        """Take note of saturated counts: their frames (E,) and columns (E,), all of a frame at once."""
        roi = np.searchsorted(self._edges, pixels, side="right") - 1
        np.add.at(self._full, (roi, frames), 1)
        # Where a whole frame is flooded it is the frame that is bad, not its pixels.
        self.kept[pixels[~self._flooded[roi, frames]]] = False

    def head(self, frames: int) -> Saturation:
        """The first frames, without a copy."""
        part = copy(self)
        part._full = self._full[:, :frames]
        return part

    @property
    def _flooded(self) -> Bools:
        return self._full > LARGEST_SHARE * np.diff(self._edges)[:, None]

    @property
    def per_frame(self) -> NDArray[np.int64]:
        """(N,) saturated ROI pixels of each frame."""
        return self._full.sum(axis=0)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(Q,) pixels that saturated."""
        return np.add.reduceat(~self.kept, self._edges[:-1], dtype=np.int64)

    def refuse(self, names: tuple[str, ...], valid: Bools) -> None:
        """Raise where a ROI would lose too many pixels, or a frame in use is flooded.

        Raises:
            InputError: more than a tenth of a ROI's pixels saturate.
        """
        flooded = self._flooded & valid
        for roi, (name, single, total) in enumerate(zip(names, self.pixels, np.diff(self._edges), strict=True)):
            lost = max(int(single), int(np.max(self._full[roi], initial=0, where=flooded[roi])))
            if lost > LARGEST_SHARE * total:
                frames = np.flatnonzero((self._full[roi] > 0) & valid)
                first = ", ".join(str(frame) for frame in frames[:5])
                raise InputError(
                    f"{lost} of {total} pixels of {name!r} saturate, first in frame {first}"
                    f"{f' and {frames.size - 5} more' if frames.size > 5 else ''}",
                    needed=f"at most {LARGEST_SHARE:.0%} of a ROI's pixels at the largest value of their type",
                    action="list frames that are saturated as a whole in bad_frames, or mask the pixels",
                )
