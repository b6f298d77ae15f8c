"""Plans of the commissioning suite: scans whose answer is known before, marked so that it can be judged later.

Each run's start document holds ``commissioning``: campaign, trial, part and what is expected of it, SI.
"""

# No ``from __future__ import annotations`` here: the queue server reads the plans' annotations as objects,
# and with postponed evaluation they would be strings.

from typing import Any

import bluesky.plan_stubs as bps
from bluesky.protocols import Flyable, Movable, Readable

from gbx_beamline.catalog.campaigns import SUITE
from gbx_beamline.commissioning import COLLOID, SAMPLE, STATIC, stokes_einstein
from gbx_beamline.errors import InputError
from gbx_bluesky.commissioning_feeds import InjectedFeed
from gbx_bluesky.plans import Plan, count_series


def static_reference(
    detector: Readable,
    *,
    campaign: str,
    frames: int,
    frame_time: float,
    sample: str = "static reference",
    transmissions: list[float] = [1.0, 0.1],  # noqa: B006 - the queue server shows it as the default
    attenuators: Movable | None = None,
    temperature: Readable | None = None,
    traces: Flyable | None = None,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Measure a sample that does not move, at two transmissions on one spot.

    Frames and frame time are best those of the scans to come: what is found is their instrument's floor. The runs carry
    ``reference: static``.

    Args:
        detector: As in ``count_series``.
        campaign: Name of this commissioning; its runs are judged together.
        frames: Per scan.
        frame_time: s.
        sample: Name of the sample.
        transmissions: Each in 0..1, the brightest first.
        attenuators: A positioner that sets the transmission, 0..1; None where it is set by hand, one at a time.
        temperature: As in ``count_series``.
        traces: As in ``count_series``.
        md: Further entries of the start document.

    Returns:
        uids of the runs.

    Raises:
        InputError: an impossible argument, before anything moves.
    """
    known = {"reference": "static", **(md or {})}
    take = _Take(detector, campaign, frames, frame_time, sample, temperature, traces)
    return (yield from _at_each(take, STATIC, transmissions, attenuators, {}, known))


def colloid(
    detector: Readable,
    *,
    campaign: str,
    radius: float,
    viscosity: float,
    liquid_temperature: float,
    frames: int,
    frame_time: float,
    relative_error: float = 0.0,
    sample: str = "colloid",
    transmissions: list[float] = [1.0, 0.3],  # noqa: B006 - the queue server shows it as the default
    attenuators: Movable | None = None,
    temperature: Readable | None = None,
    traces: Flyable | None = None,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Measure spheres in a viscous liquid, of which D follows from radius and viscosity, at two transmissions.

    Choose the frame time so that the relaxation time at the largest q is three frames and more, and so many frames that
    the scan is ten relaxation times long at the smallest q.

    Args:
        detector: As in ``count_series``.
        campaign: As in ``static_reference``.
        radius: Hydrodynamic radius of the spheres, m.
        viscosity: Of the liquid at its temperature, Pa s.
        liquid_temperature: K.
        frames: Per scan.
        frame_time: s.
        relative_error: Of D as computed from these: viscosity, radius and temperature are never exact.
        sample: Name of the sample.
        transmissions: As in ``static_reference``; a factor of 3 between them tells most.
        attenuators: As in ``static_reference``.
        temperature: As in ``count_series``.
        traces: As in ``count_series``.
        md: Further entries of the start document.

    Returns:
        uids of the runs.

    Raises:
        InputError: an impossible argument, before anything moves.
    """
    expected = {
        "diffusivity": stokes_einstein(liquid_temperature, viscosity, radius),
        "relative_error": float(relative_error),
        "driven_by": "sample",
    }
    take = _Take(detector, campaign, frames, frame_time, sample, temperature, traces)
    return (yield from _at_each(take, COLLOID, transmissions, attenuators, expected, md or {}))


def sample_scan(
    detector: Readable,
    *,
    campaign: str,
    sample: str,
    frames: int,
    frame_time: float,
    transmission: float = 1.0,
    temperature: Readable | None = None,
    traces: Flyable | None = None,
    md: dict[str, Any] | None = None,
) -> Plan:
    """Measure the sample that the beamtime is about, once: its frames are looked at in several ways afterwards.

    Args:
        detector, sample, frames, frame_time, transmission, temperature, traces, md: As in ``count_series``.
        campaign: As in ``static_reference``.

    Returns:
        uid of the run, in a tuple.
    """
    take = _Take(detector, campaign, frames, frame_time, sample, temperature, traces)
    return (yield from _at_each(take, SAMPLE, [transmission], None, {}, md or {}))


def injected(
    detector: Readable,
    *,
    campaign: str,
    trial: str,
    part: str,
    expected: dict[str, Any],
    source: dict[str, Any],
) -> Plan:
    """Take the frames of a recorded scan once more, with something done to them.

    Args:
        detector: A ``SimulatedEiger`` in front of an ``InjectedFeed``.
        campaign: As in ``static_reference``.
        trial: Name of the trial.
        part: Name of the run within it.
        expected: What judges must know, SI.
        source: Start document of the recorded run: temperature and transmission are its own, and the sample is
            "NAME [trial]", which is analysed as NAME.

    Returns:
        uid of the run, in a tuple.
    """
    feed = getattr(detector, "feed", None)
    if not isinstance(feed, InjectedFeed):
        raise InputError(
            f"a detector in front of {type(feed).__name__}",
            needed="a SimulatedEiger in front of an InjectedFeed",
            action="make the feed from the recorded scan first",
        )
    known = {key: source[key] for key in ("temperature", "T_sample") if key in source}
    said = {**marked(campaign, trial, part, expected), "source": source["uid"]}
    uid = yield from count_series(
        detector,
        frames=feed.length,
        frame_time=feed.frame_time,
        # A name of its own keeps such frames out of groups, pairs and averages; the sample's settings hold for them.
        sample=f"{source.get('sample') or 'not named'} [{trial}]",
        transmission=float(source.get("transmission", 1.0)),
        md={**known, "commissioning": said},
    )
    return (uid,)


def marked(campaign: str, trial: str, part: str, expected: dict[str, Any]) -> dict[str, Any]:
    """What the start document of a run of the suite says, by which it is found and judged.

    Args:
        campaign: Name of the campaign.
        trial: Name of the trial, see ``gbx_beamline.commissioning.TRIALS``.
        part: Name of the run within the trial.
        expected: What judges must know, SI, plain JSON.
    """
    if not campaign.strip():
        raise InputError("no name of a campaign", needed="a word", action="give campaign='...'")
    return {"suite": SUITE, "campaign": campaign, "trial": trial, "part": part, "expected": expected}


class _Take:
    """One scan, once its transmission is known."""

    def __init__(
        self,
        detector: Any,
        campaign: str,
        frames: int,
        frame_time: float,
        sample: str,
        temperature: Any,
        traces: Any,
    ) -> None:
        self.campaign = campaign
        self._detector = detector
        self._settings: dict[str, Any] = {
            "frames": frames,
            "frame_time": frame_time,
            "sample": sample,
            "temperature": temperature,
            "traces": traces,
        }

    def __call__(self, transmission: float, md: dict[str, Any]) -> Plan:
        return (yield from count_series(self._detector, transmission=transmission, md=md, **self._settings))


def _at_each(
    take: _Take,
    trial: str,
    transmissions: list[float],
    attenuators: Any,
    expected: dict[str, Any],
    md: dict[str, Any],
) -> Plan:
    values = [float(value) for value in transmissions]
    if not values or not all(0.0 < value <= 1.0 for value in values):
        raise InputError(
            f"transmissions {transmissions}", needed="fractions, 0 < transmission <= 1", action="correct them"
        )
    if len(values) > 1 and attenuators is None:
        raise InputError(
            f"{len(values)} transmissions and no device that sets them",
            needed="attenuators=..., a positioner whose values are transmissions",
            action="give it, or set the transmission by hand and call the plan with one at a time",
        )
    uids = []
    for value in values:
        if attenuators is not None:
            yield from bps.mv(attenuators, value)
        said = marked(take.campaign, trial, f"transmission {value:g}", expected)
        uids.append((yield from take(value, {**md, "commissioning": said})))
    return tuple(uids)
