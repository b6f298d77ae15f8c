"""Beam, sample or detector: who moved, from shifts of the speckles, the reflected beam and the beam's own traces.

A detector that moves, or a beam whose direction changes as a whole, takes speckles and reflected beam along by the same
vector. A sample that turns moves the reflected beam further than the speckles, or the speckles alone. A knock changes
the speckles without moving them. Which of beam and detector it was only a trace of the beam position can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import CareConfig
from gbx_beamline.records import BeamCheck, JumpCheck, MotionCheck, Movement, Mover

Values = NDArray[np.float64]

TOGETHER = (0.8, 1.25)
"""Ratio of speckle shift to that of the reflected beam that still is one movement."""

FOLLOWS = 0.5
"""Correlation of steps beyond which a trace moves with the pattern."""

CLEAR = 5.0
"""Standard errors of the largest step of the pattern: without a clear step a trace cannot be said not to follow."""

JUMPS = 6.0
"""Robust standard deviations of a trace's steps that a step at the time of a decorrelation jump exceeds."""

_Z95 = 1.96

_FEWEST = 6
"""Blocks for a correlation."""


@dataclass(frozen=True)
class _Path:
    """How far something lies from where it was first, over the blocks."""

    shift: Values
    """(B, 2) pixels; NaN where unknown."""
    error: Values
    """(B,) standard error of a row or a column."""

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.shift[1:]).all(axis=1).sum() >= 1)

    def moved(self, settings: CareConfig) -> bool:
        size = np.hypot(*self.shift.T)
        sure = np.isfinite(size) & (size > np.maximum(settings.smallest_shift, settings.motion_sigmas * self.error))
        # One block alone may be chance; what moved stays moved or moves again.
        return bool(sure.sum() >= min(2, max(1, len(size) - 1)))

    def words(self) -> str:
        size = np.hypot(*self.shift.T)
        at = int(np.nanargmax(size))
        half = _Z95 * float(self.error[at])
        row, column = self.shift[at]
        return (
            f"{size[at]:.2f} pixels ({max(0.0, size[at] - half):.2f} to {size[at] + half:.2f}; rows {row:+.2f}, "
            f"columns {column:+.2f})"
        )

    def largest(self) -> str:
        size = np.hypot(*self.shift.T) + _Z95 * self.error
        return f"within {float(np.nanmax(size)):.2g} pixels"


def who_moved(
    motion: Sequence[MotionCheck],
    jumps: Sequence[JumpCheck],
    beam: BeamCheck | None,
    traces: Mapping[str, Values],
    *,
    settings: CareConfig,
) -> Movement:
    """One verdict over all that tells of motion.

    Args:
        motion: (Q,) of the q-ROIs; all over the same blocks of frames.
        jumps: (Q,) abrupt decorrelations.
        beam: where the reflected beam lies; None where none is configured.
        traces: (B,) beam position by name ("beam_x", "beam_y"), means over the same blocks; NaN where not known.
        settings: ``smallest_shift``, ``motion_sigmas``.
    """
    speckles = _speckle_path(motion)
    spot = None if beam is None or beam.status != "ok" else _from_first(beam)
    seen = _Seen(
        speckles=speckles,
        spot=spot,
        speckles_moved=speckles is not None and speckles.moved(settings),
        spot_moved=spot is not None and spot.moved(settings),
        jumps=jumps,
        traces={name: values for name, values in traces.items() if np.isfinite(values).all() and len(values) >= 2},
        times=motion[0].times if motion else np.empty(0),
    )
    evidence = [_speckle_words(seen, motion), _spot_words(seen, beam)]
    what, words, more = _judged(seen)
    return Movement(what=what, words=words, evidence=tuple(text for text in (*evidence, *more) if text), beam=beam)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    speckles: _Path | None
    spot: _Path | None
    speckles_moved: bool
    spot_moved: bool
    jumps: Sequence[JumpCheck]
    traces: Mapping[str, Values]
    times: Values


def _judged(seen: _Seen) -> tuple[Mover, str, list[str]]:
    """What moved, in words, and further evidence."""
    if seen.speckles_moved or seen.spot_moved:
        return _shifted(seen)
    jump = max((jump for check in seen.jumps for jump in check.jumps), key=lambda one: one.amplitude, default=None)
    if jump is None:
        if seen.speckles is None and seen.spot is None:
            return "not known", "motion cannot be told: neither speckles nor a reflected beam can be followed", []
        return "none seen", "nothing moved as far as can be seen", []
    said = [jump.words]
    lost = f"{100 * jump.amplitude:.2g} ± {100 * _Z95 * jump.error:.1g} % of the contrast lost at {jump.time:.4g} s"
    stepping = [name for name, values in seen.traces.items() if _steps_at(values, seen.times, jump.time)]
    if stepping:
        said.append(f"{' and '.join(stepping)} step at that time")
        return "beam", f"the beam moved on the sample: {lost} as {' and '.join(stepping)} stepped", said
    if seen.speckles is None:
        words = f"{lost}, and no speckle shift can be measured: a knock, or motion of beam or detector"
        return "beam, sample or detector", words, said
    return "sample", f"{lost} without a shift: a knock, or the sample itself", said


def _shifted(seen: _Seen) -> tuple[Mover, str, list[str]]:
    main = seen.speckles if seen.speckles_moved and seen.speckles is not None else seen.spot
    assert main is not None
    follows, said = _traces(seen, main)
    beam_told = follows == "yes"
    if seen.speckles_moved and seen.speckles is not None and seen.spot is not None:
        if not seen.spot_moved:
            what: Mover = "sample or beam" if beam_told else "sample"
            return what, f"the speckles shift by {main.words()} while the reflected beam stays: {_who(what)}", said
        value, half = _ratio(seen.speckles, seen.spot)
        said = [
            f"speckle shift over that of the reflected beam {value:.2f} ({value - half:.2f} to {value + half:.2f})",
            *said,
        ]
        if value + half >= TOGETHER[0] and value - half <= TOGETHER[1]:
            what = "beam" if beam_told else "detector" if follows == "no" else "beam or detector"
            return what, f"speckles and reflected beam shift together by {main.words()}: {_who(what)}", said
        what = "beam" if beam_told else "sample or beam"
        return what, f"speckles and reflected beam shift differently: {_who(what)}", said
    if seen.speckles_moved:
        what = "beam" if beam_told else "beam, sample or detector"
        why = "" if beam_told else " (no reflected beam tells which)"
        return what, f"the speckles shift by {main.words()}: {_who(what)}{why}", said
    if seen.speckles is not None:
        what = "beam" if beam_told else "sample or beam"
        return what, f"the reflected beam shifts by {main.words()} while the speckles stay: {_who(what)}", said
    what = "beam" if beam_told else "beam, sample or detector"
    return what, f"the reflected beam shifts by {main.words()}; no speckle shift can be measured: {_who(what)}", said


_WHO: Mapping[Mover, str] = {
    "beam": "the beam moved, as its position says",
    "detector": "the detector moved (or the beam behind its monitor)",
    "beam or detector": "the detector or the beam moved",
    "sample": "the sample turned or moved",
    "sample or beam": "the sample turned, or the beam was steered",
    "beam, sample or detector": "beam, sample or detector moved",
}


def _who(what: Mover) -> str:
    return _WHO[what]


def _speckle_path(motion: Sequence[MotionCheck]) -> _Path | None:
    """Mean over the q-ROIs, weighted by what each is worth; from step to step where the first block is forgotten."""
    total, weight = np.empty(0), np.empty(0)
    for check in motion:
        error = check.shift_error[:, 0]
        shift = check.shift_from_first
        if not np.isfinite(shift[1:]).all():
            steps = np.where(np.arange(len(shift))[:, None] == 0, 0.0, check.shift_from_previous)
            variance = np.where(np.arange(len(shift)) == 0, 0.0, check.shift_error[:, 1] ** 2)
            summed, summed_error = np.cumsum(steps, axis=0), np.sqrt(np.cumsum(variance))
            from_steps = ~np.isfinite(shift[:, 0])
            shift = np.where(from_steps[:, None], summed, shift)
            error = np.where(from_steps, summed_error, error)
        known = np.isfinite(shift).all(axis=1) & np.isfinite(error)
        worth = np.where(known, np.maximum(error, 1e-4) ** -2.0, 0.0)
        if not total.size:
            total, weight = np.zeros((len(shift), 2)), np.zeros(len(shift))
        total += worth[:, None] * np.where(known[:, None], shift, 0.0)
        weight += worth
    if not weight.size:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        path = _Path(total / weight[:, None], weight**-0.5)
    return path if path.known else None


def _from_first(beam: BeamCheck) -> _Path:
    error = np.hypot(beam.centroid_error, beam.centroid_error[0])
    error[0] = 0.0
    return _Path(beam.centroid - beam.centroid[0], error)


def _ratio(speckles: _Path, spot: _Path) -> tuple[float, float]:
    """Speckle shift over that of the spot by weighted least squares through the origin, noise of the spot taken off its
    square, and half its 95 % interval."""
    known = np.isfinite(speckles.shift).all(axis=1) & np.isfinite(speckles.error)
    known[0] = False
    noise = np.hypot(speckles.error, spot.error)[known]
    weight = np.maximum(noise, 1e-4)[:, None] ** -2.0
    first, second = spot.shift[known], speckles.shift[known]
    square = float(np.sum(weight * np.maximum(first**2 - spot.error[known, None] ** 2, 0.0)))
    if square <= 0:
        return np.nan, np.inf
    value = float(np.sum(weight * first * second)) / square
    return value, _Z95 * square**-0.5


def _traces(seen: _Seen, main: _Path) -> tuple[str, list[str]]:
    """Whether a trace of the beam follows the pattern: "yes", "no" or "unknown"; and why."""
    if not seen.traces:
        return "unknown", ["no trace of the beam position"]
    far = main.shift[int(np.nanargmax(np.hypot(*main.shift.T)))]
    along = main.shift @ far / max(float(np.hypot(*far)), 1e-12)
    steps = np.diff(along)
    error = np.hypot(main.error[1:], main.error[:-1])
    known = np.isfinite(steps)
    if known.sum() < _FEWEST - 1:
        return "unknown", [f"{int(known.sum())} steps are too few to compare with the beam's traces"]
    said, answers = [], []
    clear = bool((np.abs(steps[known]) > CLEAR * error[known]).any())
    for name, values in seen.traces.items():
        low, value, high = _correlation(steps[known], np.diff(values)[known])
        if low > FOLLOWS:
            answers.append("yes")
            said.append(f"{name} steps with it (correlation {value:.2f}, {low:.2f} to {high:.2f})")
        elif high < FOLLOWS and clear:
            answers.append("no")
            said.append(f"{name} does not follow (correlation of steps {value:.2f}, {low:.2f} to {high:.2f})")
        else:
            answers.append("unknown")
            said.append(f"whether {name} follows cannot be told (correlation of steps {value:.2f})")
    if "yes" in answers:
        return "yes", said
    return ("no" if all(answer == "no" for answer in answers) else "unknown"), said


def _correlation(one: Values, other: Values) -> tuple[float, float, float]:
    """Size of the correlation with its 95 % interval (Fisher's z): a beam that moves up may move the spot down."""
    if not (one.std() > 0 and other.std() > 0) or len(one) < 5:
        return 0.0, 0.0, 0.0
    value = float(np.clip(abs(np.corrcoef(one, other)[0, 1]), 0.0, 1.0 - 1e-12))
    centre, half = np.arctanh(value), _Z95 / np.sqrt(len(one) - 3)
    return float(np.tanh(centre - half)), value, float(np.tanh(centre + half))


def _steps_at(values: Values, times: Values, moment: float) -> bool:
    """Whether a trace steps between the blocks around a moment by far more than elsewhere."""
    if len(values) != len(times) or len(values) < _FEWEST:
        return False
    steps = np.abs(np.diff(values))
    typical = 1.4826 * float(np.median(steps))
    after = int(np.clip(np.searchsorted(times, moment), 1, len(values) - 1))
    # The block that the moment falls into is a mixture of before and after.
    around = steps[max(0, after - 2) : after + 1]
    return bool(around.max() > max(JUMPS * typical, 0.0)) and typical > 0


def _speckle_words(seen: _Seen, motion: Sequence[MotionCheck]) -> str:
    if seen.speckles is None:
        why = next((check.status for check in motion if check.status.startswith("not measurable")), "not measured")
        return f"speckle shift {why}"
    return (
        f"speckles shift by {seen.speckles.words()}"
        if seen.speckles_moved
        else f"speckles stay {seen.speckles.largest()}"
    )


def _spot_words(seen: _Seen, beam: BeamCheck | None) -> str:
    if beam is None:
        return "no reflected beam is configured (analysis.care.reflected_beam)"
    if seen.spot is None:
        return f"reflected beam not measured: {beam.status}"
    return (
        f"reflected beam shifts by {seen.spot.words()}"
        if seen.spot_moved
        else f"reflected beam stays {seen.spot.largest()}"
    )
