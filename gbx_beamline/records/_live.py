"""A scan while it runs: small, replaced as a whole, and never final."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records._arrays import Floats
from gbx_beamline.records._detector import Geometry
from gbx_beamline.records._scan import ScanInfo

LIVE_VERSION = 2
"""Layout of live records. Changes when readers must change."""

Liveness = Literal["running", "ended", "stale", "failed"]


@dataclass(frozen=True, kw_only=True)
class LiveShare:
    """S_noneq of one q-ROI over the frames so far, in the cells of the final record. NaN = not known, see the status.

    While a scan is short it says little: the window grows with the scan, and the number with it.
    """

    s_noneq: float
    """Eq. 3 as printed: share of the variance of g2, photon and speckle noise included."""
    s_noneq_norm: float
    """Its square root."""
    drift_rms_over_contrast: float
    """rms of the drift over the contrast, noise included."""
    status: str
    """Of these three: "ok", or why there is no number."""
    s_noneq_corrected: float
    """The share without noise, not clipped to 0..1."""
    low: float
    high: float
    """``low..high``: 95 % confidence interval of ``s_noneq_corrected``."""
    drift_rms_over_contrast_corrected: float
    """rms of the drift without noise, over the contrast."""
    corrected_status: str
    """"ok", or why there is no corrected share."""
    cell: float
    """s per time cell."""
    window: float
    """s spanned by the cells."""


@dataclass(frozen=True, kw_only=True)
class LiveState:
    """What is known of a scan so far: maps for the screen, contrast, S_noneq, traces. Without automatic care.

    ``two_time`` and ``frame_means`` are empty before the first frames are correlated, and again once the final record
    is there.
    """

    scan: ScanInfo
    rule: str
    """Selection rule whose settings are used."""
    revision: int
    """Grows with each change that was published, whoever published it."""
    state: Liveness
    """"ended": the run is over; "stale": no data files come any more; "failed": it cannot be analysed live."""
    reason: str = ""
    """Why, where the state is "stale" or "failed"."""
    changed: float
    """Unix time of this revision, s."""
    record: str = ""
    """Key of the final record, once there is one."""
    frames: int = 0
    """Frames correlated so far."""
    expected: int = 0
    """Frames that the run announced; 0 = not known."""
    frame_time: float
    """s between frames; NaN = not known."""
    frames_per_cell: int = 1
    """Frames averaged into one row of ``two_time``; frames beyond the last full cell are not in it yet."""
    names: tuple[str, ...] = ()
    """(Q,) names of the q-ROIs."""
    q_par: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(Q,) 1/m."""
    q_z: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(Q,) 1/m."""
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """(Q,) pixels that enter."""
    mean_counts: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(Q,) counts per pixel and frame."""
    contrast: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """(Q,) by how much g2 rises above its baseline, without shot noise."""
    shares: tuple[LiveShare, ...] = ()
    """(Q,) S_noneq; empty until it was measured for the first time."""
    shares_frames: int = 0
    """Frames that ``shares`` were measured on: they may be some revisions older than the rest."""
    flags: tuple[str, ...] = ()
    """What a reader must know before believing the numbers."""
    two_time: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0, 0), dtype=np.float32))
    """(Q, n, n) float32, n <= 512: g2 with baseline 1, area means over square cells. The diagonal of shot noise takes
    no part: NaN on it where a cell is one frame."""
    frame_means: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """(Q, N) float64, counts per pixel of each frame."""
    image: NDArray[np.float32] = field(default_factory=lambda: np.empty((2, 0, 0), dtype=np.float32))
    """(2, r, c) float32: the newest frame that was read whole, as area means over square cells, NaN where masked; and
    the number of the q-ROI in the middle of each cell, 0 outside. Empty where there is none."""
    image_pixels: int = 1
    """Pixels along a cell of ``image``."""
    image_frame: int = 0
    """Number of the frame, from 0."""
    geometry: Geometry | None = None
    """Of the detector, as the q-ROIs were made with it."""

    @property
    def total_counts(self) -> Floats:
        """(N,) counts of each frame in all q-ROIs together."""
        if not self.frame_means.size:
            return np.empty(0)
        # Whole numbers, which went through a division.
        return np.rint((self.frame_means * self.pixels[:, None]).sum(axis=0))

    @property
    def time(self) -> Floats:
        """(N,) s from the start of the scan, of each frame."""
        return np.arange(self.frame_means.shape[-1]) * self.frame_time

    @property
    def cell_time(self) -> Floats:
        """(n,) s from the start of the scan, of the middle of each cell of ``two_time``."""
        first = np.arange(self.two_time.shape[-1]) * self.frames_per_cell
        return (first + (self.frames_per_cell - 1) / 2) * self.frame_time
