"""What a model says of a scan: its posterior as contours, parameters and flags in words, the sample's way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from gbx_beamline.catalog import Catalog, load_inference
from gbx_beamline.figures.words import number
from gbx_beamline.records import Floats, Inference, Refusal, ScanInference
from gbx_viewer.model import saying
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.saying import ANGSTROM2

LOG_D = (-23.7, -20.3)
"""log10 of D in m^2/s over which the phase map reaches: the box of the shipped models' prior."""
FRACTION = (0.0, 0.5)
"""lambda_GB over which it reaches."""
MASSES = (0.9, 0.5)
"""Of the posterior inside each contour."""

_BINS = 80
_KINDS = {
    "grain_boundary": "grain boundaries",
    "static": "static",
    "stretched": "stretched exponential",
    "compressed": "compressed exponential",
    "ballistic": "ballistic",
    "heterodyne": "heterodyne",
    "ageing": "ageing",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Contour:
    """A line that holds a share of the posterior."""

    mass: float
    lines: tuple[Floats, ...]
    """Each (k, 2): log10 of D in Å^2/s, and lambda_GB."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One parameter in words."""

    name: str
    value: str
    below: str
    determined: bool


@dataclass(frozen=True, kw_only=True)
class Step:
    """One scan of the sample's way."""

    uid: str
    log_d: float
    """log10 of D in Å^2/s."""
    fraction: float
    temperature: float
    """K."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """Everything the panel shows of one inference record."""

    model: str
    refused: str
    """Why the model would not judge; the rest is empty then."""
    lines: tuple[Line, ...]
    contours: tuple[Contour, ...]
    kinds: tuple[tuple[str, float], ...]
    """Competing kinds of dynamics and their probabilities, the most probable first."""
    flags: tuple[str, ...]
    gamma: float
    """Median of GB friction, J s m^-4; NaN where undetermined or refused."""
    temperature: float
    """K that the model was told."""
    q: float
    """1/m, the smallest that took part; NaN without any."""


def read_verdict(catalog: Catalog, key: str) -> Verdict:
    """An inference record.

    Raises:
        GbxError: no such record, another version, or the catalog cannot be read.
    """
    return verdict(load_inference(catalog, key))


def verdict(said: ScanInference) -> Verdict:
    """The same of a record at hand."""
    found = said.outcome
    if isinstance(found, Refusal):
        return Verdict(
            model=found.model_id,
            refused=found.reason,
            lines=(),
            contours=(),
            kinds=(),
            flags=(),
            gamma=math.nan,
            temperature=math.nan,
            q=math.nan,
        )
    undetermined = {flag.code.partition(":")[2] for flag in found.flags if flag.code.startswith("undetermined:")}
    kinds = sorted(found.probabilities.items(), key=lambda item: -item[1])
    return Verdict(
        model=found.model_id,
        refused="",
        lines=_lines(found, undetermined),
        contours=contours(found.samples),
        kinds=tuple((_KINDS.get(kind, kind.replace("_", " ")), value) for kind, value in kinds),
        flags=tuple(flag.text for flag in found.flags) + found.notes,
        gamma=math.nan if "gamma" in undetermined else found.parameters["gamma"].median,
        temperature=found.temperature,
        q=float(np.min(found.q)) if found.q.size else math.nan,
    )


def contours(samples: NDArray[np.float64]) -> tuple[Contour, ...]:
    """Lines of equal density that hold ``MASSES`` of the samples' (log10 D, lambda_GB).

    Args:
        samples: (n, 3) of a posterior: D in m^2/s, gamma, lambda_GB.
    """
    usable = np.isfinite(samples).all(axis=1) & (samples[:, 0] > 0)
    if usable.sum() < 20:
        return ()
    x, y = np.log10(samples[usable, 0]), samples[usable, 2]
    density, across, up = np.histogram2d(x, y, bins=_BINS, range=(LOG_D, FRACTION))
    # Samples that lie against an edge of the box pile up there: mirrored, the contour meets the edge.
    smooth = gaussian_filter(density, 0.9 + 12.0 / math.sqrt(usable.sum()) * 4, mode="reflect")
    if not smooth.max() > 0:
        return ()
    falling = np.sort(smooth.ravel())[::-1]
    inside = np.cumsum(falling) / falling.sum()
    shift = math.log10(ANGSTROM2)
    columns, rows = 0.5 * (across[1:] + across[:-1]) + shift, 0.5 * (up[1:] + up[:-1])
    generator = contour_generator(x=columns, y=rows, z=smooth.T)
    return tuple(
        Contour(
            mass=mass,
            lines=tuple(
                np.asarray(one, dtype=np.float64)
                for one in generator.lines(float(falling[min(np.searchsorted(inside, mass), falling.size - 1)]))
            ),
        )
        for mass in MASSES
    )


def way(rows: Sequence[RunRow], shown: RunRow | None) -> tuple[Step, ...]:
    """Medians of the sample's scans in the order of time, those left out of which D or lambda_GB is undetermined."""
    if shown is None:
        return ()
    steps = []
    for row in reversed(rows):
        said = row.inference
        if row.sample != shown.sample or said is None or said.refused:
            continue
        if said.undetermined & {"diffusivity", "gb_fraction"} or "diffusivity" not in said.parameters:
            continue
        steps.append(
            Step(
                uid=row.uid,
                log_d=math.log10(said.parameters["diffusivity"]["median"] * ANGSTROM2),
                fraction=said.parameters["gb_fraction"]["median"],
                temperature=row.temperature,
            )
        )
    return tuple(steps)


def _lines(found: Inference, undetermined: set[str]) -> tuple[Line, ...]:
    level = f"{100 * found.level:.0f} %"
    d, gamma, fraction = (found.parameters[name] for name in ("diffusivity", "gamma", "gb_fraction"))
    in_angstrom = [number(value * ANGSTROM2, 2) for value in (d.median, d.low, d.high)]
    return (
        _line(
            "D", "diffusivity", undetermined, f"{in_angstrom[0]} Å²/s", f"{level}: {in_angstrom[1]} to {in_angstrom[2]}"
        ),
        _line(
            "γ, GB friction",
            "gamma",
            undetermined,
            f"{number(gamma.median, 2)} J s m⁻⁴",
            f"{level}: {number(gamma.low, 2)} to {number(gamma.high, 2)}",
        ),
        _line(
            "λ_GB",
            "gb_fraction",
            undetermined,
            f"{fraction.median:.2f}",
            f"{level}: {fraction.low:.2f} to {fraction.high:.2f}",
        ),
    )


def _line(name: str, key: str, undetermined: set[str], value: str, below: str) -> Line:
    if key in undetermined:
        return Line(name=name, value="undetermined", below="this scan does not say", determined=False)
    return Line(name=name, value=value, below=below, determined=True)


def in_kelvin(temperature: float) -> str:
    """For the legend of the way."""
    return saying.kelvin(temperature) or "T not recorded"
