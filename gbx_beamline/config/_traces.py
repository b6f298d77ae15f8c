"""Which streams of a run tell what stood around its frames, and which frames are analysed together for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gbx_beamline.config._base import Strict
from gbx_beamline.quantities import number_and_unit, unit_of

TEMPERATURE = "temperature"
"""Name of the channel that is the sample's temperature."""

START = "start"
"""In place of a stream: the start document."""

RESERVED = ("absent or listed", "no beam", "saturated", "empty", "intensity outlier", "temperature ramp", "settling")
"""Reasons that the analysis gives itself."""


def _known_unit(text: str | None) -> str | None:
    if text is not None and unit_of(text) is None:
        raise ValueError(f"the unit {text!r} is not known; write K, degC, A, mA, m, mm, um, s, V, deg, 1/s, % or 1")
    return text


def _quantity(value: float | str | None) -> float | str | None:
    if isinstance(value, str):
        read = number_and_unit(value)
        if read is None or (read[1] and unit_of(read[1]) is None):
            raise ValueError(f"{value!r} is no number with a unit: write for example 100 mA")
    return value


class ChannelConfig(Strict):
    """One trace: where it is in a run."""

    stream: str
    """Name of the event stream (baseline, a monitor, a flyer), or "start" for the start document."""
    key: str
    """Data key in that stream."""
    unit: str | None = None
    """What the numbers are in; wins over what the stream says, and the record says so where the two differ. A
    temperature whose unit neither tells is not used."""
    states: dict[str, float] | None = None
    """Numbers for values that are words, e.g. {Open: 1, Closed: 0}."""
    between: Literal["linear", "hold"] | None = None
    """Two readings: joined by a line, or the earlier holds until the later one, as for what is only recorded when it
    changes. None: numbers by lines, words and switches hold."""
    required: bool = True
    """False: its absence is not worth a word."""

    _check_unit = field_validator("unit")(_known_unit)


class GateConfig(Strict):
    """A condition on a trace. Frames that do not meet it are left out and listed with ``reason``."""

    trace: str
    """Name of the channel."""
    above: float | str | None = None
    """Least value: "100 mA", or a bare number where the trace has no unit (switches, words)."""
    below: float | str | None = None
    """Largest value."""
    reason: str = Field(min_length=1)
    """What it is called where it is not met: "shutter closed", "feedback off"."""
    settle_s: Annotated[float, Field(ge=0)] = 0.0
    """s that are left out, too, once it is met again."""
    cuts: bool = True
    """Whether frames before and after are not analysed together. False for what does not touch the sample or the
    beam, like a shutter that saves dose."""

    _check_quantities = field_validator("above", "below")(_quantity)

    @model_validator(mode="after")
    def _has_a_limit(self) -> GateConfig:
        if self.above is None and self.below is None:
            raise ValueError("a gate needs above or below")
        if self.reason in RESERVED:
            raise ValueError(f"the reason {self.reason!r} is one of the analysis' own; choose another")
        return self


class HoldConfig(Strict):
    """When the sample's temperature counts as settled."""

    within_k: Annotated[float, Field(gt=0)] = 1.0
    """K on either side."""
    settle_s: Annotated[float, Field(ge=0)] = 60.0
    """s that it must have been so: the first of them after a ramp are left out, and no hold is shorter."""


class ClockConfig(Strict):
    """How time stamps of the traces become time since the first frame. By default: the data key ``elapsed`` of a
    stream where it has one, else the master's time of collection, else the end of the series less its length."""

    frames: ChannelConfig | None = None
    """An array with the time stamp of each frame, Unix s."""
    first_frame: ChannelConfig | None = None
    """A reading that is the time of the first frame, Unix s."""
    offset_s: float = 0.0
    """s added to the time stamps of all traces."""


def _own_channels() -> dict[str, ChannelConfig]:
    """The stream that GBX's own plans and flyer write."""
    keys = {TEMPERATURE: "sample_temperature"} | {name: name for name in ("ring_current", "beam_x", "beam_y")}
    return {name: ChannelConfig(stream="traces", key=key, required=False) for name, key in keys.items()}


class TracesConfig(Strict):
    """Side traces on detector time, and what they decide."""

    channels: dict[str, ChannelConfig] = Field(default_factory=_own_channels)
    """By name. "temperature" is the sample's; the others are named by gates, dose and readers."""
    clock: ClockConfig = ClockConfig()
    hold: HoldConfig | None = HoldConfig()
    """None: a temperature that changes cuts nothing."""
    beam: GateConfig | None = None
    """What tells that there is beam, beside the frames themselves: "no beam" where it is not met, unless frames
    there hold counts as ever."""
    gates: tuple[GateConfig, ...] = ()
    dump_cuts: bool = True
    """Whether a stretch without beam ends a segment: optics cool meanwhile, and the beam that comes back may be
    another one. False correlates across it, at true lags."""
    shortest_s: Annotated[float, Field(ge=0)] = 0.0
    """s of good frames below which a segment is listed and not analysed."""
    segment: Annotated[int, Field(ge=1)] | None = None
    """The segment that the record's numbers and the inference are of, counted from 1 as the record lists those that
    were analysed; None = the one with the most good frames."""
    most_cells: Annotated[int, Field(ge=16, le=65536)] = 2048
    """Values of each trace that the record keeps, at most: longer series as means over cells of frames."""

    @model_validator(mode="after")
    def _gates_name_channels(self) -> TracesConfig:
        gates = (*self.gates, *([] if self.beam is None else [self.beam]))
        # A selection rule may state gates alone and have the channels of ``analysis``.
        missing = [gate.trace for gate in gates if gate.trace not in self.channels]
        if missing and "channels" in self.model_fields_set:
            raise ValueError(
                f"gates on {', '.join(missing)}, but the channels are {', '.join(self.channels) or 'none'}"
            )
        reasons = [gate.reason for gate in self.gates]
        if len(set(reasons)) < len(reasons):
            raise ValueError("two gates have one reason; a reason names one gate")
        return self


class DoseConfig(Strict):
    """What the dose of a scan is reckoned from. What is not stated is unknown, and said to be."""

    flux: Annotated[float, Field(gt=0)] | None = None
    """Photons per s on the sample, unattenuated."""
    monitor: str | None = None
    """Channel that the intensity follows (ring current, I0); None = constant while there is beam."""
    reference: float | str | None = None
    """Reading of the monitor at which ``flux`` holds, e.g. "400 mA"."""
    monitor_after_attenuators: bool = False
    """True: the monitor sees what the attenuators let through, so the transmission is in it already; ``reference`` is
    then its reading at transmission 1."""
    transmission: str | None = None
    """Channel of the attenuators' transmission; None = ``transmission`` of the start document."""
    shutter: str | None = None
    """Channel that is above 0.5 while the shutter is open; None = open throughout."""
    position: tuple[str, ...] = ()
    """Channels that tell where on the sample the beam is, in m (any length)."""

    _check_reference = field_validator("reference")(_quantity)

    @model_validator(mode="after")
    def _whole(self) -> DoseConfig:
        if (self.monitor is None) != (self.reference is None):
            raise ValueError("monitor and reference belong together: the reading at which the flux is as stated")
        return self
