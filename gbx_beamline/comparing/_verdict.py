"""The verdict: what the ratio of rates says, and what forbids to say it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from gbx_beamline.comparing import _rates
from gbx_beamline.comparing._beam import Levels
from gbx_beamline.config import CompareConfig
from gbx_beamline.records import Between, RoiFacts, ScanFacts, Verdict

Regions = Sequence[Sequence[RoiFacts]]
"""(R, S) each common q-ROI in every scan."""


ACCUSED = 1.7
"""Times the half width of a 95 % interval by which a rate must rise: 99.9 % for normal errors."""


class Judged(NamedTuple):
    """What is said of a pair."""

    verdict: Verdict
    reason: str
    rate_ratio: Between | None = None
    beam_share: Between | None = None


def judged(regions: Regions, scans: Sequence[ScanFacts], levels: Levels, settings: CompareConfig) -> Judged:
    """Say whether the dynamics follow the beam.

    Args:
        regions: common q-ROIs.
        scans: (S,) in the order of ``levels``.
        levels: dose rates.
        settings: ``beam_share``.
    """
    if not levels.known:
        return Judged("undetermined", levels.unknown)
    ratios = [_ratio(rois, scans, levels) for rois in regions]
    found = _rates.together(ratios)
    if found is None:
        return Judged("undetermined", _no_ratio(regions))
    drift = max(_rates.ageing([rois[place] for rois in regions]) for place in range(len(scans)))
    drift = max(drift, _between_repeats(regions, scans, levels))
    wide = _rates.widened(found, drift)
    share = _rates.share_of_beam(wide, levels.ratio)
    rate_ratio = _rates.exponential(wide)
    sure = _rates.share_of_beam(_rates.widened(wide, _beyond(wide)), levels.ratio).low > 0
    verdict, reason = _said(share, rate_ratio, levels.ratio, settings, sure=sure)
    if drift:
        reason += f"; the interval holds the change by a factor {math.exp(drift):.2g} with age that the scans show"
    if moved := [f"{scan.name}: {scan.moved}" for scan in scans if scan.moved]:
        return Judged("undetermined", f"what relaxes may be motion ({'; '.join(moved)})", rate_ratio, share)
    return Judged(verdict, reason, rate_ratio, share)


def _ratio(rois: Sequence[RoiFacts], scans: Sequence[ScanFacts], levels: Levels) -> Between | None:
    times = [_rates.log_time(roi.whole, scan.frame_time) for roi, scan in zip(rois, scans, strict=True)]
    return _rates.ratio(*_rates.at_ends(times, levels.level))


def _between_repeats(regions: Regions, scans: Sequence[ScanFacts], levels: Levels) -> float:
    """By how much scans of one level differ in all q-ROIs together beyond their errors: what the beam did not do."""
    largest = 0.0
    for level in set(levels.level):
        places = [place for place, one in enumerate(levels.level) if one == level]
        for first, second in itertools.pairwise(places):
            pairs = [
                _rates.ratio(
                    *(_rates.log_time(rois[place].whole, scans[place].frame_time) for place in (first, second))
                )
                for rois in regions
            ]
            gap = _rates.together(pairs)
            if gap is not None and math.isfinite(gap.value) and (gap.low > 0 or gap.high < 0):
                largest = max(largest, abs(gap.value))
    return largest


def _no_ratio(regions: Regions) -> str:
    said: dict[str, None] = {}
    for rois in regions:
        for roi in rois:
            fit = roi.whole
            text = "no fit in the record" if fit is None else fit.status
            if text != "ok":
                said[text.partition(":")[0]] = None
    return f"no relaxation time at either end of the dose rates ({', '.join(said)})"


def _beyond(found: Between) -> float:
    """By how much to widen a 95 % interval before the beam is accused: errors have tails of their own, and of every
    forty quiet pairs one lies above its interval."""
    return (ACCUSED - 1.0) * (found.value - found.low) if math.isfinite(found.value) else 0.0


def _said(share: Between, rates: Between, doses: float, settings: CompareConfig, *, sure: bool) -> tuple[Verdict, str]:
    measured = f"rate ratio {_words(rates, '.3g')} at a dose-rate ratio of {doses:.3g}"
    part = f"the beam's share of the rate is {_words(share, '.2f')}"
    small = settings.beam_share
    if share.high < 0 and share.low < -small:
        return "undetermined", (
            f"{measured}: the sample is slower under more beam, which no beam-driven motion does; age or dose history "
            "differ (measure low, high, low)"
        )
    if share.high < small:
        return "sample", f"{measured}: {part}, below {small:g}"
    if share.low > 0 and not sure:
        return "undetermined", (
            f"{measured}: {part}, which may still be chance: measure another pair, longer or further apart"
        )
    if share.low > 1:
        return "beam drives it", f"{measured}: faster than in proportion to the beam (heating, or damage that adds up)"
    if share.low > 0:
        return "beam drives it", f"{measured}: {part}"
    return "undetermined", (
        f"{measured}: {part}; neither 0 nor {small:g} can be excluded: measure longer, with more counts or with "
        "attenuations further apart"
    )


def _words(found: Between, form: str) -> str:
    if not math.isfinite(found.value):
        if math.isfinite(found.low) and math.isfinite(found.high):
            return f"between {found.low:{form}} and {found.high:{form}}"
        return f"above {found.low:{form}}" if math.isfinite(found.low) else f"below {found.high:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"
