"""Spheres in a viscous liquid: D is known from the viscosity (Stokes and Einstein), and nothing ages."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gbx_beamline.commissioning._stillness import zero_share
from gbx_beamline.commissioning.findings import Finding, Interval, Part, by_roi, within
from gbx_beamline.commissioning.reading import answer_words, claims_of, interval_words, seen_in
from gbx_beamline.comparing import compare
from gbx_beamline.config import CommissioningConfig
from gbx_beamline.errors import InputError
from gbx_beamline.figures import words
from gbx_beamline.records import Refusal, ScanResult

BOLTZMANN = 1.380649e-23
"""J/K."""


def stokes_einstein(temperature: float, viscosity: float, radius: float) -> float:
    """Diffusivity of a sphere in a liquid, ``k_B T / (6 pi eta R)``, m^2/s.

    Args:
        temperature: K.
        viscosity: Pa s.
        radius: hydrodynamic, m.

    Raises:
        InputError: a number that is not above 0.
    """
    for name, value in (("temperature", temperature), ("viscosity", viscosity), ("radius", radius)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} {value!r}", needed="a finite number above 0", action=f"correct the {name}")
    return BOLTZMANN * temperature / (6.0 * math.pi * viscosity * radius)


def judge_colloid(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """The brightest part; the others belong to the attenuation pair."""
    part = next(iter(parts.values()))
    assert isinstance(part.outcome, ScanResult)
    result = part.outcome
    seen = seen_in(result)
    return [
        _diffusivity(part, result, settings),
        _scaling(result, settings),
        _shape(result, settings),
        zero_share("the liquid", result, settings),
        Finding(
            what="faults",
            expected="none named",
            found="; ".join(seen.values()) or "none",
            verdict="fail" if seen else "pass",
        ),
        _refused(part, settings),
    ]


def _diffusivity(part: Part, result: ScanResult, settings: CommissioningConfig) -> Finding:
    expected, scaling = float(part.told["diffusivity"]), result.scaling
    spread = settings.expected.diffusivity_within + float(part.told.get("relative_error", 0.0))
    found = (
        Interval(value=math.nan, low=math.nan, high=math.nan)
        if scaling is None or scaling.diffusive != "yes"
        else Interval.around(scaling.diffusivity, scaling.diffusivity_error, level=settings.expected.level)
    )
    verdict = within(found, expected * (1.0 - spread), expected * (1.0 + spread))
    return Finding(
        what="D",
        expected=f"{words.number(expected)} m²/s within {spread:.0%} (Stokes-Einstein)",
        found=interval_words(found, "m²/s", 3),
        verdict=verdict,
        why={
            "pass": "",
            "fail": "viscosity, radius, temperature, distance or beam centre is another than stated, or D is wrong",
            "undetermined": "D is not known well enough" if found.known else "the dynamics are not surely diffusive",
        }[verdict],
    )


def _scaling(result: ScanResult, settings: CommissioningConfig) -> Finding:
    scaling = result.scaling
    known = scaling is not None and math.isfinite(scaling.exponent)
    found = (
        Interval.around(scaling.exponent, scaling.error, level=settings.expected.level)
        if scaling is not None and known
        else Interval(value=math.nan, low=math.nan, high=math.nan)
    )
    surely = known and found.holds(2.0) and not found.holds(1.0)
    return Finding(
        what="relaxation time over q",
        expected="q^-2, not q^-1",
        found=f"q^-{interval_words(found, digits=3)}",
        verdict="pass" if surely else "fail" if known and not found.holds(2.0) else "undetermined",
        why="" if surely else (scaling.reason if scaling is not None else "no q is known"),
    )


def _shape(result: ScanResult, settings: CommissioningConfig) -> Finding:
    fits = [fit for fit in result.kinetics if fit.whole and fit.status == "ok" and fit.errors.get("exponent")]
    level = settings.expected.level
    ends = [Interval.around(f.exponent, f.errors["exponent"] or 0.0, level=level, comparisons=len(fits)) for f in fits]
    wrong = [fit.name for fit, end in zip(fits, ends, strict=True) if not end.holds(1.0)]
    return Finding(
        what="shape of the decay",
        expected="a simple exponential: exponent 1",
        found=by_roi([(fit.name, interval_words(end, digits=3)) for fit, end in zip(fits, ends, strict=True)])
        or "no fit",
        verdict="fail" if wrong else "pass" if fits else "undetermined",
        why=f"other in {', '.join(wrong)}" if wrong else "",
    )


def _refused(part: Part, settings: CommissioningConfig) -> Finding:
    refused = part.inference is not None and isinstance(part.inference.outcome, Refusal)
    sure = [name for name, claim in claims_of(part.inference, settings.expected.level).items() if claim.determined]
    doubted = bool(claims_of(part.inference, settings.expected.level)) and not sure
    return Finding(
        what="grain-boundary inference",
        expected="refused: this is no grain boundary",
        found=answer_words(part.inference),
        verdict="pass" if refused else "undetermined" if doubted or part.inference is None else "fail",
        why="" if refused else "the model answered, with doubts" if doubted else "" if sure else "no model was asked",
    )


def judge_pair(parts: Mapping[str, Part], _settings: CommissioningConfig) -> list[Finding]:
    """Whether the beam drives it, of a sample of which that is known."""
    results = [part.outcome for part in parts.values() if isinstance(part.outcome, ScanResult)]
    first = next(iter(parts.values()))
    wanted = str(first.told.get("driven_by", "sample"))
    if len(results) < 2:
        return [
            Finding(
                what="sample or beam",
                expected=wanted,
                found=f"{len(results)} scan(s)",
                verdict="undetermined",
                why="measure the liquid at a second transmission",
            )
        ]
    try:
        found = compare(results)
    except InputError as error:
        return [
            Finding(
                what="sample or beam", expected=wanted, found="not compared", verdict="undetermined", why=str(error)
            )
        ]
    ratio = found.rate_ratio
    told = None if ratio is None else Interval(value=ratio.value, low=ratio.low, high=ratio.high)
    text = (
        f"{found.verdict}: rates {interval_words(told, digits=3)} for {words.number(found.dose_ratio)} times the dose"
    )
    return [
        Finding(
            what="sample or beam",
            expected=wanted,
            found=text,
            verdict="pass"
            if found.verdict == wanted
            else "undetermined"
            if found.verdict == "undetermined"
            else "fail",
            why="" if found.verdict == wanted else found.reason,
        )
    ]
