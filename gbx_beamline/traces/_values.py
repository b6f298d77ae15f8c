"""From readings of whatever type to numbers in SI, or to words that say why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import ChannelConfig
from gbx_beamline.errors import InputError
from gbx_beamline.quantities import ICE_POINT, Unit, number_and_unit, unit_of
from gbx_beamline.traces._reading import Reading

CELSIUS_LIKE = 10.0
"""K: a temperature this near to 273.15 below what was set is one in Celsius under another name."""


class Numbers(NamedTuple):
    """A reading in SI."""

    values: NDArray[np.float64]
    """(n,) NaN where a value is no number."""
    unit: str
    """SI; as the stream has it where that is not known; empty where it has none."""
    holds: bool
    """Whether a value holds until the next."""
    notes: tuple[str, ...]


def numbers_of(reading: Reading, channel: ChannelConfig, *, kelvin: bool) -> Numbers | str:
    """What a reading says as numbers.

    Args:
        reading: of the run.
        channel: its configuration.
        kelvin: whether it is a temperature: then its unit has to be known.

    Returns:
        The numbers, or why they cannot be used. Nothing is guessed.
    """
    if reading.values.ndim != 1:
        return f"{reading.source} holds arrays of shape {reading.values.shape[1:]}, not one number a reading"
    if reading.values.size == 0:
        return f"{reading.source} has no readings"
    values, written = _parsed(reading.values, channel.states)
    unreadable = int((~np.isfinite(values)).sum())
    if unreadable == len(values):
        return f"{reading.source} holds {str(reading.values[0])!r}, no number"
    stated, notes = channel.unit, []
    if unreadable:
        notes.append(f"{unreadable} of {len(values)} readings of {reading.source} are no numbers; left out")
    if len(written) > 1 or (written and stated and unit_of(written[0]) != unit_of(stated)):
        units = " and ".join(repr(text) for text in (*written, *([stated] if stated else [])))
        return f"{reading.source} contradicts itself: its unit is {units}"
    text = stated or (written[0] if written else reading.unit)
    if stated and reading.unit and unit_of(stated) != unit_of(reading.unit):
        notes.append(f"{reading.source} is in {reading.unit!r} by its stream, taken in {stated!r} as configured")
    unit = unit_of(text) if text else None
    if kelvin and (unit is None or unit.si != "K"):
        said = f"in {text!r}" if text else "without a unit"
        return f"{reading.source} is {said}, no temperature: state unit K or degC for the channel"
    # "C" is a Celsius where it names a temperature, and nothing that we know elsewhere.
    unit = unit if kelvin or unit is None or unit.zero == 0.0 or text != "C" else None
    holds = channel.between == "hold" or (channel.between is None and _is_switch(reading.values, channel))
    if unit is None:
        return Numbers(values, text or "", holds, tuple(notes))
    found = values * unit.factor + unit.zero
    if kelvin and (found[np.isfinite(found)] <= 0).any():
        return f"{reading.source} falls to {np.nanmin(found):.4g} K, no temperature: check the unit of the channel"
    return Numbers(found, unit.si, holds, tuple(notes))


def looks_like_celsius(kelvin: float, stated: float | None) -> bool:
    """Whether a temperature lies as far below the one that was set as Celsius lies below Kelvin."""
    return stated is not None and abs(stated - kelvin - ICE_POINT) < CELSIUS_LIKE


def limit_of(limit: float | str, unit: str, what: str) -> float:
    """A limit in the unit that its trace has.

    Args:
        limit: "100 mA", or a bare number.
        unit: of the trace; empty for none.
        what: names the limit in the error.

    Raises:
        InputError: a limit without unit on a trace that has one, or with another kind of unit.
    """
    number, text = (limit, "") if isinstance(limit, int | float) else (number_and_unit(limit) or (np.nan, ""))
    if not text and unit in ("", "1"):
        return float(number)
    known: Unit | None = unit_of(text) if text else None
    if known is not None and known.si == unit:
        return float(number) * known.factor + known.zero
    raise InputError(
        f"{what} is {limit!r}, the trace is {'in ' + unit if unit else 'without a unit'}",
        needed="a limit in the unit of the trace" if unit else "a bare number",
        action=f"write it with a unit, for example {number:g} {unit}" if unit else "leave the unit out",
    )


def _parsed(raw: NDArray[Any], states: Mapping[str, float] | None) -> tuple[NDArray[np.float64], list[str]]:
    """Numbers, and the units written behind them."""
    if raw.dtype.kind in "fiub" and not states:
        return raw.astype(np.float64), []
    values = np.full(len(raw), np.nan)
    units: dict[str, None] = {}
    for index, item in enumerate(raw.tolist()):
        word = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
        if states and str(word) in states:
            values[index] = states[str(word)]
        elif isinstance(word, int | float):
            values[index] = float(word)
        elif isinstance(word, str) and (read := number_and_unit(word)) is not None:
            values[index] = read[0]
            if read[1]:
                units[read[1]] = None
    return values, list(units)


def _is_switch(raw: NDArray[Any], channel: ChannelConfig) -> bool:
    return bool(channel.states) or raw.dtype.kind in "biu"
