"""Frames, the geometry they were taken in, and q-ROIs on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records._arrays import Floats, Labels, Region


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where the beam and the detector are. ``None`` means not measured; nothing is guessed.

    Image coordinates are those of the stored frame: row index y, column index x, pixel centres
    at integers. Without flips, columns grow to the right as seen from the sample and rows grow upwards.
    """

    shape: tuple[int, int]
    """Rows and columns of a frame, (y, x)."""
    mode: Literal["gisaxs", "transmission"] = "transmission"
    beam_center_x: float | None = None
    """Column of the direct beam, pixels; may lie off the detector."""
    beam_center_y: float | None = None
    """Row of the direct beam, pixels; may lie off the detector."""
    distance: float | None = None
    """Sample to detector, m."""
    wavelength: float | None = None
    """m."""
    pixel_size_x: float | None = None
    """m."""
    pixel_size_y: float | None = None
    """m."""
    incidence: float | None = None
    """Angle between the beam and the sample surface (GISAXS), rad."""
    critical_angle: float | None = None
    """Critical angle of the sample (GISAXS), rad: where the Yoneda band lies."""
    tilt: float = 0.0
    """Rotation of the sample horizon about the beam (GISAXS), rad, anticlockwise as seen from the sample."""
    flip_x: bool = False
    """True when columns grow to the left as seen from the sample."""
    flip_y: bool = False
    """True when row 0 is the top of the detector (as Dectris writes images)."""

    def with_changes(self, **changes: Any) -> Geometry:
        """A copy with some values replaced."""
        return replace(self, **changes)


@runtime_checkable
class FrameSource(Protocol):
    """Frames in acquisition order, read by slices."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored integer (or float) type of a pixel."""
        ...

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``: (stop - start, y, x), stored dtype."""
        ...


@dataclass(frozen=True, kw_only=True)
class RoiSet:
    """q-ROIs as one label image."""

    labels: Labels
    """(y, x) int32; 0 = outside, 1..Q = the ROI."""
    names: tuple[str, ...]
    """(Q,)."""
    q_par: Floats
    """(Q,) in-plane momentum transfer of each ROI (mean over its pixels), 1/m; |q| in transmission."""
    q_z: Floats
    """(Q,) out-of-plane momentum transfer, 1/m; 0 in transmission, NaN where a label image told no q."""
    flags: tuple[tuple[str, ...], ...]
    """(Q,) warnings of each ROI: ``"specular"``, ``"yoneda"``."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """(Q,) pixels per ROI before masking."""
        return np.bincount(self.labels.ravel(), minlength=len(self) + 1)[1:].astype(np.int64)
