"""Which experiments a suite holds: samples, temperatures, settings and seeds of every shot, before any photon."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning._virtual_settings import FOREIGN, Kind, SuiteSettings
from gbx_beamline.simulation.measurement import EFFECTS, Measurement, VirtualScan, draw_sample_group

BOLTZMANN_EV = 8.617333262e-5
"""eV/K."""

ROOM = (293.0, 303.0)
"""K, of colloids."""
COLLOID_Q = (2e7, 8e7)
"""1/m, small-angle scattering of colloids."""
RELAXATIONS = (150.0, 1500.0)
"""s, log-uniform: what decays within the window, for foreign samples."""
COMPRESSION = (1.5, 2.0)
"""Exponent of ballistic motion."""
RAMP = (3.0, 10.0)
"""By how much D grows in the beam from the first to the last frame, log-uniform."""
STRETCHING = 0.7

_NUISANCES = tuple(name for name in EFFECTS if name not in ("contrast", "mean_counts"))

_LHS, _SAMPLE = 1, 2
"""Random streams of a suite, apart from any that training could draw from: SeedSequence takes them as spawn keys."""


@dataclass(frozen=True, kw_only=True)
class PlannedShot:
    """One scan that will be measured."""

    number: int
    """Counts through the suite."""
    group: int
    """Of the sample; the same at every severity."""
    kind: Kind
    severity: float
    isothermal: bool
    """Whether all shots of the sample are at one temperature."""
    scan: VirtualScan
    """The truth, and how it is measured. For a kind that is no grain boundary its measurement, temperature and q."""
    seed: int
    """Of draw, traces, fields and photons."""
    extra: dict[str, float]
    """What the kind has beside: "ramp", "exponent", "relaxation" in s at the middle q."""

    @property
    def truth(self) -> NDArray[np.float64]:
        """(3,) D in m^2/s (its mean over the scan where it changes), gamma in J s m^-4, lambda; NaN where the sample is
        no grain boundary."""
        if self.kind in FOREIGN:
            return np.full(3, np.nan)
        boundary = self.scan.boundary
        return np.array([boundary.diffusivity, boundary.gamma, boundary.gb_fraction])


def plan_suite(settings: SuiteSettings) -> list[PlannedShot]:
    """All shots, sample by sample, and within a sample severity by severity."""
    return [shot for group in range(settings.groups) for shot in plan_group(settings, group)]


def plan_group(settings: SuiteSettings, group: int) -> list[PlannedShot]:
    """The shots of one sample, severity by severity."""
    first = group * settings.shots * len(settings.severities)
    kinds, rois = len(settings.kinds), len(settings.rois)
    kind = settings.kinds[group % kinds]
    q = settings.q_of(settings.rois[group // kinds % rois])
    isothermal = group // (kinds * rois) % 2 == 0
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(_SAMPLE, group)))
    scans = _grain_boundaries(settings, group, rng, q, isothermal)
    extra = _extra(kind, rng)
    seeds = rng.integers(2**63, size=settings.shots)
    if kind == "colloid":
        scans = [_as_colloid(scan, rng, len(q)) for scan in scans]
    shots = []
    for severity in settings.severities:
        for scan, seed in zip(scans, seeds.tolist(), strict=True):
            shots.append(
                PlannedShot(
                    number=first + len(shots),
                    group=group,
                    kind=kind,
                    severity=severity,
                    isothermal=isothermal,
                    scan=replace(scan, measurement=at_severity(scan.measurement, severity)),
                    seed=seed,
                    extra=extra,
                )
            )
    return shots


def _grain_boundaries(
    settings: SuiteSettings, group: int, rng: np.random.Generator, q: tuple[float, ...], isothermal: bool
) -> list[VirtualScan]:
    """Shots of one sample: optics, boundaries' shapes, static shares and lambda in common, D and gamma by Arrhenius'
    law, beam, counts and losses new in every shot."""
    diffusivity, gamma, share = _stratified(settings, group)
    temperatures, logs = _thermal(settings, rng, isothermal, np.log([diffusivity, gamma]))
    drawn = draw_sample_group(
        rng,
        temperatures.tolist(),
        q=q,
        frames=settings.frames,
        frame_time=settings.window / settings.frames,
        pixels=settings.pixels,
    )
    low, high = np.log(settings.mean_counts)
    pareto = settings.kinds[group % len(settings.kinds)] == "pareto"
    avalanches = {
        "avalanche_rate": float(np.exp(rng.uniform(*np.log([0.5, 20.0])))) / settings.window,
        "avalanche_share": float(np.exp(rng.uniform(*np.log([0.03, 0.3])))),
        "avalanche_tail": "pareto",
    }
    return [
        VirtualScan(
            boundary=replace(
                scan.boundary,
                diffusivity=float(np.exp(logs[0, index])),
                gamma=float(np.exp(logs[1, index])),
                gb_fraction=float(share),
                **(avalanches if pareto else {}),
            ),
            measurement=replace(scan.measurement, mean_counts=tuple(np.exp(rng.uniform(low, high, len(q))).tolist())),
        )
        for index, scan in enumerate(drawn)
    ]


def _stratified(settings: SuiteSettings, group: int) -> tuple[float, float, float]:
    """D, gamma and lambda of a sample, a Latin hypercube over the samples that take the same turn."""
    turns = len(settings.kinds) * len(settings.rois) * 2
    turn, place = group % turns, group // turns
    strata = -(-settings.groups // turns)
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(_LHS, turn)))
    cells = np.stack([rng.permutation(strata) for _ in range(3)])
    unit = (cells + rng.random(cells.shape)) / strata
    d, g, share = unit[:, place]
    return (
        float(np.exp(_between(np.log(settings.diffusivity), d))),
        float(np.exp(_between(np.log(settings.gamma), g))),
        _between(settings.gb_fraction, share),
    )


def _thermal(
    settings: SuiteSettings, rng: np.random.Generator, isothermal: bool, logs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(shots,) K, and (2, shots) logarithms of D and gamma.

    Three temperatures, or one. The stratified D and gamma hold at one of the three; temperatures, energies and which
    one are drawn again until all six values lie in their ranges.
    """
    if isothermal:
        temperature = rng.uniform(*settings.temperature)
        return np.full(settings.shots, temperature), np.repeat(logs[:, None], settings.shots, axis=1)
    bounds = np.log([settings.diffusivity, settings.gamma])
    while True:
        temperatures = np.sort(rng.uniform(*settings.temperature, 3))
        energies = rng.uniform(*settings.activation_energy, 2) * (-1.0, 1.0)
        anchors = rng.integers(0, 3, 2)
        cold = 1.0 / (BOLTZMANN_EV * temperatures)
        found = logs[:, None] + energies[:, None] * (cold - cold[anchors][:, None])
        if (found >= bounds[:, :1]).all() and (found <= bounds[:, 1:]).all():
            repeats = settings.shots // 3
            return np.repeat(temperatures, repeats), np.repeat(found, repeats, axis=1)


def at_severity(measurement: Measurement, severity: float) -> Measurement:
    """The measurement with its nuisances so many times as strong, as far as their physical domains go.

    Contrast, counts and pixels stay.
    """
    if severity == 1.0:
        return measurement

    def scaled(name: str, value: float) -> float:
        effect = EFFECTS[name]
        low, high = effect.allowed
        return min(max(effect.neutral + severity * (value - effect.neutral), low), high)

    changed: dict[str, float | tuple[float, ...]] = {}
    for name in _NUISANCES:
        found = getattr(measurement, name)
        several = isinstance(found, tuple)
        changed[name] = tuple(scaled(name, value) for value in found) if several else scaled(name, found)
    return replace(measurement, **changed)


def _extra(kind: Kind, rng: np.random.Generator) -> dict[str, float]:
    # All are drawn whatever the kind: one kind more changes no other's experiments.
    ramp = float(np.exp(rng.uniform(*np.log(RAMP))))
    relaxation = float(np.exp(rng.uniform(*np.log(RELAXATIONS))))
    exponent = float(rng.uniform(*COMPRESSION))
    if kind == "stretched_bulk":
        return {"exponent": STRETCHING}
    if kind == "ramp":
        return {"ramp": ramp}
    if kind == "ballistic":
        return {"relaxation": relaxation, "exponent": exponent}
    return {"relaxation": relaxation} if kind == "colloid" else {}


def _as_colloid(scan: VirtualScan, rng: np.random.Generator, rois: int) -> VirtualScan:
    """At room temperature and at the q of small-angle scattering."""
    low, high = COLLOID_Q
    middle = rng.uniform(low, high)
    q = tuple((middle * np.linspace(0.8, 1.2, rois)).tolist()) if rois > 1 else (middle,)
    return replace(scan, boundary=replace(scan.boundary, q=q, temperature=float(rng.uniform(*ROOM))))


def _between(ends: tuple[float, float] | NDArray[np.float64], unit: float) -> float:
    return float(ends[0] + unit * (ends[1] - ends[0]))
