"""Frozen results and the Protocols between parts: what flows through GBX, with shape, unit and dtype.

Symbols used for shapes: N frames, (y, x) detector rows and columns, Q q-ROIs, n binned time cells.
Arrays inside a record are to be read, not written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Labels = NDArray[np.int32]
Region = tuple[slice, slice]
"""Rows and columns of a rectangular part of the detector."""

SCHEMA_VERSION = 1
"""Layout of the records in the catalog. Changes when readers must change."""

ALGORITHM_VERSION = "1"
"""Changes only when the numbers in a correlation record change."""


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


@dataclass(frozen=True, kw_only=True)
class TwoTime:
    """Two-time correlation of each q-ROI, baseline 1.

    Bad frames, and frames in which a ROI holds no photon, are NaN rows and columns.
    """

    g2: NDArray[np.float32]
    """(Q, N, N) float32, raw diagonal (with shot noise)."""
    diagonal: NDArray[np.float64]
    """(Q, N) diagonal by factorial moment, ``(<I^2> - <I>) / <I>^2``: free of shot noise for photon counts."""
    frame_time: float
    """s between frames."""
    pixels: NDArray[np.int64]
    """(Q,) pixels that entered."""
    mean_counts: NDArray[np.float64]
    """(Q,) counts per pixel and frame, over valid frames."""
    frame_means: NDArray[np.float64]
    """(Q, N) counts per pixel of each frame."""
    valid_frames: Bools
    """(N,) False for frames excluded as bad."""
    static_baseline: NDArray[np.float64]
    """(Q,) what g2 tends to without correlation: ``<S^2> / <S>^2`` over the ROI's pixels, S the time-averaged image
    smoothed over many speckles. 1 where intensity is even, and where pixels have no positions."""
    saturated: NDArray[np.int64]
    """(Q,) pixels left out because they reached the largest value of the frames' type in some frame; 0 for counts
    that came as a bare array, which are taken as given."""
    q_par: Floats | None = None
    """(Q,) 1/m, when the ROIs carry q."""
    q_z: Floats | None = None
    """(Q,) 1/m, when the ROIs carry q."""
    names: tuple[str, ...] = ()
    """(Q,) names of the ROIs."""

    @property
    def contrast(self) -> NDArray[np.float64]:
        """(Q,) mean shot-noise-free diagonal minus ``static_baseline``: by how much g2 rises above its baseline.

        Under a static profile it is ``static_baseline`` times the contrast that the speckles have by themselves.
        """
        with np.errstate(invalid="ignore"):
            known = np.isfinite(self.diagonal)
            total = np.where(known, self.diagonal, 0.0).sum(axis=1)
            return total / np.where(known.any(axis=1), known.sum(axis=1), np.nan) - self.static_baseline

    @property
    def g2_clean(self) -> NDArray[np.float32]:
        """(Q, N, N) copy with the shot-noise-free diagonal."""
        clean = self.g2.copy()
        index = np.arange(clean.shape[-1])
        clean[:, index, index] = self.diagonal
        return clean


@dataclass(frozen=True, kw_only=True)
class OneTime:
    """One-time correlation g2(tau) of each q-ROI."""

    tau: NDArray[np.float64]
    """(N,) lag, s; tau[0] = 0."""
    g2: NDArray[np.float64]
    """(Q, N) baseline 1; NaN where no valid pair of frames has this lag."""
    error: NDArray[np.float64]
    """(Q, N) standard error of the mean over pairs, taken as independent, which they are not: a lower bound. NaN with
    fewer than two pairs."""
    convention: Literal["ratio_of_sums", "pychx"]

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        """Unpacks as ``tau, g2, g2_error``."""
        return iter((self.tau, self.g2, self.error))


@dataclass(frozen=True, kw_only=True)
class DecayFit:
    """``g2 = baseline + contrast * exp(-2 (rate tau)^exponent)`` fitted to a one-time g2."""

    contrast: float
    rate: float
    """1/s."""
    exponent: float
    baseline: float
    errors: Mapping[str, float | None]
    """Lower bound of the standard error of each of the four, because neighbouring lags share pairs of frames and
    relaxation times; None where it was held or could not be estimated."""
    status: str
    """"ok", or why the numbers are not to be used (they are NaN then)."""


@dataclass(frozen=True, kw_only=True)
class NonEquilibrium:
    """How far one two-time map breaks time-translation invariance (Eq. 1-3), diagonal excluded.

    The value belongs to its cell and window; numbers at another cell are other numbers.
    """

    s_noneq: float
    """Eq. 3 as printed: share of the variance of g2, 0..1; NaN when ``status`` is not "ok"."""
    s_noneq_norm: float
    """Its square root, the ratio of norms that the paper's figures show."""
    drift_rms_over_contrast: float
    """rms of the drift (Eq. 2) over the contrast: the amplitude that S_noneq lacks; NaN without contrast."""
    contrast: float
    """Contrast the drift was divided by."""
    drift: NDArray[np.float32]
    """(n, n) Eq. 2; NaN on the diagonal and where frames are bad."""
    tti: NDArray[np.float64]
    """(n,) Eq. 1: mean of g2 along each diagonal; NaN at lag 0."""
    cell: float
    """s per binned time cell."""
    window: float
    """s spanned by the map."""
    frames_per_cell: int
    min_pairs: int
    """Shortest diagonal that takes part, in cells."""
    status: str
    """"ok", or why there is no number."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made a result."""

    config_hash: str
    package_version: str
    algorithm_version: str = ALGORITHM_VERSION
    schema_version: int = SCHEMA_VERSION
    seeds: Mapping[str, int] = field(default_factory=dict)
    """Seeds of whatever was random; the correlation itself is deterministic."""


@dataclass(frozen=True, kw_only=True)
class ScanInfo:
    """What a run says of itself, as far as it says it."""

    run_uid: str
    sample: str | None = None
    temperature: float | None = None
    """K."""
    started: float | None = None
    """Unix time, s."""
    truth: Mapping[str, Any] | None = None
    """What a simulated run was made with."""
    access_tags: tuple[str, ...] = ()
    source: str = ""
    """Where the frames came from, in words."""


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """One analysed scan: what the catalog stores as a correlation record."""

    scan: ScanInfo
    rois: RoiSet
    geometry: Geometry
    two_time: TwoTime
    one_time: OneTime
    nonequilibrium: tuple[NonEquilibrium, ...]
    fits: tuple[DecayFit, ...]
    mean_image: NDArray[np.float32]
    """(y, x) counts per frame; NaN where masked."""
    mask: Bools
    """(y, x) True = used."""
    excluded: Mapping[str, int]
    """Pixels or frames left out, by reason."""
    flags: tuple[str, ...]
    """What a reader must know before believing the numbers."""
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class ScanFailure:
    """A scan that could not be analysed, and why: failure is data."""

    scan: ScanInfo
    kind: str
    """Class of the error."""
    reason: str
    provenance: Provenance


@runtime_checkable
class ResultSink(Protocol):
    """Where finished results go."""

    def publish(self, outcome: ScanResult | ScanFailure) -> str:
        """Store one outcome, complete or not at all.

        Returns:
            Key of the record that readers now see. That is the one of whoever was first.
        """
        ...
