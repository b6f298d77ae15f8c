"""Numbers and facts as a reader at the beamline says them. Everywhere else is SI; here q is in 1/Angstrom."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from gbx_beamline.records import (
    DecayFit,
    Exposure,
    NonEquilibrium,
    Refusal,
    RoiSet,
    ScanInference,
    ScanInfo,
    ScanResult,
)

CELSIUS_ZERO = 273.15
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ROI_FLAGS = {"specular": "touches the specular reflection", "yoneda": "lies on the Yoneda band"}


def number(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, or "not measured"."""
    if not math.isfinite(value):
        return "not measured"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        power = math.floor(math.log10(abs(value)))
        return f"{value / 10**power:.{digits - 1}f}·10{str(power).translate(_SUPERSCRIPT)}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def power_of_ten(value: float) -> str:
    """Label of a logarithmic axis: 0.01, 1, 500, 2·10⁴."""
    if value <= 0:
        return ""
    if 1e-3 <= value < 1e4:
        return f"{value:g}"
    power = math.floor(math.log10(value) + 1e-9)
    lead = value / 10.0**power
    exponent = f"10{str(power).translate(_SUPERSCRIPT)}"
    return exponent if math.isclose(lead, 1.0) else f"{lead:g}·{exponent}"


def time_unit(seconds: float) -> tuple[float, str]:
    """The unit in which a span of time reads best: how many seconds it has, and its name."""
    for unit, name, up_to in ((1e-6, "µs", 1e-3), (1e-3, "ms", 1.0), (1.0, "s", 7200.0), (60.0, "min", 360000.0)):
        if seconds < up_to:
            return unit, name
    return 3600.0, "h"


def duration(seconds: float) -> str:
    """A span of time with its unit."""
    unit, name = time_unit(seconds)
    return f"{seconds / unit:.4g} {name}"


def with_error(value: float, error: float | None, unit: str = "") -> str:
    """A value rounded where its standard error begins, of which only a lower bound is known."""
    unit = f" {unit}" if unit else ""
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{number(value)}{unit}"
    places = 1 - math.floor(math.log10(error))
    if places <= 0:
        return f"{round(value, places):.0f}{unit} (error at least {round(error, places):.0f}{unit})"
    return f"{value:.{places}f}{unit} (error at least {error:.{places}f}{unit})"


def relaxation_time(fit: DecayFit) -> str:
    """1/rate of a fit and the least error it has, in the unit that reads best."""
    tau = 1.0 / fit.rate
    unit, name = time_unit(tau)
    rate_error = fit.errors.get("rate")
    error = None if rate_error is None else tau * rate_error / fit.rate
    return with_error(tau / unit, None if error is None else error / unit, name)


def non_equilibrium(record: NonEquilibrium, digits: int = 3) -> str:
    """S_noneq of one q-ROI: the corrected one with its interval, and the bare one by name."""
    if record.status != "ok":
        return "no S_noneq"
    bare = f"bare S_noneq {number(record.s_noneq, digits)}, root {number(record.s_noneq_norm, digits)}"
    if record.interval is None:
        return f"{bare} (noise counts)"
    low, high = record.interval
    return f"S_noneq = {record.s_noneq_corrected:.3f} ({low:.3f} to {high:.3f});  {bare}"


def kinetics(result: ScanResult, index: int) -> list[str]:
    """What the stretched exponential over the whole series says of one q-ROI, and the scan's scaling with q."""
    said: list[str] = []
    for fit in result.kinetics:
        if fit.roi == index and fit.whole and fit.status == "ok":
            unit, name = time_unit(fit.relaxation_time)
            error = fit.errors.get("relaxation_time")
            value = f"{number(fit.relaxation_time / unit)}" + (f" ± {number(error / unit, 2)}" if error else "")
            said.append(f"stretched fit: τ {value} {name}, exponent {number(fit.exponent, 2)}")
    scaling = result.scaling
    if scaling is not None and math.isfinite(scaling.exponent):
        said.append(f"τ ∝ q^-{number(scaling.exponent, 2)}, diffusive: {scaling.diffusive}")
    return said


def dose(exposure: Exposure) -> str:
    """What one scan put onto its spot, as far as it is known."""
    lit = f"{duration(exposure.seconds)} with beam"
    if math.isfinite(exposure.photons):
        return f"dose of this scan {number(exposure.photons)} photons ({lit})"
    missing = ", ".join(text.partition(":")[0] for text in exposure.unknown if not text.startswith("position"))
    if math.isfinite(exposure.full_beam):
        return f"dose of this scan {duration(exposure.full_beam)} of the full beam; {missing} unknown"
    return f"dose unknown ({lit}): {missing} unknown"


def temperature(scan: ScanInfo) -> str:
    """Temperature in K and °C."""
    if scan.temperature is None:
        return "temperature not recorded"
    return f"{scan.temperature:.1f} K ({scan.temperature - CELSIUS_ZERO:.1f} °C)"


def kelvin(scan: ScanInfo) -> str:
    """Temperature in K alone, where there is little room."""
    return "T not recorded" if scan.temperature is None else f"{scan.temperature:.0f} K"


def span(start: float, stop: float) -> str:
    """A stretch of time, both ends in the unit in which the later reads best."""
    unit, name = time_unit(stop)
    return f"{start / unit:.4g} to {stop / unit:.4g} {name}"


def momentum(rois: RoiSet, index: int, mode: str) -> str:
    """Where a q-ROI lies, in 1/Angstrom."""
    q_par, q_z = float(rois.q_par[index]) * 1e-10, float(rois.q_z[index]) * 1e-10
    if not math.isfinite(q_par):
        return "q not known"
    if mode == "transmission":
        return f"q = {number(q_par)} 1/Å"
    return f"q∥ = {number(q_par)} 1/Å, q_z = {number(q_z) + ' 1/Å' if math.isfinite(q_z) else 'not known'}"


def started(scan: ScanInfo) -> str:
    """When a run began, or nothing."""
    return "" if scan.started is None else f"{datetime.fromtimestamp(scan.started, UTC):%Y-%m-%d %H:%M} UTC"


def roi_name(rois: RoiSet, index: int) -> str:
    """Name of a q-ROI."""
    return rois.names[index] or f"q-ROI {index + 1}"


def notes(result: ScanResult, index: int | None = None) -> list[str]:
    """Flags of a scan, or of one of its q-ROIs, in plain words."""
    if index is None:
        return list(result.flags)
    return [_ROI_FLAGS.get(flag, flag.replace("_", " ")) for flag in result.rois.flags[index]]


def shortened(words: str, characters: int) -> str:
    """The start of a long text."""
    return words if len(words) <= characters else f"{words[: characters - 1]}…"


def wrapped(words: str, characters: int) -> str:
    """Text broken into lines between words."""
    return "\n".join(textwrap.wrap(words, characters)) if words else ""


def joined(facts: Sequence[str], characters: int) -> str:
    """Facts in a row, separated by dots and broken into lines between facts where that is possible."""
    lines: list[str] = []
    for fact in facts:
        if lines and len(lines[-1]) + len(fact) + 5 <= characters:
            lines[-1] += f"  ·  {fact}"
        else:
            lines += textwrap.wrap(fact, characters)
    return "\n".join(lines)


_PARAMETERS = {"diffusivity": ("D", "m²/s"), "gamma": ("γ", "J s m⁻⁴"), "gb_fraction": ("λ_GB", "")}


def inferred(inference: ScanInference) -> tuple[str, list[str]]:
    """What a model says of a scan in one line, and what limits it, line by line."""
    found = inference.outcome
    if isinstance(found, Refusal):
        return f"Not judged by model {found.model_id}", [found.reason]
    undetermined = {flag.code.partition(":")[2] for flag in found.flags if flag.code.startswith("undetermined:")}
    parts = []
    for name, (symbol, unit) in _PARAMETERS.items():
        one = found.parameters[name]
        value = f"{number(one.median, 2)} ({number(one.low, 2)} to {number(one.high, 2)}) {unit}".rstrip()
        parts.append(f"{symbol} undetermined" if name in undetermined else f"{symbol} = {value}")
    level = f"{found.level:.0%}".replace("%", " %")
    return f"{', '.join(parts)}  (intervals of {level}; model {found.model_id})", [flag.text for flag in found.flags]
