"""Beam or sample: scans of one sample under different beam, side by side, with a verdict that says why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gbx_beamline.comparing import _rates
from gbx_beamline.comparing._beam import Levels, levels_of
from gbx_beamline.comparing._curves import Curves, common_lags, curves_of, largest_difference
from gbx_beamline.comparing._refusals import checked
from gbx_beamline.comparing._verdict import judged
from gbx_beamline.config import CompareConfig
from gbx_beamline.records import (
    Between,
    ComparedRoi,
    ComparedScan,
    Comparison,
    RoiFacts,
    ScanFacts,
    ScanResult,
    facts_of,
)

_UNKNOWN = Between(value=math.nan, low=math.nan, high=math.nan)


@dataclass(frozen=True)
class _Region:
    """One q-ROI in all scans."""

    rois: tuple[RoiFacts, ...]
    index: tuple[int, ...]
    """Of it in each scan."""


def compare(results: Sequence[ScanResult], settings: CompareConfig | None = None) -> Comparison:
    """Whether the dynamics of a sample follow the beam.

    Scans of one sample at two attenuations or more are compared in one-time g2, relaxation time, exponent, contrast
    and corrected S_noneq. The verdict comes from the ratio of the relaxation rates against that of the dose rates:
    see ``gbx_beamline/comparing/_rates.py``.

    Args:
        results: of ``analyze``, or from the catalog; two or more.
        settings: what may differ between the scans, and how much the beam may do.

    Returns:
        Comparison, the scan with the lowest dose rate first; "undetermined" where a dose rate is unknown or the
        intervals are too wide, with the reason.

    Raises:
        InputError: fewer than two scans, of different samples, temperatures or geometries, without a common q-ROI, or
            all at one dose rate.
    """
    return compare_facts([facts_of(one) for one in results], settings, curves=[curves_of(one) for one in results])


def compare_facts(
    scans: Sequence[ScanFacts], settings: CompareConfig | None = None, *, curves: Sequence[Curves] | None = None
) -> Comparison:
    """As ``compare``, from numbers that a catalog lists without reading arrays.

    Args:
        scans: numbers of each.
        settings: see there.
        curves: (S,) of the scans; None leaves the curves of the comparison empty.
    """
    settings = settings or CompareConfig()
    common, notes = checked(scans, settings)
    levels = levels_of(scans, settings)
    order = levels.order
    scans = [scans[index] for index in order]
    if curves is not None:
        curves = [curves[index] for index in order]
    regions = [
        _Region(
            rois=tuple(scan.rois[index[place]] for scan, place in zip(scans, order, strict=True)),
            index=tuple(index[place] for place in order),
        )
        for index in common
    ]
    rois = tuple(_compared(region, scans, levels, curves) for region in regions)
    found = judged([region.rois for region in regions], scans, levels, settings)
    said = [f"q-ROI {roi.name}: {roi.largest_difference}" for roi in rois if roi.largest_difference]
    said += [_share_note(roi) for roi in rois if roi.s_difference is not None and _off_zero(roi.s_difference)]
    return Comparison(
        sample=scans[0].sample,
        scans=tuple(_scan(scan, levels.level[place]) for place, scan in enumerate(scans)),
        rois=rois,
        dose_ratio=levels.ratio,
        rate_ratio=found.rate_ratio,
        beam_share=found.beam_share,
        verdict=found.verdict,
        reason=found.reason,
        notes=(*said, *notes, *levels.notes),
    )


def _scan(scan: ScanFacts, level: int) -> ComparedScan:
    return ComparedScan(
        record=scan.record,
        run_uid=scan.run_uid,
        started=scan.started,
        temperature=scan.temperature,
        transmission=math.nan if scan.exposure is None else scan.exposure.transmission,
        dose_rate=scan.dose_rate,
        level=level,
    )


def _compared(
    region: _Region, scans: Sequence[ScanFacts], levels: Levels, curves: Sequence[Curves] | None
) -> ComparedRoi:
    rois = region.rois
    fits = [roi.whole for roi in rois]
    times = [_rates.log_time(fit, scan.frame_time) for fit, scan in zip(fits, scans, strict=True)]
    shares = tuple(_share(roi) for roi in rois)
    log_ratio = None if not levels.known else _rates.ratio(*_rates.at_ends(times, levels.level))
    tau, f2, error, words = _curves(region, levels, curves)
    return ComparedRoi(
        name=rois[0].name,
        q_par=rois[0].q_par,
        q_z=rois[0].q_z,
        contrast=tuple(roi.contrast for roi in rois),
        relaxation_time=tuple(_time(one) for one in times),
        exponent=tuple(
            _UNKNOWN
            if fit is None or fit.status != "ok"
            else _rates.with_error(fit.exponent, fit.errors["exponent"], fit)
            for fit in fits
        ),
        fit_status=tuple("no fit in the record" if fit is None else fit.status for fit in fits),
        s_corrected=shares,
        s_difference=_share_difference(rois, shares, levels),
        rate_ratio=None if log_ratio is None else _rates.exponential(log_ratio),
        tau=tau,
        f2=f2,
        f2_error=error,
        largest_difference=words,
    )


def _time(found: _rates.LogTime | None) -> Between:
    if found is None:
        return _UNKNOWN
    return _rates.exponential(Between(value=found.value, low=found.low, high=found.high))


def _share(roi: RoiFacts) -> Between:
    one = roi.corrected
    return _UNKNOWN if one is None or one.status != "ok" else Between(value=one.value, low=one.low, high=one.high)


def _share_difference(rois: Sequence[RoiFacts], shares: Sequence[Between], levels: Levels) -> Between | None:
    """Highest level less lowest; cell and window belong to the definition of the number."""
    low, high = levels.level.index(0), levels.level.index(max(levels.level))
    alike = math.isclose(rois[low].cell, rois[high].cell, rel_tol=1e-6) and math.isclose(
        rois[low].window, rois[high].window, rel_tol=1e-3
    )
    if not levels.known or not alike or not all(math.isfinite(shares[index].value) for index in (low, high)):
        return None
    return _rates.difference(shares[low], shares[high])


def _curves(
    region: _Region, levels: Levels, curves: Sequence[Curves] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Common lags, (S, B) normalised curves and errors, and where they differ most."""
    nothing = np.empty((len(region.rois), 0))
    contrasts = np.array([roi.contrast for roi in region.rois])
    contrast = float(contrasts.mean()) if np.isfinite(contrasts).all() else math.nan
    if curves is None or not contrast > 0:
        return np.empty(0), nothing, nothing, ""
    tau, g2, error, freedom = common_lags(curves, region.index)
    floors = np.array([[roi.static_baseline] for roi in region.rois])
    f2, error = (g2 - floors) / contrast, error / contrast
    if not levels.known:
        return tau, f2, error, ""
    low, high = levels.level.index(0), levels.level.index(max(levels.level))
    words = largest_difference(tau, f2[low], f2[high], error[low], error[high], int(freedom[low] + freedom[high]))
    return tau, f2, error, words


def _off_zero(found: Between) -> bool:
    return found.low > 0 or found.high < 0


def _share_note(roi: ComparedRoi) -> str:
    found = roi.s_difference
    assert found is not None
    return (
        f"q-ROI {roi.name}: corrected S_noneq is {found.value:+.3f} ({found.low:+.3f} to {found.high:+.3f}) at the "
        "higher dose rate"
    )
