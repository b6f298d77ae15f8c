"""Measure until enough is known: repeats of a scan whose number the physics decides."""

# No ``from __future__ import annotations`` here: the queue server reads the plans' annotations as objects.
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import bluesky.plan_stubs as bps
from bluesky.protocols import Flyable, Movable, Readable

from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.repeats import FEWEST, Aim, Judgement
from gbx_bluesky.analysed import Answer, Question
from gbx_bluesky.plans import Plan, check_series, count_series, is_number

logger = logging.getLogger(__name__)

LATE_SECONDS = 5.0
"""Longest wait after a scan while results are late: then each scan only looks whether they have come."""

GIGA = 1e9
"""Doses in documents: TiledWriter cuts whole numbers beyond 2^53 down to it without a word."""


def measure_until(
    detector: Readable,
    results: Movable,
    *,
    figure: str,
    width: float,
    frames: int,
    frame_time: float,
    sample: str,
    max_scans: int,
    roi: str = "",
    rule: str = "",
    least_scans: int = FEWEST,
    max_seconds: float | None = None,
    max_dose: float | None = None,
    flux: float | None = None,
    dose_before: float = 0.0,
    result_timeout: float = 300.0,
    triggers: int = 1,
    transmission: float = 1.0,
    temperature: Readable | None = None,
    traces: Flyable | None = None,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Repeat a scan on one spot until a figure is known well enough, or a limit is met.

    After each scan the results of all are combined as independent measurements of one sample, and the plan stops when
    the interval is as narrow as ``width``. A narrow interval around an S_noneq of 0 alone stops nothing: speckles must
    have been seen to relax, because a sample that does not move, or is not there, shows 0 as well. Scans that differ
    by more than their noise keep the interval wide.

    Results come from the catalog, where `gbx serve` or anything else publishes them. Acquisition never depends on them:
    a result that does not come within ``result_timeout`` is said in the log and in the next start document, and the
    plan goes on to its limits; until results come again, each further scan waits for them 5 s at most.

    Each run says in its start document, under ``measure_until``, what is aimed at, the limits, what is known so far and
    the dose so far. ``plan_name`` is "measure_until"; the rest is as in ``count_series``.

    Args:
        detector: As in ``count_series``.
        results: Where results are asked for, an ``AnalysedScans``.
        figure: "relaxation_time" or "s_noneq" (corrected), of each q-ROI; "diffusivity", "gamma" or "gb_fraction", the
            posterior of the configured model given all scans.
        width: That is good enough: for relaxation_time the 95 % interval over the value, for s_noneq the 95 % interval,
            for diffusivity and gamma the 90 % interval in decades, for gb_fraction the 90 % interval.
        frames, frame_time, sample, triggers, transmission, temperature, traces, md: As in ``count_series``.
        max_scans: Scans at most.
        roi: Name of the q-ROI that counts; empty = all, and each must be known well enough.
        rule: Only results of this selection rule; empty = the newest of each run.
        least_scans: Scans that must have measured the figure before the plan stops for it.
        max_seconds: s of wall time. No scan begins that would end later, if it lasts as long as the longest so far.
        max_dose: Photons on the spot at most, ``dose_before`` included. No scan begins that would exceed it.
        flux: Photons per second on the sample at transmission 1. Needed for ``max_dose``.
        dose_before: Photons that the spot has had already.
        result_timeout: s to wait for the result of a scan.

    Returns:
        uids of the runs. Why it stopped is in the log.

    Raises:
        InputError: an impossible argument, a dose limit without flux or below the dose of one scan; before any beam.
        UnitError: a transmission that is no fraction.
    """
    check_series(frames, frame_time, sample, triggers, transmission)
    aim = Aim(figure=cast(Any, figure), width=width, roi=roi, rule=rule, least_scans=least_scans)
    exposure = transmission * frames * triggers * frame_time
    limits = Limits(
        scans=max_scans,
        seconds=max_seconds,
        dose=max_dose,
        dose_before=dose_before,
        dose_per_scan=None if flux is None else _checked_flux(flux) * exposure,
    )
    if not (is_number(result_timeout) and result_timeout > 0):
        raise InputError(f"result_timeout is {result_timeout!r}", needed="seconds > 0", action="correct it")
    told: dict[str, Any] = {"figure": figure, "width": width, "roi": roi, "limits": limits.said()}
    if flux is not None:
        told["gigaphotons_per_s"] = flux / GIGA

    scan = partial(
        count_series,
        detector,
        frames=frames,
        frame_time=frame_time,
        sample=sample,
        triggers=triggers,
        transmission=transmission,
        temperature=temperature,
        traces=traces,
    )
    return (yield from _repeated(scan, results, aim, limits, float(result_timeout), told, md or {}))


def _repeated(
    scan: Callable[..., Plan],
    results: Movable,
    aim: Aim,
    limits: "Limits",
    patience: float,
    told: Mapping[str, Any],
    md: Mapping[str, Any],
) -> Plan:
    """Scans until enough is known or a limit is met; their uids."""
    progress = _Progress()
    while (stop := limits.met(len(progress.uids), progress)) is None:
        done = len(progress.uids)
        now = {**told, "scan": done + 1, **limits.used(done), **progress.known()}
        uid = yield from scan(md={"plan_name": "measure_until", "measure_until": now, **md})
        progress.took(uid)
        question = Question(
            uids=tuple(progress.uids),
            aim=aim,
            overdue=frozenset(progress.overdue),
            timeout=min(LATE_SECONDS, patience) if progress.stalled else patience,
        )
        yield from bps.abs_set(results, question, wait=True)
        progress.learned(getattr(results, "answer", None))
        if progress.reached:
            stop = "the aim is reached"
            break
    logger.info("measure_until stops after %d scans: %s", len(progress.uids), stop)
    return tuple(progress.uids)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What ends a series of scans whether or not enough is known.

    Raises:
        InputError: an impossible limit; a dose limit that cannot be kept, or that no scan can keep.
    """

    scans: int
    seconds: float | None = None
    dose: float | None = None
    """Photons."""
    dose_before: float = 0.0
    """Photons."""
    dose_per_scan: float | None = None
    """Photons; None where the flux is not known."""

    def __post_init__(self) -> None:
        if isinstance(self.scans, bool) or not isinstance(self.scans, int) or self.scans < 1:
            raise InputError(f"max_scans is {self.scans!r}", needed="an integer >= 1", action="correct max_scans")
        for name, value in (("max_seconds", self.seconds), ("max_dose", self.dose)):
            if value is not None and not (is_number(value) and value > 0):
                raise InputError(
                    f"{name} is {value!r}", needed="a number > 0, or None for no such limit", action=f"correct {name}"
                )
        if not (is_number(self.dose_before) and self.dose_before >= 0):
            raise InputError(
                f"dose_before is {self.dose_before!r}", needed="photons >= 0", action="correct dose_before"
            )
        if self.dose is None:
            return
        if self.dose_per_scan is None:
            raise InputError(
                f"a dose limit of {self.dose:.3g} photons, and no flux",
                needed="flux: photons per second on the sample at transmission 1",
                action="give flux=..., or leave max_dose out and limit by max_scans and max_seconds",
            )
        if self.dose_before + self.dose_per_scan > self.dose:
            raise InputError(
                f"one scan brings {self.dose_per_scan:.3g} photons onto a spot that has had {self.dose_before:.3g}",
                needed=f"at most max_dose = {self.dose:.3g} in all",
                action="take fewer frames, lower the transmission or go to a fresh spot",
            )

    def met(self, done: int, progress: "_Progress") -> str | None:
        """Which limit the next scan would break; None where it may begin."""
        if done >= self.scans:
            return f"the limit of {self.scans} scans is met"
        if self.seconds is not None and done and progress.elapsed + progress.longest > self.seconds:
            return f"another scan of {progress.longest:.1f} s would end after the limit of {self.seconds:g} s"
        if self.dose is not None and (dose := self._dose(done + 1)) is not None and dose > self.dose:
            return f"another scan would bring the dose to {dose:.3g} photons, beyond the limit of {self.dose:.3g}"
        return None

    def said(self) -> dict[str, Any]:
        """Those that there are, for a start document."""
        known = {
            "scans": self.scans,
            "seconds": self.seconds,
            "gigaphotons": None if self.dose is None else self.dose / GIGA,
        }
        return {name: value for name, value in known.items() if value is not None}

    def used(self, done: int) -> dict[str, Any]:
        """Photons on the spot before the next scan, for its start document."""
        dose = self._dose(done)
        return (
            {}
            if dose is None
            else {
                "gigaphotons_before": dose / GIGA,
                "gigaphotons_of_scan": (self.dose_per_scan or 0.0) / GIGA,
            }
        )

    def _dose(self, scans: int) -> float | None:
        return None if self.dose_per_scan is None else self.dose_before + scans * self.dose_per_scan


class _Progress:
    """Scans so far, how long they lasted, and what their results say."""

    def __init__(self) -> None:
        self.uids: list[str] = []
        self.overdue: set[str] = set()
        """Runs whose results did not come in time: they count when they come, and are waited for no more."""
        self.longest = 0.0
        """s that a scan lasted."""
        self.stalled = False
        """Whether the last wait brought nothing at all."""
        self.reached = False
        """Whether enough is known."""
        self._late = ""
        self._judged: Judgement | None = None
        """By the results that came last: those of a catalog that is gone meanwhile still count."""
        self._began = self._last = time.monotonic()

    @property
    def elapsed(self) -> float:
        """s since the plan began."""
        return time.monotonic() - self._began

    def took(self, uid: str) -> None:
        """Note a scan that has just ended."""
        self.uids.append(uid)
        self.longest = max(self.longest, time.monotonic() - self._last)

    def learned(self, answer: Answer | None) -> None:
        """Take in what the results say, and tell it."""
        self._last = time.monotonic()
        if answer is None:
            return
        judged, before = answer.judgement, 0 if self._judged is None else len(self._judged.counted)
        self.reached, self._late = answer.reached, answer.late
        self.stalled = bool(answer.late) and (judged is None or len(judged.counted) <= before)
        if answer.late:
            self.overdue |= set(self.uids if judged is None else judged.pending)
            logger.warning("measuring goes on to its limits: %s", answer.late)
        if judged is not None:
            self._judged = judged
            logger.info("after %d scans: %s", len(self.uids), judged.words)
            if self.uids[-1] in judged.failed:
                logger.warning("run %s does not count: %s", self.uids[-1][:8], judged.failed[self.uids[-1]])

    def known(self) -> dict[str, Any]:
        """What the results have said so far, for the next start document."""
        known: dict[str, Any] = {"late": self._late} if self._late else {}
        if self._judged is not None:
            known |= {"so_far": self._judged.words, "counted": list(self._judged.counted)}
            if self._judged.failed:
                known["failed"] = dict(self._judged.failed)
        return known


def _checked_flux(flux: float) -> float:
    if not (is_number(flux) and flux > 0):
        raise UnitError(
            f"flux is {flux!r}",
            needed="photons per second on the sample at transmission 1, above 0",
            action="correct flux, or leave it out where it is not known",
        )
    return float(flux)
