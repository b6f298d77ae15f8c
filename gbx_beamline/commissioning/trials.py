"""The trials of the suite: what each is, what it takes, and who judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gbx_beamline.commissioning._boundaries import judge_background, judge_boundaries
from gbx_beamline.commissioning._faults import judge_fault
from gbx_beamline.commissioning._liquid import judge_colloid, judge_pair
from gbx_beamline.commissioning._sameness import judge_permuted, judge_same
from gbx_beamline.commissioning._stillness import judge_static
from gbx_beamline.commissioning.findings import Finding, Part, TrialOutcome, Verdict, together
from gbx_beamline.config import CommissioningConfig
from gbx_beamline.errors import InputError
from gbx_beamline.records import ScanFailure

STATIC, COLLOID, BOUNDARIES = "static_reference", "colloid", "grain_boundary"

SAMPLE = "sample"
"""Runs of the sample that a beamtime is about: no trial by itself, but looked at in several ways."""

Source = Literal["measured", "injected", "simulated"]
"""Where the frames come from: from a sample at a beamline, from such a scan with something done to its frames, or from
a sample whose truth only a simulation knows."""

Judge = Callable[[Mapping[str, Part], CommissioningConfig], list[Finding]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial."""

    name: str
    title: str
    capability: str
    source: Source
    judge: Judge
    borrows: Mapping[str, tuple[str, str | None]]
    """Parts of other trials by the name that they have here: trial, and part of it (None: the first)."""
    takes: str
    """What it needs, in words."""


def _trial(
    name: str,
    title: str,
    capability: str,
    source: Source,
    judge: Judge,
    takes: str,
    **borrows: tuple[str, str | None],
) -> Trial:
    named = {key.replace("_", " "): value for key, value in borrows.items()}
    return Trial(name=name, title=title, capability=capability, source=source, judge=judge, takes=takes, borrows=named)


_STILL = "A sample at rest is seen at rest"
_FAULTS = "Faults of sample, beam and detector are found and named"
_LIQUID = "Relaxation times and D are right"
_BEAM = "The beam's own effect is told from the sample"
_SAME = "Answers do not depend on how one looks"
_GRAINS = "Grain-boundary kinetics: right, or undetermined"

CAPABILITIES = (_STILL, _FAULTS, _LIQUID, _BEAM, _SAME, _GRAINS)

_ON_STATIC = "the frames of the static reference"
_ON_ANY = "the frames of the colloid and of the sample"

TRIALS: Mapping[str, Trial] = {
    one.name: one
    for one in (
        _trial(
            STATIC,
            "Static reference at two transmissions",
            _STILL,
            "measured",
            judge_static,
            "a sample that does not move",
        ),
        _trial("shift", "The pattern moves by a pixel", _FAULTS, "injected", judge_fault, _ON_STATIC),
        _trial("dump", "The beam is gone for a minute", _FAULTS, "injected", judge_fault, _ON_STATIC),
        _trial("flux_ramp", "The flux falls by a tenth", _FAULTS, "injected", judge_fault, _ON_STATIC),
        _trial("jump", "Speckles decorrelate by 3 % at once", _FAULTS, "injected", judge_fault, _ON_STATIC),
        _trial(
            COLLOID,
            "Colloid in a viscous liquid",
            _LIQUID,
            "measured",
            judge_colloid,
            "spheres of known radius in a liquid of known viscosity",
        ),
        _trial(
            "attenuation_sample",
            "A liquid at two transmissions",
            _BEAM,
            "measured",
            judge_pair,
            "the colloid at a second transmission",
        ),
        _trial(
            "attenuation_beam",
            "Motion that the beam drives, at two transmissions",
            _BEAM,
            "simulated",
            judge_pair,
            "a simulated sample that moves with the dose rate",
        ),
        _trial("halved", "Half of each q-ROI", _SAME, "injected", judge_same, _ON_ANY),
        _trial("rebinned", "Frames added in pairs", _SAME, "injected", judge_same, _ON_ANY),
        _trial("permuted", "Frames in an order of chance", _SAME, "injected", judge_permuted, _ON_ANY),
        _trial(
            BOUNDARIES,
            "Grain boundaries of known D, γ and λ",
            _GRAINS,
            "simulated",
            judge_boundaries,
            "simulated boundaries",
            static_reference=(STATIC, None),
        ),
        _trial(
            "static_background",
            "The same behind a static background",
            _GRAINS,
            "simulated",
            judge_background,
            "simulated boundaries",
            the_scan=(BOUNDARIES, "the scan"),
        ),
    )
}


def trials_named(names: Sequence[str]) -> list[Trial]:
    """Trials by name, in the order of the suite; all where none is named.

    Raises:
        InputError: a name that no trial has.
    """
    if unknown := [name for name in names if name not in TRIALS]:
        raise InputError(
            f"no trial {', '.join(map(repr, unknown))}", needed=f"one of {', '.join(TRIALS)}", action="correct the name"
        )
    return [trial for trial in TRIALS.values() if not names or trial.name in names]


def judge(parts: Sequence[Part], settings: CommissioningConfig, names: Sequence[str] = ()) -> list[TrialOutcome]:
    """Judge every trial of which there are runs.

    Args:
        parts: runs of a campaign with what the catalog holds of them. Of two runs with one name in one trial the
            later in the sequence counts.
        settings: what is expected.
        names: trials to be judged; empty means all.

    Raises:
        InputError: a name that no trial has.
    """
    by_trial: dict[str, dict[str, Part]] = {}
    for part in parts:
        by_trial.setdefault(part.trial, {})[part.name] = part
    outcomes = []
    for trial in trials_named(names):
        own = by_trial.get(trial.name, {})
        if trial.name == "attenuation_sample":
            # The same runs answer two questions.
            own = by_trial.get(COLLOID, {})
        if own:
            runs = tuple(part.run_uid for part in own.values())
            outcomes.append(_judged(trial, own | _borrowed(trial, by_trial), settings, runs))
    return outcomes


def _borrowed(trial: Trial, by_trial: Mapping[str, Mapping[str, Part]]) -> dict[str, Part]:
    found = {}
    for name, (other, part) in trial.borrows.items():
        there = by_trial.get(other, {})
        chosen = next(iter(there.values()), None) if part is None else there.get(part)
        if chosen is not None:
            found[name] = chosen
    if trial.judge is judge_same:
        found |= {
            f"{other}: {name}": part for other, there in by_trial.items() for name, part in there.items()
            if other in (COLLOID, BOUNDARIES, SAMPLE)
        }  # fmt: skip
    return found


def _judged(
    trial: Trial, parts: Mapping[str, Part], settings: CommissioningConfig, runs: tuple[str, ...]
) -> TrialOutcome:
    failed = [part for part in parts.values() if isinstance(part.outcome, ScanFailure)]
    missing = [str(p.told["of"]) for p in parts.values() if "of" in p.told and p.told["of"] not in parts]
    missing += [name for name in trial.borrows if name not in parts and trial.name == "static_background"]
    if failed:
        findings = [
            Finding(
                what=f"{part.name}: analysis",
                expected="a result",
                found=part.outcome.reason,
                verdict="fail",
                why="the scan could not be analysed",
            )
            for part in failed
            if isinstance(part.outcome, ScanFailure)
        ]
    elif missing:
        findings = [
            Finding(
                what="what it is compared with",
                expected=", ".join(missing),
                found="not in this campaign",
                verdict="undetermined",
                why="run that trial, too",
            )
        ]
    else:
        findings = trial.judge(parts, settings)
    return TrialOutcome(
        name=trial.name,
        title=trial.title,
        capability=trial.capability,
        findings=tuple(findings),
        runs=runs,
    )


def trust(outcomes: Sequence[TrialOutcome]) -> dict[str, Verdict | None]:
    """What is to be thought of each capability: pass = trust; None where no trial of it was run."""
    found: dict[str, Verdict | None] = {}
    for capability in CAPABILITIES:
        own: list[Verdict] = [one.verdict for one in outcomes if one.capability == capability]
        found[capability] = together(own) if own else None
    return found
