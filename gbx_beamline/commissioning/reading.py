"""What a record says, in the form that judges compare."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from gbx_beamline.commissioning.findings import Interval
from gbx_beamline.figures import words
from gbx_beamline.learning._belief_flags import doubted
from gbx_beamline.records import PARAMETERS, Inference, KineticsFit, Refusal, ScanInference, ScanResult

SYMBOLS = {"diffusivity": "D", "gamma": "γ", "gb_fraction": "λ"}
UNITS = {"diffusivity": "m²/s", "gamma": "J s m⁻⁴", "gb_fraction": ""}


class Claim(NamedTuple):
    """What a model says of one parameter."""

    interval: Interval
    determined: bool
    limit: Literal["below", "above", ""]
    """Where the answer is a limit only."""

    def words(self, unit: str) -> str:
        """As a reader says it."""
        if self.determined:
            return interval_words(self.interval, unit)
        if not self.limit:
            return "undetermined"
        end = self.interval.high if self.limit == "below" else self.interval.low
        return f"undetermined, {self.limit} {words.number(end, 2)} {unit}".rstrip()


def names_of(result: ScanResult) -> list[str]:
    """Names of the q-ROIs."""
    return [words.roi_name(result.rois, index) for index in range(len(result.rois))]


def shares_of(result: ScanResult, level: float) -> list[Interval | None]:
    """(Q,) corrected S_noneq at a level for all q-ROIs together; None where it is undetermined."""
    found: list[Interval | None] = []
    for one in result.nonequilibrium:
        value, ends = one.s_noneq_corrected, one.interval
        own = None if value is None or ends is None else Interval(value=value, low=ends[0], high=ends[1])
        found.append(own and own.widened(level, len(result.nonequilibrium)))
    return found


def ageing_of(result: ScanResult, level: float) -> list[Interval | None]:
    """(Q,) the part of it that is smooth in age."""
    found: list[Interval | None] = []
    for one in result.nonequilibrium:
        share = one.corrected.ageing if one.corrected is not None and one.corrected.status == "ok" else None
        own = share and Interval(value=share.value, low=share.low, high=share.high)
        found.append(own and own.widened(level, len(result.nonequilibrium)))
    return found


def drifts_of(result: ScanResult) -> list[float]:
    """(Q,) upper end of the drift's interval over the contrast; NaN = not measured."""
    return [
        math.nan if one.corrected is None else one.corrected.drift_rms_over_contrast_high
        for one in result.nonequilibrium
    ]


def times_of(result: ScanResult, level: float) -> list[Interval | None]:
    """(Q,) relaxation time, s; None where no fit is to be used."""
    found: list[Interval | None] = [None] * len(result.rois)
    fits = list(_whole(result))
    for fit in fits:
        error = fit.errors.get("relaxation_time")
        if fit.status == "ok" and error is not None:
            found[fit.roi] = Interval.around(fit.relaxation_time, error, level=level, comparisons=len(fits))
    return found


def _whole(result: ScanResult) -> Iterator[KineticsFit]:
    return (fit for fit in result.kinetics if fit.whole)


def claims_of(inference: ScanInference | None, level: float) -> Mapping[str, Claim]:
    """What a model says by parameter, intervals at ``level``; empty where none was asked or it refused."""
    said = None if inference is None else inference.outcome
    if not isinstance(said, Inference):
        return {}
    undetermined = {flag.code.partition(":")[2]: flag for flag in said.flags if flag.code.startswith("undetermined:")}
    doubt = doubted(said.flags)
    found = {}
    for name in PARAMETERS:
        one, flag = said.parameters[name], undetermined.get(name)
        told = flag.text.partition("but for a limit: ")[2] if flag is not None else ""
        limit: Literal["below", "above", ""] = "" if not told else "below" if told.startswith("below") else "above"
        found[name] = Claim(_stretched(name, one.low, one.median, one.high, said.level, level), not flag and not doubt,
                            limit)  # fmt: skip
    return found


def _stretched(name: str, low: float, median: float, high: float, own: float, level: float) -> Interval:
    """D and the friction are known by factors, the fraction by differences."""
    if name == "gb_fraction":
        return Interval(value=median, low=low, high=high).widened(level, of=own)
    logs = Interval(value=math.log(median), low=math.log(low), high=math.log(high)).widened(level, of=own)
    return Interval(value=median, low=math.exp(logs.low), high=math.exp(logs.high))


def answer_words(inference: ScanInference | None) -> str:
    """What a model says, short."""
    if inference is None:
        return "no model was asked"
    said = inference.outcome
    if isinstance(said, Refusal):
        return f"refused: {said.reason.partition(';')[0]}"
    claims = claims_of(inference, said.level)
    parts = [
        f"{SYMBOLS[name]} {words.number(claim.interval.value, 2)} {UNITS[name]}".rstrip()
        for name, claim in claims.items()
        if claim.determined
    ]
    doubts = [flag.text for flag in said.flags if doubted([flag])]
    undetermined = [SYMBOLS[name] for name, claim in claims.items() if not claim.determined]
    if doubts:
        return f"no grain-boundary answer: {doubts[0]}"
    return "; ".join([*parts, *([f"{', '.join(undetermined)} undetermined"] if undetermined else [])])


def interval_words(one: Interval | None, unit: str = "", digits: int = 2) -> str:
    """A number with its interval, or that there is none."""
    if one is None or not one.known:
        return "undetermined"
    text = f"{words.number(one.value, digits)} ({words.number(one.low, digits)} to {words.number(one.high, digits)})"
    return f"{text} {unit}".rstrip()


def per_cent(value: float) -> str:
    """A share in per cent."""
    return "not measured" if not math.isfinite(value) else f"{100.0 * value:.2g} %"


def seen_in(result: ScanResult) -> dict[str, str]:
    """Everything that the analysis named by itself, by kind, in its own words."""
    found: dict[str, str] = {}
    moved = [check.status for check in result.motion if check.moved]
    if moved:
        found["motion"] = moved[0]
    jumps = [jump.words for check in result.jumps for jump in check.jumps]
    if jumps:
        found["jump"] = jumps[0]
    dark = [part for part in result.exclusions.segments if part.kind == "no beam"]
    if dark:
        found["no beam"] = f"no beam from {dark[0].start_time:.5g} to {dark[0].stop_time:.5g} s"
    changes = [flag for flag in result.flags if flag.startswith("intensity ")]
    if changes:
        found["intensity"] = changes[0]
    return found
