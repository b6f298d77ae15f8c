"""Drift: whether the scans of these days are still those that the reigning model knows.

Inputs and S are compared as distributions (two-sample Kolmogorov-Smirnov), shares by the binomial distribution, and an
alarm is what chance gives in one of a thousand reports, over all comparisons together. Calibration is looked up, not
guessed: it was measured on virtual experiments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gbx_beamline.config import DriftConfig

LEVEL = 0.9
"""Of the intervals whose coverage is watched."""

_DIGITS = 3
"""Numbers are compared to so many digits: 2,500 s and 2,500.0001 s are one window."""

Scan = Mapping[str, Any]
"""Facts of a record, as ``catalog.list_entries`` gives them."""

Answer = Mapping[str, Any]
"""Facts of an inference."""


@dataclass(frozen=True, kw_only=True)
class DriftCheck:
    """One thing that is watched."""

    name: str
    """For programs."""
    what: str
    """For people, with the unit."""
    recent: float
    """Median, or share; NaN = not known."""
    reference: float
    """The same of what it is compared with; NaN = not known."""
    p_value: float
    """Of the difference by chance; NaN where nothing was compared."""
    alarm: bool
    said: str
    """In words, where there is more to say than the numbers."""


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """The monitor at one moment."""

    model: str
    """Id of the reigning model."""
    made: float
    """Unix time, s."""
    recent: int
    """Scans that were looked at."""
    reference: int
    """Scans that they were compared with."""
    against: str
    """What those are, in words."""
    checks: tuple[DriftCheck, ...]

    @property
    def alarms(self) -> tuple[DriftCheck, ...]:
        """What has drifted."""
        return tuple(check for check in self.checks if check.alarm)


def _mean(scan: Scan, name: str) -> float:
    values = [roi[name] for roi in scan["rois"] or () if roi.get(name) is not None]
    return float(np.mean(values)) if values else math.nan


def _window(scan: Scan) -> float:
    frames, frame_time = scan["frames"], scan["frame_time"]
    return math.nan if frames is None or frame_time is None else float(frames * frame_time)


def _noise(scan: Scan) -> float:
    """Of one pair of frames: shot noise of g2 is one over counts times the root of the pixels."""
    values = [
        1.0 / (roi["mean_counts"] * math.sqrt(roi["pixels"]))
        for roi in scan["rois"] or ()
        if roi.get("mean_counts") and roi.get("pixels")
    ]
    return float(np.mean(values)) if values else math.nan


STATISTICS: tuple[tuple[str, str, Callable[[Scan], float]], ...] = (
    ("noise", "shot noise of g2, a pair of frames", _noise),
    ("counts", "counts a pixel and frame", lambda scan: _mean(scan, "mean_counts")),
    ("pixels", "pixels a q-ROI", lambda scan: _mean(scan, "pixels")),
    ("contrast", "contrast", lambda scan: _mean(scan, "contrast")),
    ("window", "window, s", _window),
    ("s_noneq", "S_noneq, corrected", lambda scan: _mean(scan, "value")),
)
"""What is compared, scan by scan."""

_REPORTED = len(STATISTICS) + 2
"""Comparisons in which chance may raise an alarm."""


def compare_scans(recent: Sequence[Scan], reference: Sequence[Scan], settings: DriftConfig) -> list[DriftCheck]:
    """Inputs and S of recent scans against those of others."""
    return [
        _distributions(
            name,
            what,
            np.array([of(scan) for scan in recent]),
            np.array([of(scan) for scan in reference]),
            settings,
        )
        for name, what, of in STATISTICS
    ]


def _distributions(
    name: str, what: str, recent: np.ndarray[Any, Any], reference: np.ndarray[Any, Any], settings: DriftConfig
) -> DriftCheck:
    from scipy.stats import ks_2samp

    ours, theirs = (_rounded(values[np.isfinite(values)]) for values in (recent, reference))
    p_value, said = math.nan, ""
    if min(len(ours), len(theirs)) < settings.fewest:
        said = f"not compared: {len(ours)} and {len(theirs)} scans have it, {settings.fewest} are needed"
    else:
        p_value = float(ks_2samp(ours, theirs).pvalue)
    return DriftCheck(
        name=name,
        what=what,
        recent=float(np.median(ours)) if len(ours) else math.nan,
        reference=float(np.median(theirs)) if len(theirs) else math.nan,
        p_value=p_value,
        alarm=p_value < settings.surprise / _REPORTED,
        said=said,
    )


def _rounded(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values.tolist()])


def shares(answers: Sequence[Answer], settings: DriftConfig) -> list[DriftCheck]:
    """How many recent scans are unlike what the model was trained on, and unlike what was accepted."""
    codes = [{str(flag["code"]).split(":")[0] for flag in answer.get("flags") or ()} for answer in answers]
    refused = [answer["status"] != "complete" for answer in answers]
    outside = [no or "unlike_simulations" in said for no, said in zip(refused, codes, strict=True)]
    unlike = ["unlike_experiments" in said for said, no in zip(codes, refused, strict=True) if not no]
    return [
        _share("ood", "scans outside of the contract or unlike the simulations", outside, settings, sum(refused)),
        _share("unlike_experiments", "scans unlike the accepted experiments", unlike, settings),
    ]


def _share(name: str, what: str, hits: Sequence[bool], settings: DriftConfig, refused: int = 0) -> DriftCheck:
    from scipy.stats import binomtest

    count, p_value = sum(hits), math.nan
    if len(hits) >= settings.fewest:
        p_value = float(binomtest(count, len(hits), settings.largest_ood, alternative="greater").pvalue)
        said = f"{refused} refused by the contract" if refused else ""
    else:
        said = f"not compared: {len(hits)} answers, {settings.fewest} are needed"
    return DriftCheck(
        name=name,
        what=what,
        recent=count / len(hits) if hits else math.nan,
        reference=settings.largest_ood,
        p_value=p_value,
        alarm=p_value < settings.surprise / _REPORTED,
        said=said,
    )


_COVERAGE = {"diffusivity": "D", "gamma": "gamma", "gb_fraction": "lambda"}


def calibration(measures: Mapping[str, float | None] | None, settings: DriftConfig) -> list[DriftCheck]:
    """Whether the model's 90 % intervals hold on virtual experiments; from its evaluation, None where there is none."""
    checks = []
    for name, symbol in _COVERAGE.items():
        found = None if measures is None else measures.get(f"all.coverage.{name}")
        coverage = math.nan if found is None else float(found)
        checks.append(
            DriftCheck(
                name=f"coverage_{name}",
                what=f"truths in the 90 % intervals of {symbol}, virtual experiments",
                recent=coverage,
                reference=LEVEL,
                p_value=math.nan,
                alarm=coverage < LEVEL - settings.shortfall,
                said="" if found is not None else "not known: run `gbx evaluate default`",
            )
        )
    return checks
