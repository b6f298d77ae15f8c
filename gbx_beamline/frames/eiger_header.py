"""What an Eiger master says beside the frames, in SI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records import Geometry

DETECTOR = "/entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
BEAM = "/entry/instrument/beam"


@dataclass(frozen=True, kw_only=True)
class EigerHeader:
    """Scalars of a master file. ``None`` means that the file does not say, or says what cannot be."""

    frame_time: float | None = None
    """s between frames."""
    count_time: float | None = None
    """s of exposure per frame."""
    nimages: int | None = None
    """Frames per trigger."""
    ntrigger: int | None = None
    distance: float | None = None
    """m."""
    wavelength: float | None = None
    """m."""
    beam_center_x: float | None = None
    """Column, pixels."""
    beam_center_y: float | None = None
    """Row, pixels."""
    pixel_size_x: float | None = None
    """m."""
    pixel_size_y: float | None = None
    """m."""
    shape: tuple[int, int] | None = None
    """(y, x) of a frame."""
    bit_depth: int | None = None
    """Bits per pixel of the image as written by the detector."""
    pixel_mask: NDArray[np.uint32] | None = field(default=None, repr=False, compare=False)
    """(y, x) the detector's bits, 0 = good; see :mod:`gbx_beamline.frames.masks`."""
    notes: tuple[str, ...] = ()
    """What a reader must know about these values."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """description, detector_number, sensor_material, sensor_thickness (m), threshold_energy (eV), photon_energy
    (eV), ... as far as the file says them."""

    @property
    def expected_frames(self) -> int | None:
        """nimages x ntrigger; an absent ntrigger counts as 1."""
        if self.nimages is None:
            return None
        return self.nimages * (1 if self.ntrigger is None else self.ntrigger) or None

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Unsigned integer of ``bit_depth`` bits."""
        return np.dtype(f"u{self.bit_depth // 8}") if self.bit_depth in (8, 16, 32) else None

    def geometry(self, shape: tuple[int, int]) -> Geometry:
        """Geometry of frames (y, x). Row 0 is the top of the detector, as Dectris writes images."""
        return Geometry(
            shape=shape,
            beam_center_x=self.beam_center_x,
            beam_center_y=self.beam_center_y,
            distance=self.distance,
            wavelength=self.wavelength,
            pixel_size_x=self.pixel_size_x,
            pixel_size_y=self.pixel_size_y,
            flip_y=True,
        )


def choose_frame_time(header: EigerHeader, given: float | None) -> tuple[float | None, tuple[str, ...]]:
    """The frame time to use in s, and what must be said about the choice.

    A given one wins over the file; without ``frame_time`` in the file ``count_time`` stands in, because the dead
    time of an Eiger is microseconds.
    """
    if given is not None:
        stored = header.frame_time
        if stored is not None and not np.isclose(given, stored, rtol=1e-6, atol=0):
            return given, (f"frame_time {given:g} s given, the file says {stored:g} s",)
        return given, ()
    if header.frame_time is not None:
        if header.count_time is not None and header.frame_time < header.count_time * (1 - 1e-6):
            said = f"frame_time {header.frame_time:g} s is shorter than count_time {header.count_time:g} s"
            return header.frame_time, (said,)
        return header.frame_time, ()
    if header.count_time is not None:
        said = f"frame_time absent in the file; count_time {header.count_time:g} s used"
        return header.count_time, (said,)
    return None, ()
