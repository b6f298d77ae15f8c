"""How far a two-time map breaks time-translation invariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Share:
    """A part of the variance of g2, with its 95 % confidence interval; not clipped to 0..1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class AgeWindow:
    """Corrected S_noneq of a part of the scan, against that part's own baseline."""

    start: float
    """s from the start of the scan."""
    stop: float
    """s from the start of the scan."""
    value: float
    """NaN when ``status`` is not "ok"."""
    low: float
    high: float
    """``low..high``: 95 % confidence interval."""
    status: str
    """"ok", or why there is no number."""


@dataclass(frozen=True, kw_only=True)
class CorrectedS:
    """S_noneq of one ROI from products between pixel groups, in which noise that is independent between them cancels.

    The interval is statistical: it says how well this realisation is measured, not what another would show.
    """

    value: float
    """Share of the variance of g2 that breaks time-translation invariance (Eq. 3 without noise). Not clipped: a
    stationary sample scatters around 0. NaN when ``status`` is not "ok"."""
    low: float
    high: float
    """``low..high``: 95 % confidence interval."""
    status: str
    """"ok", or "undetermined: ..." with the reason."""
    ageing: Share
    """Part that is smooth in age along the diagonals (polynomials of degree 1 to 3)."""
    intermittent: Share
    """The rest: g2 at fixed lag coming and going. Adds to ``ageing`` to make ``value``."""
    drift_rms_over_contrast: float
    """rms of the drift without noise, over the contrast; NaN when ``drift_status`` is not "ok"."""
    drift_rms_over_contrast_high: float
    """Upper end of its 95 % confidence interval; known even where the share is undetermined."""
    drift_status: str
    """"ok", or why there is no amplitude."""
    by_age: tuple[AgeWindow, ...]
    """Sliding windows, half as long as the scan and a quarter apart."""
    cell: float
    """s per time cell: part of the definition of the number."""
    window: float
    """s spanned by the cells."""
    frames_per_cell: int
    min_pairs: int
    """Shortest diagonal that takes part, in cells."""
    groups: int
    """Pixel groups used."""
    speckle_size: float
    """Full width at half maximum, pixels; NaN = assumed, see the groups' status."""
    pixels: int
    """In all groups together."""
    mean_counts: float
    """Per pixel and frame."""


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
    corrected: CorrectedS | None = None
    """S_noneq freed of photon and speckle-sampling noise; None where there are no pixel groups."""
    corrected_status: str = "not computed"
    """"ok", or why there is no corrected number."""

    @property
    def s_noneq_corrected(self) -> float | None:
        """Corrected share of variance, not clipped to 0..1; None where ``corrected_status`` is not "ok"."""
        return self.corrected.value if self.corrected is not None and self.corrected.status == "ok" else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % confidence interval of ``s_noneq_corrected``; None where there is none."""
        if self.corrected is None or self.corrected.status != "ok":
            return None
        return self.corrected.low, self.corrected.high
