"""Faults put into a recorded scan of a sample at rest: each must be named for what it is, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from gbx_beamline.commissioning._stillness import nothing_claimed, zero_share
from gbx_beamline.commissioning.findings import Finding, Interval, Part, by_roi, together
from gbx_beamline.commissioning.reading import names_of, seen_in
from gbx_beamline.config import CommissioningConfig
from gbx_beamline.records import ScanResult

KINDS = {"shift": "motion", "dump": "no beam", "flux_ramp": "intensity", "jump": "jump"}
"""What each fault is called in a record."""

_ALSO = {"shift": {"jump"}}
"""What a fault does beside: speckles that move by a pixel have decorrelated as well."""

_PIXEL = 0.1
"""Pixels to which a shift is to be known at least."""

_FLUX = 0.02
"""To which a change of the flux is to be known."""

_AMPLITUDE = 0.005
"""Of the contrast, to which a jump is to be known at least; its stated error leaves out what tiles have by chance."""


def judge_fault(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """The one part of a fault's trial."""
    (part,) = parts.values()
    assert isinstance(part.outcome, ScanResult)
    result = part.outcome
    findings = [_named(part, result), *_SIZES[part.trial](part, result, settings)]
    if part.trial in ("dump", "flux_ramp"):
        findings.append(zero_share("after all", result, settings))
    else:
        findings.append(_warned(part, result))
    return [*findings, nothing_claimed("the model", part, settings)]


def _named(part: Part, result: ScanResult) -> Finding:
    seen, kind = seen_in(result), KINDS[part.trial]
    others = set(seen) - {kind} - _ALSO.get(part.trial, set())
    missed = kind not in seen
    return Finding(
        what="what was named",
        expected=f"{kind}, nothing else",
        found="; ".join(seen.values()) or "nothing",
        verdict="fail" if missed or others else "pass",
        why="not noticed" if missed else f"also named: {', '.join(sorted(others))}" if others else "",
    )


def _warned(part: Part, result: ScanResult) -> Finding:
    """S_noneq of such a scan is the fault's: whoever reads it must be told."""
    told = seen_in(result).get(KINDS[part.trial], "")
    return Finding(
        what="warning beside S_noneq and the fits",
        expected="a flag in the record",
        found=next((flag for flag in result.flags if told and told in flag), "none"),
        verdict="pass" if told and any(told in flag for flag in result.flags) else "fail",
    )


def _shift(part: Part, result: ScanResult, settings: CommissioningConfig) -> list[Finding]:
    level, wanted = settings.expected.level, (float(part.told["rows"]), float(part.told["columns"]))
    entries, verdicts, began = [], [], []
    for name, check in zip(names_of(result), result.motion, strict=True):
        after = np.isfinite(check.shift_from_first).all(axis=1) & (check.times > part.told["start_s"])
        moved = check.shift_from_first[after]
        if not len(moved):
            entries.append((name, "not measured"))
            verdicts.append("undetermined")
            continue
        error = max(_PIXEL / 3.0, float(np.median(check.shift_error[after, 0])))
        found = np.median(moved, axis=0)
        ends = [Interval.around(float(one), error, level=level, comparisons=2 * len(result.motion)) for one in found]
        verdicts.append(together("pass" if end.holds(w) else "fail" for end, w in zip(ends, wanted, strict=True)))
        entries.append((name, f"rows {found[0]:+.2f}, columns {found[1]:+.2f} ± {error:.2f}"))
        far = np.hypot(*np.nan_to_num(check.shift_from_first).T) > 0.5 * float(np.hypot(*wanted))
        began.append(float(check.times[int(np.argmax(far))]))
    block = float(np.diff(result.motion[0].times).mean()) if result.motion else 0.0
    size = Finding(
        what="by how much",
        expected=f"rows {wanted[0]:+.0f}, columns {wanted[1]:+.0f} pixels",
        found=by_roi(entries),
        verdict=together(verdicts),
    )
    return [size, _when(began, float(part.told["start_s"]), block, "the block of frames after")]


def _when(found: list[float], wanted: float, within_s: float, what: str) -> Finding:
    right = bool(found) and all(abs(one - wanted) <= within_s for one in found)
    return Finding(
        what="when",
        expected=f"{wanted:.5g} s",
        found=f"{min(found):.5g} s ({what})" if found else "not known",
        verdict="pass" if right else "fail" if found else "undetermined",
        why="" if right else f"further off than {within_s:.3g} s",
    )


def _dump(part: Part, result: ScanResult, _settings: CommissioningConfig) -> list[Finding]:
    frame, began, seconds = result.two_time.frame_time, float(part.told["start_s"]), float(part.told["seconds"])
    kinds = [segment.kind for segment in result.exclusions.segments]
    parted = [kind for kind in kinds if kind in ("beam", "hold")]
    dark = [segment for segment in result.exclusions.segments if segment.kind == "no beam"]
    left_out = sorted(frame for frames in result.exclusions.frames.values() for frame in frames)
    touched = range(int(began // frame), int(np.ceil((began + seconds) / frame)))
    missed = [index for index in touched if index not in left_out]
    span = f"{dark[0].start_time:.5g} to {dark[0].stop_time:.5g} s" if dark else "none"
    near = bool(dark) and abs(dark[0].start_time - began) <= frame and abs(dark[0].stop_time - began - seconds) <= frame
    start, stop = result.analysed or (0, len(result.two_time.valid_frames))
    across = bool(dark) and start < dark[0].stop and stop > dark[0].start
    return [
        Finding(
            what="when",
            expected=f"{began:.5g} to {began + seconds:.5g} s, to a frame of {frame:.3g} s",
            found=span,
            verdict="pass" if near and len(dark) == 1 else "fail",
        ),
        Finding(
            what="frames with a share of the dump",
            expected=f"all {len(touched)} left out, no other",
            found=f"{len(left_out)} left out",
            verdict="pass" if not missed and len(left_out) == len(touched) else "fail",
            why=f"{len(missed)} of them were analysed" if missed else "",
        ),
        Finding(
            what="correlation across it",
            expected="not taken for dynamics: two segments, each by itself",
            found=f"{len(parted)} segments, the numbers are of frames {start} to {stop - 1}",
            verdict="fail" if across or len(parted) != 2 else "pass",
        ),
    ]


def _flux_ramp(part: Part, result: ScanResult, _settings: CommissioningConfig) -> list[Finding]:
    wanted, lost = float(part.told["lost"]), []
    for name, check in zip(names_of(result), result.motion, strict=True):
        place = (np.arange(len(check.intensity)) + 0.5) / len(check.intensity) - 0.5
        line = np.polyfit(place, check.intensity, 1)
        lost.append((name, float(-line[0] / (line[1] - 0.5 * line[0]))))
    right = all(abs(share - wanted) <= _FLUX for _, share in lost)
    return [
        Finding(
            what="by how much",
            expected=f"{wanted:.0%} less at the end",
            found=by_roi([(name, f"{share:.1%}") for name, share in lost]),
            verdict="pass" if lost and right else "fail",
        )
    ]


def _jump(part: Part, result: ScanResult, settings: CommissioningConfig) -> list[Finding]:
    losses, level = part.told["losses"], settings.expected.level
    entries, verdicts, times, resolution = [], [], [], 0.0
    for name, check, lost in zip(names_of(result), result.jumps, losses, strict=True):
        if not check.jumps:
            entries.append((name, "none seen"))
            # One that is too small for this region is not missed.
            verdicts.append("undetermined" if check.detectable > lost else "fail")
            continue
        largest = max(check.jumps, key=lambda one: one.amplitude)
        error = max(_AMPLITUDE / 3.0, largest.error)
        interval = Interval.around(largest.amplitude, error, level=level, comparisons=len(losses))
        verdicts.append("pass" if len(check.jumps) == 1 and interval.holds(float(lost)) else "fail")
        entries.append((name, f"{100 * largest.amplitude:.2g} % (put in: {100 * lost:.2g} %)"))
        times.append(largest.time)
        resolution = max(resolution, largest.time_error + result.two_time.frame_time)
    size = Finding(
        what="by how much",
        expected=f"{100 * float(np.mean(losses)):.2g} % of the contrast, once",
        found=by_roi(entries),
        verdict=together(verdicts),
    )
    return [size, _when(times, float(part.told["start_s"]), resolution, f"± {resolution:.3g} s")]


_SIZES: Mapping[str, Callable[[Part, ScanResult, CommissioningConfig], list[Finding]]] = {
    "shift": _shift,
    "dump": _dump,
    "flux_ramp": _flux_ramp,
    "jump": _jump,
}
