"""Plans for XPCS series: generators of messages, for a RunEngine, IPython or the queue server alike."""

# No ``from __future__ import annotations`` here: the queue server reads the plans' annotations as objects,
# and turns names into devices only where an annotation says Readable, Movable or Flyable.
import math
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, cast

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.protocols import Flyable, Movable, Readable
from bluesky.utils import FailedStatus, Msg

from gbx_beamline.errors import InputError, UnitError
from gbx_bluesky.feeds import Conditions, ConfigurableFeed
from gbx_bluesky.temperature import checked_temperature

ICE_POINT = 273.15
"""0 Celsius in K."""

Plan = Generator[Msg, Any, Any]

_GEOMETRY = ("beam_center_x", "beam_center_y", "distance", "wavelength", "pixel_size_x", "pixel_size_y")


def count_series(
    detector: Readable,
    *,
    frames: int,
    frame_time: float,
    sample: str,
    triggers: int = 1,
    transmission: float = 1.0,
    temperature: Readable | None = None,
    traces: Flyable | None = None,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Take one run of ``triggers`` series of ``frames`` frames each.

    The start document holds CHX's keys (``T_sample`` as CHX writes it: a string in Celsius) and ``temperature`` in K,
    for simulated frames ``truth``, and for whoever follows the run live ``file prefix`` and ``detector geometry`` (SI).
    Stream "primary" has one event per trigger, "baseline" the temperature before
    and after, "traces" one row per frame. A run that fails is closed with exit_status "fail" and the detector unstaged.

    Args:
        detector: An Eiger with ``cam.num_images``, ``num_triggers``, ``acquire_period`` and ``acquire_time``.
        frames: Per trigger, at least 2.
        frame_time: s from frame to frame.
        sample: Name of the sample; results are looked up by it.
        triggers: Series in this run.
        transmission: Of the attenuators, 0 < transmission <= 1.
        temperature: A device with a ``readback`` in K. It is read, not moved.
        traces: A flyer such as ``SideTraces``.
        md: Further entries of the start document; they win over the plan's own.

    Returns:
        uid of the run.

    Raises:
        InputError: an impossible argument, before anything moves.
    """
    check_series(frames, frame_time, sample, triggers, transmission)
    settings = _Settings(frames, float(frame_time), sample, triggers, float(transmission))
    return (yield from _series("count_series", detector, settings, temperature, traces, md or {}))


def temperature_series(
    detector: Readable,
    temperature: Movable,
    setpoints: list[float],
    *,
    frames: int,
    frame_time: float,
    sample: str,
    triggers: int = 1,
    transmission: float = 1.0,
    traces: Flyable | None = None,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Take one run at each temperature, after it has settled. Arguments as in ``count_series``.

    Args:
        detector: As in ``count_series``.
        temperature: A positioner with a ``readback`` in K; its Status finishes when the sample has settled.
        setpoints: K, in the order to be measured. All are checked before the first move.
        frames, frame_time, sample, triggers, transmission, traces, md: As in ``count_series``.

    Returns:
        uids of the runs. The temperature stays at the last setpoint.

    Raises:
        InputError: an impossible argument, before anything moves.
        UnitError: setpoints that cannot be in K.
    """
    check_series(frames, frame_time, sample, triggers, transmission)
    kelvins = [checked_temperature(value) for value in setpoints]
    if not kelvins:
        raise InputError("no setpoints", needed="at least one temperature in K", action="give setpoints=[...]")
    settings = _Settings(frames, float(frame_time), sample, triggers, float(transmission))
    uids: list[str] = []
    for position, setpoint in enumerate(kelvins):
        yield from bps.mv(temperature, setpoint)
        own = {"temperature_setpoint": setpoint, "temperature_setpoints": kelvins, "temperature_index": position}
        uid = yield from _series("temperature_series", detector, settings, temperature, traces, {**own, **(md or {})})
        uids.append(uid)
    return tuple(uids)


class _Settings(NamedTuple):
    frames: int
    frame_time: float
    sample: str
    triggers: int
    transmission: float


def _series(
    plan_name: str, detector: Any, settings: _Settings, temperature: Any, traces: Any, md: Mapping[str, Any]
) -> Plan:
    frames, frame_time, _, triggers, _ = settings
    cam = detector.cam
    yield from bps.mv(cam.num_images, frames, cam.num_triggers, triggers)
    # An Eiger counts through the whole period: its dead time of some microseconds is no exposure setting.
    yield from bps.mv(cam.acquire_period, frame_time, cam.acquire_time, frame_time)
    kelvin: float | None = None
    if temperature is not None:
        kelvin = yield from bps.rd(temperature.readback)
    feed = getattr(detector, "feed", None)
    if kelvin is not None and isinstance(feed, ConfigurableFeed):
        # A message and not a call: simulators of plans walk through this line without touching the feed.
        conditions = Conditions(temperature=kelvin, frame_time=frame_time, frames=frames, triggers=triggers)
        yield from bps.abs_set(cast(Any, feed), conditions, wait=True)
    truth = None if feed is None else feed.truth
    known = {**_start_document(plan_name, detector, settings, kelvin), **({"truth": dict(truth)} if truth else {})}

    def take() -> Plan:
        if traces is not None:
            yield from bps.prepare(traces, (frames, frame_time), wait=True)
        for _ in range(triggers):
            yield from _trigger(detector, traces)

    @bpp.stage_decorator([detector])
    @bpp.baseline_decorator([] if temperature is None else [temperature])
    def run() -> Plan:
        # Only an armed detector knows the names of its files, which whoever follows them live must know early.
        named = {"file prefix": prefix} if (prefix := getattr(detector, "file_prefix", "")) else {}
        return (yield from bpp.run_wrapper(take(), md={**known, **named, **md}))

    return (yield from run())


def _trigger(detector: Any, traces: Any) -> Plan:
    if traces is not None:
        yield from bps.kickoff(traces, wait=True)
    try:
        yield from bps.trigger_and_read([detector])
    except FailedStatus as failure:
        # The run's stop document quotes this, and Bluesky's own words name no reason.
        raise FailedStatus(f"{detector.name}: {failure.__cause__ or failure}") from failure
    if traces is not None:
        yield from bps.complete(traces, wait=True)
        yield from bps.collect(traces, return_payload=False)


def _start_document(plan_name: str, detector: Any, settings: _Settings, kelvin: float | None) -> dict[str, Any]:
    what = f"{settings.triggers} x {settings.frames} frames every {settings.frame_time:g} s"
    document: dict[str, Any] = {
        "plan_name": plan_name,
        "detectors": [detector.name],
        "num_points": settings.triggers,
        "sample": settings.sample,
        "Measurement": f"{settings.sample}: {what}",
        "exposure time": settings.frame_time,
        "acquire period": settings.frame_time,
        "number of images": settings.frames,
        "transmission": settings.transmission,
        "data path": str(getattr(detector, "directory", "")),
    }
    if geometry := _geometry(detector):
        document["detector geometry"] = geometry
    if kelvin is not None:
        document["temperature"] = kelvin
        document["T_sample"] = f"{kelvin - ICE_POINT:.3f}"
    return document


def _geometry(detector: Any) -> dict[str, float]:
    """What the detector knows of beam centre, distance, wavelength and pixels, SI; its files tell it at the end."""
    known = getattr(detector, "geometry", None)
    values = {} if known is None else {name: getattr(known, name, None) for name in _GEOMETRY}
    return {name: float(value) for name, value in values.items() if value is not None}


def check_series(frames: int, frame_time: float, sample: str, triggers: int, transmission: float) -> None:
    """Refuse settings of a series that cannot be.

    Raises:
        InputError: fewer than two frames, no trigger, no time, no sample.
        UnitError: a transmission that is no fraction.
    """
    for what, value, least in (("frames", frames, 2), ("triggers", triggers, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{what} is {value!r}", needed=f"an integer >= {least}", action=f"correct {what}")
    if not is_number(frame_time) or frame_time <= 0:
        raise InputError(f"frame_time is {frame_time!r}", needed="seconds > 0", action="correct frame_time")
    if not is_number(transmission) or not 0 < transmission <= 1:
        raise UnitError(
            f"transmission is {transmission!r}",
            needed="a fraction, 0 < transmission <= 1",
            action="divide per cent by 100",
        )
    if not isinstance(sample, str) or not sample.strip():
        raise InputError(f"sample is {sample!r}", needed="the sample's name", action="give sample='...'")


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
