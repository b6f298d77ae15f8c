"""A scan beside a static reference: what of its drift the instrument shows by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.comparing._alike import geometry_differences, same_region
from gbx_beamline.config import FloorConfig
from gbx_beamline.records import CorrectedS, FloorRoi, InstrumentFloor, RoiFacts, ScanFacts

_DAY = 86400.0

_EARLY, _LATE = 0.02, (0.4, 0.5)
"""Of the span: lags between which the loss of contrast is taken. Longer ones have few pairs."""

Standing = Literal["above", "at the floor", "not known"]


class Loss(NamedTuple):
    """Share of the contrast that a one-time g2 loses."""

    value: float
    error: float
    """Standard error, at least."""
    lag: float
    """s over which."""


NO_LOSS = Loss(math.nan, math.nan, math.nan)


def why_not_beside(reference: ScanFacts, scan: ScanFacts, settings: FloorConfig) -> list[str]:
    """What keeps a static reference from being the floor of a scan, in words; empty where nothing does.

    Args:
        reference: numbers of the reference.
        scan: numbers of the scan.
        settings: what may differ.
    """
    said = geometry_differences(reference.geometry, scan.geometry, settings.within)
    if not any(same_region(roi, one, settings.within) for roi in scan.rois for one in reference.rois):
        said.append("no q-ROI at the same q")
    short, long = sorted((reference.frame_time, scan.frame_time))
    if long > settings.frame_time_factor * short:
        said.append(f"frame time {reference.frame_time:.3g} s, here {scan.frame_time:.3g} s")
    if reference.span * settings.window_factor < scan.span:
        said.append(f"{reference.span:.4g} s long, here {scan.span:.4g} s")
    age = age_of(reference, scan)
    if abs(age) > settings.most_days * _DAY:
        said.append(f"{abs(age) / _DAY:.0f} days {'before' if age > 0 else 'after'} the scan")
    return said


def age_of(reference: ScanFacts, scan: ScanFacts) -> float:
    """s from the start of the reference to that of the scan; NaN = unknown."""
    if reference.started is None or scan.started is None:
        return math.nan
    return scan.started - reference.started


def floor_beside(
    reference: ScanFacts, scan: ScanFacts, settings: FloorConfig, *, losses: Mapping[int, Loss] | None = None
) -> InstrumentFloor:
    """The floor that a static reference sets beside each q-ROI of a scan. Nothing is subtracted.

    A scan stands above the floor where its corrected S_noneq is above 0 and its drift, in units of the contrast, is
    larger than the upper end of the reference's own: S_noneq alone has no amplitude, and that of a reference that
    creeps a little may be anything.

    Args:
        reference: numbers of a reference against which ``why_not_beside`` has nothing to say.
        scan: numbers of the scan.
        settings: ``within``.
        losses: of g2, by index of the reference's q-ROI.
    """
    rois = []
    for roi in scan.rois:
        index = next((i for i, one in enumerate(reference.rois) if same_region(roi, one, settings.within)), None)
        if index is None:
            rois.append(_absent(roi))
        else:
            rois.append(_beside(reference.rois[index], roi, (losses or {}).get(index, NO_LOSS)))
    return InstrumentFloor(
        record=reference.record,
        run_uid=reference.run_uid,
        sample=reference.sample,
        age=age_of(reference, scan),
        rois=tuple(rois),
        notes=tuple(_notes(reference, scan)),
    )


def loss_of_contrast(
    tau: NDArray[np.float64],
    g2: NDArray[np.float64],
    error: NDArray[np.float64],
    *,
    contrast: float,
) -> Loss:
    """Share of the contrast that g2 loses from its first lags to about half the series.

    Args:
        tau: (N,) lag, s; lag 0 is left out.
        g2: (N,) of one q-ROI.
        error: (N,) its standard error; neighbouring lags share frames, so that a mean has the mean error.
        contrast: of the q-ROI.
    """
    known = np.isfinite(g2) & np.isfinite(error) & (tau > 0)
    if not (contrast > 0 and known.sum() > 1):
        return NO_LOSS
    span = float(tau[-1])
    early = known & (tau <= max(_EARLY * span, float(tau[known][0])))
    late = known & (tau >= _LATE[0] * span) & (tau <= _LATE[1] * span)
    if not early.any() or not late.any():
        return NO_LOSS
    fall = float(g2[early].mean() - g2[late].mean()) / contrast
    spread = math.hypot(float(error[early].mean()), float(error[late].mean())) / contrast
    return Loss(fall, spread, float(tau[late].mean()))


def _absent(roi: RoiFacts) -> FloorRoi:
    nan = math.nan
    return FloorRoi(
        name=roi.name,
        s_corrected=nan,
        low=nan,
        high=nan,
        drift=nan,
        drift_high=nan,
        decay=nan,
        decay_error=nan,
        decay_lag=nan,
        status="the reference has no q-ROI at this q",
        standing="not known",
        words="the static reference has no q-ROI at this q",
    )


def _beside(reference: RoiFacts, roi: RoiFacts, loss: Loss) -> FloorRoi:
    floor = reference.corrected
    known = floor is not None and floor.status == "ok"
    drift_high = math.nan if floor is None else floor.drift_rms_over_contrast_high
    standing, words = _standing(roi, drift_high)
    return FloorRoi(
        name=roi.name,
        s_corrected=floor.value if floor is not None and known else math.nan,
        low=floor.low if floor is not None and known else math.nan,
        high=floor.high if floor is not None and known else math.nan,
        drift=math.nan if floor is None or floor.drift_status != "ok" else floor.drift_rms_over_contrast,
        drift_high=drift_high,
        decay=loss.value,
        decay_error=loss.error,
        decay_lag=loss.lag,
        status="ok" if math.isfinite(drift_high) else _unmeasured(reference),
        standing=standing,
        words=words,
    )


def _unmeasured(reference: RoiFacts) -> str:
    floor = reference.corrected
    return reference.corrected_status if floor is None else floor.drift_status


def _standing(roi: RoiFacts, drift_high: float) -> tuple[Standing, str]:
    own = roi.corrected
    if not math.isfinite(drift_high):
        return "not known", "the static reference has no measured drift here"
    up_to = f"a static reference up to {_percent(drift_high)}"
    if own is None:
        return "not known", f"the scan's own drift is not known without noise; {up_to} of the contrast"
    if not _significant(own):
        largest = own.drift_rms_over_contrast_high
        most = f"drift no more than {_percent(largest)} of the contrast, {up_to}"
        if largest <= drift_high:
            return "at the floor", f"at the instrument's floor: {most}"
        known = math.isfinite(largest)
        return "not known", f"no drift beyond noise: {most if known else f'{up_to} of the contrast'}"
    both = f"drift {_percent(own.drift_rms_over_contrast)} of the contrast, {up_to}"
    if own.drift_rms_over_contrast > drift_high:
        return "above", f"above the instrument's floor: {both}"
    return "at the floor", f"at the instrument's floor: {both}"


def _significant(own: CorrectedS) -> bool:
    return own.status == "ok" and own.low > 0 and math.isfinite(own.drift_rms_over_contrast)


def _percent(value: float) -> str:
    return f"{100.0 * value:.2g} %"


def _notes(reference: ScanFacts, scan: ScanFacts) -> list[str]:
    notes = []
    if reference.span < 0.99 * scan.span:
        notes.append(
            f"the reference lasts {reference.span:.4g} s, the scan {scan.span:.4g} s: over the scan the floor may be "
            "higher"
        )
    if not math.isclose(reference.frame_time, scan.frame_time, rel_tol=0.01):
        notes.append(f"frame time of the reference {reference.frame_time:.3g} s, of the scan {scan.frame_time:.3g} s")
    if reference.moved:
        notes.append(f"the reference moved: {reference.moved}")
    first, second = reference.dose_rate, scan.dose_rate
    if math.isfinite(first) and math.isfinite(second) and max(first, second) > 1.5 * min(first, second):
        notes.append(f"dose rate of the reference {first:.3g}, of the scan {second:.3g} s of full beam per s")
    return notes
