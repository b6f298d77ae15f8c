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
    optional: tuple[str, ...] = ()
    """Of what it borrows: what it can be judged without."""


def _trial(
    name: str,
    title: str,
    capability: str,
    source: Source,
    judge: Judge,
    takes: str,
    *,
    optional: tuple[str, ...] = (),
    **borrows: tuple[str, str | None],
) -> Trial:
    return Trial(
        name=name,
        title=title,
        capability=capability,
        source=source,
        judge=judge,
        takes=takes,
        borrows={key.replace("_", " "): value for key, value in borrows.items()},
        optional=optional,
    )


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
            optional=("static reference",),
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
        # The runs of the colloid answer two questions.
        own = by_trial.get(COLLOID if trial.name == "attenuation_sample" else trial.name, {})
        if own:
            outcomes.append(_judged(trial, own, _borrowed(trial, own, by_trial), settings))
    return outcomes


def _borrowed(
    trial: Trial, own: Mapping[str, Part], by_trial: Mapping[str, Mapping[str, Part]]
) -> dict[str, Part | None]:
    """Parts of other trials that this one is compared with; None where there is none."""
    found: dict[str, Part | None] = {}
    for name, (other, part) in trial.borrows.items():
        there = by_trial.get(other, {})
        found[name] = next(iter(there.values()), None) if part is None else there.get(part)
    for wanted in {str(part.told["of"]) for part in own.values() if "of" in part.told}:
        other, _, name = wanted.partition(": ")
        found[wanted] = by_trial.get(other, {}).get(name)
    return found


def _judged(
    trial: Trial, own: Mapping[str, Part], borrowed: Mapping[str, Part | None], settings: CommissioningConfig
) -> TrialOutcome:
    usable = {name: part for name, part in borrowed.items() if part is not None and _analysed(part)}
    missing = [name for name in borrowed if name not in usable and name not in trial.optional]
    findings = [_no_result(part) for part in own.values() if not _analysed(part)]
    if not findings and missing:
        findings = [
            Finding(
                what="what it is compared with",
                expected=", ".join(missing),
                found="no result in this campaign",
                verdict="undetermined",
                why="run that trial, too",
            )
        ]
    return TrialOutcome(
        name=trial.name,
        title=trial.title,
        capability=trial.capability,
        findings=tuple(findings or trial.judge({**own, **usable}, settings)),
        runs=tuple(part.run_uid for part in own.values()),
    )


def _analysed(part: Part) -> bool:
    return not isinstance(part.outcome, ScanFailure)


def _no_result(part: Part) -> Finding:
    reason = part.outcome.reason if isinstance(part.outcome, ScanFailure) else ""
    return Finding(
        what=f"{part.name}: analysis",
        expected="a result",
        found=reason,
        verdict="fail",
        why="the scan could not be analysed",
    )


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What is to be thought of one capability."""

    capability: str
    verdict: Verdict | None
    """"pass" = trust; None where none of its trials was run."""
    untried: tuple[str, ...]
    """Titles of its trials that were not run: without them it is not shown."""


def trust(outcomes: Sequence[TrialOutcome], *, simulated: bool) -> list[Trust]:
    """What is to be thought of each capability: nothing is trusted of which a part was not tried.

    Args:
        outcomes: of ``judge``.
        simulated: whether the campaign is one of the simulated beamline; others cannot have trials whose truth only a
            simulation knows.
    """
    found = []
    run = {one.name for one in outcomes}
    for capability in CAPABILITIES:
        own: list[Verdict] = [one.verdict for one in outcomes if one.capability == capability]
        untried = tuple(
            trial.title
            for trial in TRIALS.values()
            if trial.capability == capability and trial.name not in run and (simulated or trial.source != "simulated")
        )
        verdict = together([*own, "undetermined"] if untried else own) if own else None
        found.append(Trust(capability=capability, verdict=verdict, untried=untried))
    return found
