"""Analysed scans as numbers, made up: closed forms for comparisons need no frames."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from gbx_beamline.records import CorrectedS, Exposure, Geometry, KineticsFit, RoiFacts, ScanFacts, Share

SPAN = 1000.0
"""s."""


def fit(
    tau: float = 50.0,
    relative: float = 0.03,
    *,
    window: tuple[float, float] = (0.0, SPAN),
    groups: int = 8,
    status: str = "ok",
) -> KineticsFit:
    """A fit with this relaxation time in s and relative error."""
    good = status == "ok"
    return KineticsFit(
        roi=0,
        name="q1",
        window=window,
        whole=window == (0.0, SPAN),
        contrast=0.2 if good else math.nan,
        relaxation_time=tau if good else math.nan,
        exponent=1.0 if good else math.nan,
        baseline=1.0,
        errors={
            "contrast": 0.01,
            "relaxation_time": tau * relative if good else None,
            "exponent": 0.02 if good else None,
            "baseline": 0.001,
        },
        error_source="groups" if groups else "lower bound",
        groups=groups,
        lags=40,
        status=status,
    )


def share(value: float = 0.0, half: float = 0.01, *, drift: float = 0.005, drift_high: float = 0.01) -> CorrectedS:
    """A corrected S_noneq with its interval, and the drift in units of the contrast."""
    part = Share(value=value, low=value - half, high=value + half)
    return CorrectedS(
        value=value,
        low=value - half,
        high=value + half,
        status="ok",
        ageing=part,
        intermittent=part,
        drift_rms_over_contrast=drift,
        drift_rms_over_contrast_high=drift_high,
        drift_status="ok",
        by_age=(),
        cell=4.0,
        window=SPAN,
        frames_per_cell=4,
        min_pairs=1,
        groups=8,
        speckle_size=2.0,
        pixels=2000,
        mean_counts=1.0,
    )


def roi(*fits: KineticsFit, corrected: CorrectedS | None = None, q: float = 2e8, name: str = "q1") -> RoiFacts:
    return RoiFacts(
        name=name,
        q_par=q,
        q_z=2.75e8,
        contrast=0.2,
        static_baseline=1.0,
        cell=4.0,
        window=SPAN,
        corrected=corrected or share(),
        corrected_status="ok",
        fits=fits or (fit(),),
    )


GEOMETRY = Geometry(shape=(256, 256), mode="gisaxs", distance=10.0, wavelength=1.28e-10, incidence=0.004)


def scan(uid: str, transmission: float | None, *rois: RoiFacts, **changes: Any) -> ScanFacts:
    """A scan; ``transmission`` None = not known."""
    known = math.nan if transmission is None else transmission
    exposure = Exposure(
        seconds=SPAN,
        transmission=known,
        full_beam=known * SPAN,
        flux=1e11,
        photons=1e11 * known * SPAN,
        monitor="ring_current (ring:current)",
        positions={"x": 0.0},
        travel={"x": 0.0},
        unknown=() if transmission is not None else ("transmission: not in the start document",),
    )
    facts = ScanFacts(
        record=f"{uid}-abc-3",
        run_uid=uid,
        sample="gold",
        temperature=400.0,
        started=1000.0,
        reference=None,
        settings_hash="abc",
        frames=1000,
        frame_time=1.0,
        span=SPAN,
        geometry=GEOMETRY,
        exposure=exposure,
        moved="",
        rois=rois or (roi(),),
    )
    return replace(facts, **changes)
